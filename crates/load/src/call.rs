//! A call: all join, are quiet, speak, and are measured for a while.

use std::time::Duration;

use serde::Serialize;

use crate::crowd::Crowd;
use crate::failure::Failure;
use crate::hearing::Sum;
use crate::peer::Traffic;
use crate::report::{self, ms, percentile};
use crate::spec::Spec;

pub(crate) const JOIN_PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const HEAR_PATIENCE: Duration = Duration::from_secs(30);

/// A line of the report. The driver reads the server's clocks as each appears.
#[derive(Serialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Everyone is connected; the quiet time begins.
    Quiet {
        clients: usize,
        join_ms: Spread,
    },
    /// The quiet time is over.
    Speaking,
    /// Every subscriber hears every publisher; the measurement begins.
    Measuring,
    /// The measurement is over; packets may still be under way.
    Measured,
    Done(Figures),
}

#[derive(Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Of packets sent during the measurement.
#[derive(Serialize)]
pub(crate) struct Figures {
    seconds: f64,
    /// By the publishers.
    sent: u64,
    /// By all subscribers together.
    received: u64,
    lost: u64,
    /// Of the whole run.
    duplicates: u64,
    /// From the publisher's socket to the subscriber's.
    delay_ms: Spread,
    /// Of an RTP datagram as the subscribers receive it.
    datagram_bytes: f64,
    reoffers: u64,
    keyframes_asked: u64,
}

pub(crate) fn run(spec: &Spec) -> Result<(), Failure> {
    let mut crowd = Crowd::new(spec)?;
    gather(&mut crowd, spec)?;
    begin(&mut crowd, spec)?;

    let (first, before) = (crowd.numbers(), traffic(&crowd));
    report::line(&Phase::Measuring)?;
    crowd.run_for(spec.measure())?;
    let (last, after) = (crowd.numbers(), traffic(&crowd));
    report::line(&Phase::Measured)?;
    crowd.run_for(Duration::from_secs_f64(spec.drain_s))?;

    let window = Crowd::window(&first, &last);
    let mut sum = Sum::default();
    for peer in crowd.listeners() {
        peer.hearing.add_to(&mut sum, &window);
    }
    sum.delays.sort_unstable();
    let datagrams = after.rtp_datagrams - before.rtp_datagrams;
    let bytes = after.rtp_bytes - before.rtp_bytes;
    report::line(&Phase::Done(Figures {
        seconds: spec.measure_s,
        sent: window.values().map(|range| range.len() as u64).sum(),
        received: sum.received,
        lost: sum.lost,
        duplicates: crowd.listeners().map(|peer| peer.hearing.duplicates).sum(),
        delay_ms: spread(&sum.delays),
        datagram_bytes: bytes as f64 / datagrams.max(1) as f64,
        reoffers: after.reoffers,
        keyframes_asked: after.keyframes_asked,
    }))
}

/// Waits until everyone is connected, then for the quiet time.
pub(crate) fn gather(crowd: &mut Crowd, spec: &Spec) -> Result<(), Failure> {
    let missing = |crowd: &Crowd| {
        let missing = crowd
            .present()
            .filter(|peer| peer.times.connected.is_none());
        let names: Vec<_> = missing.map(|peer| peer.name.clone()).collect();
        format!(
            "{} of {} clients are not connected ({})",
            names.len(),
            crowd.peers.len(),
            names.first().map_or("", String::as_str)
        )
    };
    let all = |crowd: &Crowd| crowd.present().all(|peer| peer.times.connected.is_some());
    crowd.run_until(JOIN_PATIENCE, all, missing)?;
    let mut joins: Vec<u32> = crowd
        .present()
        .filter_map(|peer| Some(peer.times.connected? - peer.times.asked?))
        .map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
        .collect();
    joins.sort_unstable();
    report::line(&Phase::Quiet {
        clients: crowd.peers.len(),
        join_ms: spread(&joins),
    })?;
    crowd.run_for(Duration::from_secs_f64(spec.quiet_s))
}

/// The publishers speak; waits until every subscriber hears all of them, and warms up.
pub(crate) fn begin(crowd: &mut Crowd, spec: &Spec) -> Result<(), Failure> {
    report::line(&Phase::Speaking)?;
    crowd.speak();
    let publishers = crowd.publishers;
    let deaf = |crowd: &Crowd| {
        let deaf = crowd
            .listeners()
            .filter(|peer| !peer.hearing.hears(publishers));
        deaf.count()
    };
    let what = |crowd: &Crowd| format!("{} subscribers do not hear everyone", deaf(crowd));
    crowd.run_until(HEAR_PATIENCE, |crowd| deaf(crowd) == 0, what)?;
    crowd.run_for(Duration::from_secs_f64(spec.warm_s))
}

fn traffic(crowd: &Crowd) -> Traffic {
    let mut sum = Traffic::default();
    for one in crowd.present().map(|peer| peer.traffic) {
        sum.rtp_datagrams += one.rtp_datagrams;
        sum.rtp_bytes += one.rtp_bytes;
        sum.reoffers += one.reoffers;
        sum.keyframes_asked += one.keyframes_asked;
    }
    sum
}

fn spread(sorted_us: &[u32]) -> Spread {
    Spread {
        p50: ms(percentile(sorted_us, 0.5)),
        p99: ms(percentile(sorted_us, 0.99)),
        max: ms(percentile(sorted_us, 1.0)),
    }
}
