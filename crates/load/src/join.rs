//! One joins after another while someone speaks: the time to the first media packet, step by step.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::call::{HEAR_PATIENCE, begin, gather};
use crate::crowd::Crowd;
use crate::failure::Failure;
use crate::peer::Times;
use crate::report;
use crate::spec::Spec;

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

pub(crate) fn run(spec: &Spec) -> Result<(), Failure> {
    let mut crowd = Crowd::new(spec)?;
    gather(&mut crowd, spec)?;
    begin(&mut crowd, spec)?;
    for (number, seat) in spec.joiners.iter().enumerate() {
        let name = format!("joiner {number}");
        let client = crowd.add(seat, name.clone(), None)?;
        let heard = |crowd: &Crowd| {
            let peer = crowd.peers[client].as_ref();
            peer.is_some_and(|peer| peer.times.heard.is_some())
        };
        let what = |_: &Crowd| format!("{name} heard nothing");
        crowd.run_until(HEAR_PATIENCE, heard, what)?;
        if let Some(peer) = &crowd.peers[client] {
            report::line(&steps(&peer.times))?;
        }
        crowd.remove(client);
        crowd.run_for(Duration::from_secs_f64(spec.gap_s))?;
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
