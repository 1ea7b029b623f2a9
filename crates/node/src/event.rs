//! Events for Python: twins of `src/fairlead/protocol/node.py`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_bytes::ByteBuf;

/// See `protocol/node.py` for what each means.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum Event {
    Answered {
        participant: u64,
        transport: &'static str,
        offer_id: u32,
        sdp: String,
    },
    Offered {
        participant: u64,
        offer_id: u32,
        sdp: String,
        mids: Vec<String>,
    },
    NegotiationFailed {
        participant: u64,
        transport: &'static str,
        offer_id: u32,
        reason: String,
    },
    TransportState {
        participant: u64,
        transport: &'static str,
        state: &'static str,
    },
    TrackLive {
        track: String,
        mime: &'static str,
    },
    StreamSource {
        participant: u64,
        stream: u64,
        ssrc: u32,
        rtx: Option<u32>,
    },
    Levels {
        levels: Vec<Level>,
    },
    SubscriptionLive {
        participant: u64,
        track: String,
    },
    Quality {
        participants: Vec<Figures>,
    },
    CallAnswered {
        participant: u64,
        call: String,
        packet: ByteBuf,
    },
    StreamState {
        participant: u64,
        track: String,
        paused: bool,
    },
    TrackWanted {
        track: String,
        quality: Option<u8>,
    },
    LinkReport {
        links: Vec<Link>,
    },
    Counters {
        counts: BTreeMap<String, u64>,
    },
    Resumed {
        participant: u64,
        last_sequence: u32,
    },
    Fatal {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub struct Level {
    pub track: String,
    pub level: f32,
    pub active: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub struct Figures {
    pub participant: u64,
    pub packets_up: u64,
    pub loss_up: f32,
    pub jitter_ms: f64,
    pub packets_down: u64,
    pub loss_down: f32,
    pub rtt_ms: Option<f64>,
    pub silent_s: f64,
    pub layers_wanted: u32,
    pub layers_sent: u32,
    pub keyframes_asked: u32,
    pub pictures: Vec<Picture>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub struct Picture {
    pub track: String,
    pub layers: u32,
    pub fps: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub struct Link {
    pub node: u16,
    pub state: &'static str,
    pub held: bool,
    pub fault: Option<&'static str>,
    pub rtt_ms: Option<f64>,
    pub rtt_min_ms: Option<f64>,
    pub rtt_p95_ms: Option<f64>,
    pub delay_change_ms: f64,
    pub jitter_ms: f64,
    pub loss: f64,
    pub residual_loss: f64,
    pub loss_out: f64,
    pub residual_loss_out: f64,
    pub burst: f64,
    pub kbps_in: f64,
    pub kbps_out: f64,
    pub queue_ms: f64,
    pub capacity_kbps: Option<u32>,
    pub mtu: u16,
    pub repair_share: f64,
    pub parity_share: f64,
    pub pair: u8,
    pub pairs: Vec<Pair>,
    pub sent_packets: u64,
    pub received_packets: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub struct Pair {
    pub pair: u8,
    pub state: &'static str,
    pub rtt_ms: Option<f64>,
    pub loss: f64,
}

impl Event {
    /// To msgpack, as a map with its type in it.
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("an event has nothing that msgpack can't hold")
    }
}
