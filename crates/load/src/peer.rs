//! One client: a str0m connection in RTP mode with a UDP socket of its own, and its signalling.

mod negotiation;
mod offer;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use livekit_protocol as proto;
use mio::net::UdpSocket;
use prost::Message as _;
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;
use str0m::media::{MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::hearing::Hearing;
use crate::media::{Kind, Stamp};
use crate::signal::Signal;
use crate::source::Source;
use crate::stage::Stage;
use crate::tally::Tally;
use offer::FirstOffer;

/// Asked for: a burst of a whole room's packets fits.
const SOCKET_BUFFER: usize = 1 << 20;

/// Failures are sentences without their subject, which is the client.
pub(crate) struct Peer {
    pub(crate) room: u32,
    pub(crate) socket: UdpSocket,
    local: SocketAddr,
    rtc: Rtc,
    pub(crate) signal: Option<Signal>,
    pub(crate) offer: String,
    pending: Option<SdpPendingOffer>,
    offer_id: u32,
    /// The server asked for an offer with these m-lines more, perhaps none.
    wanted: Option<Vec<MediaKind>>,
    /// An m-line to offer again when no new one is wanted.
    first_mid: Option<Mid>,
    /// Of a publisher.
    pub(crate) source: Option<Source>,
    channels: Vec<ChannelId>,
    /// Opened by both sides.
    open_channels: usize,
    watch: Watch,
    pub(crate) hearing: Hearing,
    pub(crate) times: Times,
    deadline: Instant,
}

/// What a client is, before it joins.
pub(crate) struct Role {
    pub(crate) room: u32,
    /// None: it listens.
    pub(crate) source: Option<Source>,
    /// Of a listener: which kinds are published in its room, and by how many.
    pub(crate) hears: Vec<(Kind, usize)>,
    /// Whether anyone in its room sends data.
    pub(crate) data: bool,
    pub(crate) watch: Watch,
}

/// The quality that a listener asks for of each video.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Watch {
    Low,
    Medium,
    /// It asks for nothing.
    #[default]
    High,
}

/// When each step of a join was reached.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) asked: Option<Instant>,
    /// The signal connection stands.
    pub(crate) opened: Option<Instant>,
    pub(crate) joined: Option<Instant>,
    pub(crate) answered: Option<Instant>,
    /// ICE and DTLS are done.
    pub(crate) connected: Option<Instant>,
    pub(crate) heard: Option<Instant>,
}

impl Times {
    /// What a client still waits for.
    pub(crate) fn missing(&self) -> &'static str {
        match self {
            Times { opened: None, .. } => "its signal connection was not accepted",
            Times { joined: None, .. } => "its join was not answered",
            Times { answered: None, .. } => "its offer was not answered",
            _ => "no media connection came about (ICE and DTLS over UDP)",
        }
    }
}

/// What a client needs of the run that it is in.
pub(crate) struct Floor<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) tally: &'a mut Tally,
}

impl Peer {
    /// A client with its first offer, on a socket of the address from which its server is reached.
    pub(crate) fn new(
        role: Role,
        address: IpAddr,
        now: Instant,
        stage: &Stage,
    ) -> Result<Peer, String> {
        let refused = |error: std::io::Error| format!("could not have a socket: {error}");
        let socket = std::net::UdpSocket::bind((address, 0)).map_err(refused)?;
        socket.set_nonblocking(true).map_err(refused)?;
        // Best effort: the system's own limit may be lower.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER);
        let local = socket.local_addr().map_err(refused)?;
        let publishes = role.source.as_ref().map(|source| source.kind);
        let has = |kind| publishes == Some(kind) || role.hears.iter().any(|one| one.0 == kind);
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(has(Kind::Audio), false)
            .enable_vp8(has(Kind::Video))
            .set_rtp_mode(true)
            .build(now);
        let candidate = Candidate::host(local, "udp").map_err(|error| broken(&error))?;
        rtc.add_local_candidate(candidate);
        let mut source = role.source;
        let first = FirstOffer::make(&mut rtc, source.as_mut(), &role.hears, role.data, stage)?;
        let mut peer = Peer {
            room: role.room,
            socket: UdpSocket::from_std(socket),
            local,
            rtc,
            signal: None,
            offer: first.sdp,
            pending: Some(first.pending),
            offer_id: 1,
            wanted: None,
            first_mid: first.mid,
            source,
            channels: first.channels,
            open_channels: 0,
            watch: role.watch,
            hearing: Hearing::default(),
            times: Times::default(),
            deadline: now,
        };
        let mut nothing = Tally::default();
        let floor = &mut Floor {
            stage,
            tally: &mut nothing,
        };
        peer.drain(now, floor)?;
        Ok(peer)
    }

    /// Media is connected, and data if there is any.
    pub(crate) fn connected(&self) -> bool {
        self.times.connected.is_some() && self.open_channels >= self.channels.len()
    }

    /// When something is due without a packet: a timer, a ping or a frame to send.
    pub(crate) fn deadline(&self, stage: &Stage) -> Instant {
        let ping = self.signal.as_ref().map(Signal::next_ping);
        let frame = self.source.as_ref().and_then(|source| source.due(stage));
        let others = [ping, frame].into_iter().flatten();
        others.fold(self.deadline, Instant::min)
    }

    /// A datagram that arrived at `at`.
    pub(crate) fn receive(
        &mut self,
        at: Instant,
        from: SocketAddr,
        bytes: &[u8],
        floor: &mut Floor<'_>,
    ) -> Result<(), String> {
        if is_rtp(bytes) {
            floor.tally.rtp_datagrams += 1;
            floor.tally.rtp_bytes += bytes.len() as u64;
        }
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, bytes) else {
            return Ok(());
        };
        let input = Input::Receive(at, receive);
        self.rtc
            .handle_input(input)
            .map_err(|error| broken(&error))?;
        self.drain(at, floor)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant, floor: &mut Floor<'_>) -> Result<(), String> {
        if let Some(signal) = &mut self.signal {
            signal.keep(now)?;
        }
        if let Some(source) = &mut self.source {
            while source.due(floor.stage).is_some_and(|due| due <= now) {
                source.write(now, &mut self.rtc, floor.stage, floor.tally)?;
                self.deadline = now;
            }
        }
        if self.deadline <= now {
            let input = Input::Timeout(now);
            self.rtc
                .handle_input(input)
                .map_err(|error| broken(&error))?;
            self.drain(now, floor)?;
        }
        Ok(())
    }

    fn drain(&mut self, now: Instant, floor: &mut Floor<'_>) -> Result<(), String> {
        loop {
            match self.rtc.poll_output().map_err(|error| broken(&error))? {
                Output::Timeout(at) => {
                    self.deadline = at;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    // What the system does not take is lost, as on any network.
                    let to = transmit.destination;
                    let _ = self.socket.send_to(&transmit.contents, to);
                }
                Output::Event(event) => self.hear(event, now, floor),
            }
        }
    }

    fn hear(&mut self, event: Event, now: Instant, floor: &mut Floor<'_>) {
        match event {
            Event::Connected => self.times.connected = Some(now),
            Event::ChannelOpen(..) => self.open_channels += 1,
            Event::KeyframeRequest(request) => {
                floor.tally.keyframes_asked += 1;
                if let Some(source) = &mut self.source {
                    source.ask_keyframe(request.rid);
                }
            }
            Event::RtpPacket(packet) => {
                self.note(&packet.payload, packet.timestamp, floor);
            }
            Event::ChannelData(data) => {
                let packet = proto::DataPacket::decode(data.data.as_slice());
                let value = packet.ok().and_then(|packet| packet.value);
                if let Some(proto::data_packet::Value::User(user)) = value {
                    self.note(&user.payload, now, floor);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, payload: &[u8], at: Instant, floor: &mut Floor<'_>) {
        self.times.heard.get_or_insert(at);
        if let Some(stamp) = Stamp::read(payload) {
            let at = floor.stage.nanos(at);
            self.hearing.note(stamp, at, floor.stage, floor.tally);
        }
    }

    pub(crate) fn leave(&mut self) {
        if let Some(signal) = &mut self.signal {
            signal.leave();
        }
    }
}

/// RTP, not RTCP (RFC 5761 section 4), STUN or DTLS (RFC 7983 section 7).
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, kind, ..] if !(64..96).contains(&(kind & 0x7f)))
}

fn broken(error: &impl std::fmt::Display) -> String {
    format!("could not go on: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_is_told_from_what_shares_its_port() {
        assert!(is_rtp(&[0x90, 111, 0]));
        assert!(is_rtp(&[0x80, 0x80 | 96, 0]));
        assert!(!is_rtp(&[0x80, 200, 0]), "a sender report");
        assert!(!is_rtp(&[0x81, 205, 0]), "feedback");
        assert!(!is_rtp(&[0, 1, 0]), "STUN");
        assert!(!is_rtp(&[22, 254, 253]), "DTLS");
        assert!(!is_rtp(&[0x80]));
    }
}
