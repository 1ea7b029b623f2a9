//! Commands from Python: twins of `src/fairlead/protocol/node.py`.

use serde::Deserialize;
use serde_bytes::ByteBuf;

/// What the header extension can say: 12 bits of 10 ms each.
const MAX_PLAYOUT_MS: u16 = 40_950;

/// See `protocol/node.py` for what each does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub enum Command {
    AddParticipant {
        participant: u64,
        room: ByteBuf,
        sid: String,
        identity: String,
        agent: bool,
        can_publish_data: bool,
        can_subscribe: bool,
        single: bool,
        negotiated_channels: bool,
        allow_pause: bool,
        packet_trailers: bool,
    },
    UpdateParticipant {
        participant: u64,
        can_publish_data: bool,
        can_subscribe: bool,
    },
    RemoveParticipant {
        participant: u64,
    },
    AcceptOffer {
        participant: u64,
        transport: String,
        offer_id: u32,
        sdp: String,
    },
    CreateOffer {
        participant: u64,
        offer_id: u32,
        sections: Vec<Section>,
        restart_ice: bool,
    },
    AcceptAnswer {
        participant: u64,
        offer_id: u32,
        sdp: String,
    },
    AddCandidate {
        participant: u64,
        transport: String,
        candidate: String,
    },
    AddTrack {
        track: String,
        room: ByteBuf,
        kind: String,
        layers: Vec<Layer>,
        publisher: Option<u64>,
        tag: u32,
        red: bool,
    },
    RemoveTrack {
        track: String,
    },
    Publish {
        participant: u64,
        mid: String,
        track: String,
    },
    SetMuted {
        track: String,
        muted: bool,
    },
    Subscribe {
        participant: u64,
        transport: String,
        mid: String,
        track: String,
    },
    Unsubscribe {
        participant: u64,
        track: String,
    },
    SetQuality {
        participant: u64,
        track: String,
        quality: Option<u8>,
        priority: u8,
        fps: u8,
    },
    ResumeParticipant {
        participant: u64,
    },
    AdoptConnection {
        participant: u64,
        channels: [u16; 3],
        #[serde(default)]
        here_s: f64,
    },
    ReplayData {
        participant: u64,
        had: Vec<Had>,
    },
    HoldData {
        participant: u64,
        seconds: f64,
    },
    HandOver {
        participant: u64,
    },
    AddDataTrack {
        track: String,
        stream: u64,
        publisher: Option<u64>,
        handle: u16,
        tag: u32,
    },
    SubscribeData {
        participant: u64,
        track: String,
        handle: u16,
    },
    ExpectSource {
        participant: u64,
        stream: u64,
        ssrc: u32,
        rtx: Option<u32>,
    },
    SendData {
        room: ByteBuf,
        packet: ByteBuf,
        reliable: bool,
    },
    Restrict {
        participant: u64,
        kbps: Option<u32>,
        tcp_only: bool,
    },
    MoveParticipant {
        participant: u64,
        room: ByteBuf,
        sid: String,
    },
    Call {
        participant: u64,
        call: String,
        packet: ByteBuf,
    },
    SetRoomNodes {
        room: ByteBuf,
        nodes: Vec<u16>,
        tag: u32,
    },
    SetScene {
        room: ByteBuf,
        audio_top: u16,
        unranked: Vec<String>,
        repeats: u8,
        copies: String,
        speech_reserve_kbps: u32,
        playout_ms: Option<(u16, u16)>,
    },
    AddPeer {
        node: u16,
        public_key: ByteBuf,
        addresses: Vec<String>,
    },
    RemovePeer {
        node: u16,
    },
    SetRoutes {
        routes: Vec<Route>,
    },
    SetPolicies {
        policies: Vec<Policy>,
    },
    SetProtection {
        share: Option<f64>,
        kbps: Option<u32>,
    },
    SetLink {
        node: u16,
        capacity_kbps: Option<u32>,
    },
    SetEmulation {
        node: u16,
        pair: Option<u8>,
        delay_ms: f64,
        jitter_ms: f64,
        loss: f64,
        rate_kbps: Option<u32>,
        cut: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    #[serde(rename = "type", default)]
    _tag: Option<String>,
    pub mid: Option<String>,
    pub kind: String,
    pub active: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    #[serde(rename = "type", default)]
    _tag: Option<String>,
    pub stream: u64,
    pub rid: Option<String>,
    pub quality: u8,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Had {
    #[serde(rename = "type", default)]
    _tag: Option<String>,
    pub publisher: String,
    pub sequence: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    #[serde(rename = "type", default)]
    _tag: Option<String>,
    pub destination: u16,
    pub via: Vec<u16>,
    pub second: Option<Vec<u16>>,
    pub tag: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(rename = "type", default)]
    _tag: Option<String>,
    pub tag: u32,
    pub nodes: Vec<u16>,
}

impl Layer {
    pub fn new(stream: u64, rid: Option<String>, quality: u8) -> Self {
        Self {
            _tag: None,
            stream,
            rid,
            quality,
        }
    }
}

impl Route {
    /// The link itself.
    pub fn direct(destination: u16) -> Self {
        Self {
            _tag: None,
            destination,
            via: Vec::new(),
            second: None,
            tag: 0,
        }
    }
}

impl Policy {
    pub fn new(tag: u32, nodes: Vec<u16>) -> Self {
        Self {
            _tag: None,
            tag,
            nodes,
        }
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok()
}

impl Command {
    /// Read one command. Err: a sentence naming what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Command, String> {
        let command: Command = rmp_serde::from_slice(bytes)
            .map_err(|e| format!("command of {} bytes can't be read: {e}", bytes.len()))?;
        command.check()?;
        Ok(command)
    }

    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str, value: &str, allowed: &str| {
            Err(format!("{what} is {value:?}; allowed: {allowed}"))
        };
        match self {
            Command::AddParticipant { room, .. }
            | Command::AddTrack { room, .. }
            | Command::SendData { room, .. }
            | Command::MoveParticipant { room, .. }
            | Command::SetRoomNodes { room, .. }
            | Command::SetScene { room, .. }
                if room.len() != 16 =>
            {
                wrong("room", &format!("{} bytes", room.len()), "16 bytes")
            }
            Command::SetScene { copies, .. }
                if !["never", "base", "always"].contains(&copies.as_str()) =>
            {
                wrong("copies", copies, "never, base, always")
            }
            Command::SetScene {
                playout_ms: Some((least, most)),
                ..
            } if least > most || *most > MAX_PLAYOUT_MS => wrong(
                "playout_ms",
                &format!("{least} to {most}"),
                "a range within 0 to 40950",
            ),
            Command::AddPeer { public_key, .. } if public_key.len() != 32 => {
                let has = format!("{} bytes", public_key.len());
                wrong("public_key", &has, "32 bytes")
            }
            Command::AddPeer { addresses, .. }
                if addresses.is_empty() || addresses.len() > mesh::MAX_PAIRS =>
            {
                wrong(
                    "addresses",
                    &format!("{} of them", addresses.len()),
                    "1 to 4",
                )
            }
            Command::AddPeer { addresses, .. } if !addresses.iter().all(|a| is_address(a)) => {
                wrong("addresses", &addresses.join(" "), "ip:port each")
            }
            Command::SetPolicies { policies } if policies.iter().any(|p| p.tag == 0) => {
                wrong("tag", "0", "1 to 4294967295")
            }
            Command::SetProtection {
                share: Some(share), ..
            } if !(0.0..=1.0).contains(share) => wrong("share", &share.to_string(), "0 to 1"),
            Command::SetEmulation {
                pair: Some(pair), ..
            } if usize::from(*pair) >= mesh::MAX_PAIRS => {
                wrong("pair", &pair.to_string(), "0 to 3")
            }
            Command::AcceptOffer { transport, .. }
            | Command::AddCandidate { transport, .. }
            | Command::Subscribe { transport, .. }
                if transport != "publisher" && transport != "subscriber" =>
            {
                wrong("transport", transport, "publisher, subscriber")
            }
            Command::SubscribeData { handle: 0, .. } => wrong("handle", "0", "1 to 65535"),
            Command::AddDataTrack {
                publisher: Some(_),
                handle: 0,
                ..
            } => wrong("handle", "0", "1 to 65535 where a participant publishes"),
            Command::AddTrack { kind, .. } if kind != "audio" && kind != "video" => {
                wrong("kind", kind, "audio, video")
            }
            _ => Ok(()),
        }
    }

    /// The participant that a command is about: its worker alone acts on it. None: every worker's.
    pub fn participant(&self) -> Option<u64> {
        match self {
            Command::AddParticipant { participant, .. }
            | Command::UpdateParticipant { participant, .. }
            | Command::RemoveParticipant { participant }
            | Command::AcceptOffer { participant, .. }
            | Command::CreateOffer { participant, .. }
            | Command::AcceptAnswer { participant, .. }
            | Command::AddCandidate { participant, .. }
            | Command::Publish { participant, .. }
            | Command::Subscribe { participant, .. }
            | Command::Unsubscribe { participant, .. }
            | Command::SetQuality { participant, .. }
            | Command::ResumeParticipant { participant }
            | Command::AdoptConnection { participant, .. }
            | Command::ReplayData { participant, .. }
            | Command::HoldData { participant, .. }
            | Command::HandOver { participant }
            | Command::SubscribeData { participant, .. }
            | Command::ExpectSource { participant, .. }
            | Command::Restrict { participant, .. }
            | Command::MoveParticipant { participant, .. }
            | Command::Call { participant, .. } => Some(*participant),
            Command::AddTrack { .. }
            | Command::AddDataTrack { .. }
            | Command::RemoveTrack { .. }
            | Command::SetMuted { .. }
            | Command::SendData { .. }
            | Command::SetRoomNodes { .. }
            | Command::SetScene { .. }
            | Command::AddPeer { .. }
            | Command::RemovePeer { .. }
            | Command::SetRoutes { .. }
            | Command::SetPolicies { .. }
            | Command::SetProtection { .. }
            | Command::SetLink { .. }
            | Command::SetEmulation { .. } => None,
        }
    }
}
