//! One joins after another while someone speaks: the time to the first media packet, step by step.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::crowd::{Client, Crowd, Standing};
use crate::failure::Failure;
use crate::peer::Times;
use crate::report;
use crate::run::{clients, stage};
use crate::spec::{self, Seat};

const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds from the first packet of the joiner's TCP connection.
#[derive(Serialize)]
struct Joined {
    phase: &'static str,
    opened_ms: f64,
    joined_ms: f64,
    answered_ms: f64,
    connected_ms: f64,
    heard_ms: f64,
}

/// Prints a line for each joiner.
pub fn run(json: &[u8]) -> Result<(), Failure> {
    let spec = spec::read(json).map_err(Failure::Usage)?;
    let (places, staying) = clients(&spec)?;
    let stage = stage(&spec, Instant::now());
    let mut crowd = Crowd::new(&stage, &places, spec.watch, staying)?;
    stage.admit(0);
    until(&mut crowd, "not everyone is in", |crowd| {
        crowd.standing().coming == 0
    })?;
    stage.speak(stage.nanos(Instant::now()));
    crowd.reschedule();
    until(&mut crowd, "not everyone hears everyone", |crowd| {
        let Standing {
            heard,
            subscriptions,
            ..
        } = crowd.standing();
        heard >= subscriptions
    })?;
    wait(&mut crowd, spec.warm_s)?;
    let first = &spec.publishers[0].url;
    for (number, seat) in spec.joiners.iter().enumerate() {
        let place = places.len() - 1;
        let place = if seat.url == *first { 0 } else { place };
        let client = crowd.add(client(seat, place));
        let heard = |crowd: &Crowd<'_>| {
            crowd
                .peer(client)
                .is_some_and(|peer| peer.times.heard.is_some())
        };
        until(&mut crowd, &format!("joiner {number} hears nothing"), heard)?;
        if let Some(peer) = crowd.peer(client) {
            report::line(&steps(&peer.times))?;
        }
        crowd.remove(client);
        wait(&mut crowd, spec.gap_s)?;
    }
    Ok(())
}

fn client(seat: &Seat, place: usize) -> Client {
    Client {
        place,
        token: seat.token.clone(),
        room: seat.room,
        publishes: None,
        due: None,
    }
}

fn until(
    crowd: &mut Crowd<'_>,
    otherwise: &str,
    done: impl Fn(&Crowd<'_>) -> bool,
) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    while !done(crowd) {
        if let Some(reason) = crowd.standing().failed.into_keys().next() {
            return Err(Failure::Server(format!("a client {reason}")));
        }
        if Instant::now() > end {
            let seconds = PATIENCE.as_secs();
            return Err(Failure::Server(format!("{otherwise} after {seconds} s")));
        }
        crowd.turn(end)?;
    }
    Ok(())
}

fn wait(crowd: &mut Crowd<'_>, seconds: f64) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        crowd.turn(end)?;
    }
    Ok(())
}

fn steps(times: &Times) -> Joined {
    let since = |at: Option<Instant>| {
        let time = times.asked.zip(at).map(|(asked, at)| at - asked);
        time.unwrap_or_default().as_secs_f64() * 1e3
    };
    Joined {
        phase: "heard",
        opened_ms: since(times.opened),
        joined_ms: since(times.joined),
        answered_ms: since(times.answered),
        connected_ms: since(times.connected),
        heard_ms: since(times.heard),
    }
}
