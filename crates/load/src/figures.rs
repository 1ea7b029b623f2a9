//! What a run says: a line of JSON for each phase and second, the last with its figures.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::histogram::Spread;
use crate::media::KINDS;
use crate::run::Led;
use crate::tally::{Medium, Tally};

#[derive(Serialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub(crate) enum Line {
    Progress(Progress),
    /// Everyone is in or given up; the quiet time begins.
    Quiet {
        clients: usize,
    },
    /// The quiet time is over.
    Speaking,
    /// The measurement begins.
    Measuring,
    /// The measurement is over; packets may still be under way.
    Measured,
    Failed {
        reason: String,
        status: u8,
    },
    Done(Figures),
}

#[derive(Serialize)]
pub(crate) struct Progress {
    pub(crate) stage: &'static str,
    pub(crate) clients: usize,
    pub(crate) joined: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    pub(crate) subscriptions: usize,
    pub(crate) heard: usize,
    pub(crate) received_per_s: f64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
}

/// Of packets that were due in the measured time, where it doesn't say otherwise.
#[derive(Serialize)]
pub(crate) struct Figures {
    interrupted: bool,
    /// Measured.
    seconds: f64,
    clients: usize,
    joined: u64,
    /// By reason, a sentence without its subject.
    failed: BTreeMap<String, u64>,
    dropped: BTreeMap<String, u64>,
    /// From a client's first packet until ICE, DTLS and data channels are up; until its join was
    /// answered.
    join_ms: Spread,
    signal_ms: Spread,
    /// Over the whole time of joining.
    joins_per_s: f64,
    media: BTreeMap<&'static str, MediumFigures>,
    /// How much later than due publishers sent: what the load itself adds.
    behind_ms: Spread,
    /// Of an RTP datagram as the subscribers receive it.
    datagram_bytes: f64,
    reoffers: u64,
    keyframes_asked: u64,
}

#[derive(Serialize)]
struct MediumFigures {
    sent: u64,
    received: u64,
    lost: u64,
    late: u64,
    duplicates: u64,
    subscriptions: u64,
    /// Who heard nothing at all.
    unheard: u64,
    /// From the publisher's socket to the subscriber's.
    delay_ms: Spread,
}

impl Figures {
    pub(crate) fn new(clients: usize, led: &Led, tally: &Tally) -> Figures {
        let media = KINDS.map(|kind| (kind.name(), tally.medium(kind)));
        let media = media
            .into_iter()
            .filter(|(_, one)| one.sent + one.subscriptions > 0)
            .map(|(name, one)| (name, MediumFigures::new(one)));
        Figures {
            interrupted: led.interrupted,
            seconds: led.measured.as_secs_f64(),
            clients,
            joined: tally.joined,
            failed: tally.failed.clone(),
            dropped: tally.dropped.clone(),
            join_ms: tally.join.spread(),
            signal_ms: tally.signal.spread(),
            joins_per_s: tally.joined as f64 / led.joining.as_secs_f64().max(1e-3),
            media: media.collect(),
            behind_ms: tally.behind.spread(),
            datagram_bytes: tally.rtp_bytes as f64 / tally.rtp_datagrams.max(1) as f64,
            reoffers: tally.reoffers,
            keyframes_asked: tally.keyframes_asked,
        }
    }
}

impl MediumFigures {
    fn new(medium: &Medium) -> MediumFigures {
        MediumFigures {
            sent: medium.sent,
            received: medium.received,
            lost: medium.lost,
            late: medium.late,
            duplicates: medium.duplicates,
            subscriptions: medium.subscriptions,
            unheard: medium.unheard,
            delay_ms: medium.delay.spread(),
        }
    }
}
