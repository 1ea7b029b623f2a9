//! One client: a str0m connection in RTP mode with a UDP socket of its own, and its signalling.

mod negotiation;

use std::net::SocketAddr;
use std::time::Instant;

use mio::net::UdpSocket;
use str0m::change::SdpPendingOffer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::failure::Failure;
use crate::hearing::Hearing;
use crate::media::{Kind, Source, Stamp};
use crate::signal::{self, Signal};

/// Asked for: a burst of a whole room's packets fits.
const SOCKET_BUFFER: usize = 1 << 20;

/// Receiving m-lines in a listener's first offer, as the SDKs make them.
const FIRST_LINES: usize = 3;

pub(crate) struct Peer {
    pub(crate) name: String,
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
    first_mid: Mid,
    /// Of a publisher: its track and the m-line that carries it.
    pub(crate) source: Option<(Source, Mid)>,
    pub(crate) hearing: Hearing,
    pub(crate) times: Times,
    pub(crate) traffic: Traffic,
    deadline: Instant,
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

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) rtp_datagrams: u64,
    pub(crate) rtp_bytes: u64,
    pub(crate) reoffers: u64,
    pub(crate) keyframes_asked: u64,
}

impl Peer {
    /// A client with its first offer: a publisher's with its source, a listener's with room for
    /// some of `publishers`.
    pub(crate) fn new(
        name: String,
        kind: Kind,
        source: Option<Source>,
        publishers: usize,
        now: Instant,
    ) -> Result<Peer, Failure> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        // Best effort: the system's own limit may be lower.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER);
        let local = socket.local_addr()?;
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(kind == Kind::Audio, false)
            .enable_vp8(kind == Kind::Video)
            .set_rtp_mode(true)
            .build(now);
        let candidate = Candidate::host(local, "udp");
        rtc.add_local_candidate(candidate.map_err(|error| broken(&name, &error))?);

        let mut api = rtc.sdp_api();
        let source = source.map(|source| {
            let (stream, track) = (Some(signal::CID.to_owned()), Some(signal::CID.to_owned()));
            let mid = api.add_media(kind.media(), Direction::SendOnly, stream, track, None);
            (source, mid)
        });
        let mut first_mid = source.as_ref().map(|(_, mid)| *mid);
        if source.is_none() {
            for _ in 0..publishers.clamp(1, FIRST_LINES) {
                let mid = api.add_media(kind.media(), Direction::RecvOnly, None, None, None);
                first_mid.get_or_insert(mid);
            }
        }
        let (Some((offer, pending)), Some(first_mid)) = (api.apply(), first_mid) else {
            return Err(broken(&name, &"no offer to make"));
        };
        let mut peer = Peer {
            name,
            socket: UdpSocket::from_std(socket),
            local,
            rtc,
            signal: None,
            offer: offer.to_sdp_string(),
            pending: Some(pending),
            offer_id: 1,
            wanted: None,
            first_mid,
            source,
            hearing: Hearing::default(),
            times: Times::default(),
            traffic: Traffic::default(),
            deadline: now,
        };
        peer.drain(now)?;
        Ok(peer)
    }

    /// When something is due without a packet: a timer, a ping or a frame to send.
    pub(crate) fn deadline(&self) -> Instant {
        let ping = self.signal.as_ref().map(Signal::next_ping);
        let frame = self.source.as_ref().and_then(|(source, _)| source.due());
        let others = [ping, frame].into_iter().flatten();
        others.fold(self.deadline, Instant::min)
    }

    /// A datagram that arrived at `at`.
    pub(crate) fn receive(
        &mut self,
        at: Instant,
        from: SocketAddr,
        bytes: &[u8],
        epoch: Instant,
    ) -> Result<(), Failure> {
        if is_rtp(bytes) {
            self.traffic.rtp_datagrams += 1;
            self.traffic.rtp_bytes += bytes.len() as u64;
        }
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, bytes) else {
            return Ok(());
        };
        let input = Input::Receive(at, receive);
        self.rtc
            .handle_input(input)
            .map_err(|error| broken(&self.name, &error))?;
        self.drain(epoch)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant, epoch: Instant) -> Result<(), Failure> {
        if let Some(signal) = &mut self.signal {
            let kept = signal.keep(now);
            kept.map_err(|reason| refused(&self.name, &reason))?;
        }
        if let Some((source, mid)) = &mut self.source {
            while source.due().is_some_and(|due| due <= now) {
                source.write(now, epoch, &mut self.rtc, *mid);
                self.deadline = now;
            }
        }
        if self.deadline <= now {
            self.rtc
                .handle_input(Input::Timeout(now))
                .map_err(|error| broken(&self.name, &error))?;
            self.drain(epoch)?;
        }
        Ok(())
    }

    fn drain(&mut self, epoch: Instant) -> Result<(), Failure> {
        loop {
            let output = self.rtc.poll_output();
            match output.map_err(|error| broken(&self.name, &error))? {
                Output::Timeout(at) => {
                    self.deadline = at;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    // The socket is bound to loopback: nothing else can be reached from it.
                    if transmit.destination.ip().is_loopback() {
                        // What the system does not take is lost, as on any network.
                        let to = transmit.destination;
                        let _ = self.socket.send_to(&transmit.contents, to);
                    }
                }
                Output::Event(Event::Connected) => {
                    self.times.connected = Some(Instant::now());
                }
                Output::Event(Event::KeyframeRequest(_)) => {
                    self.traffic.keyframes_asked += 1;
                    if let Some((source, _)) = &mut self.source {
                        source.ask_keyframe();
                    }
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    self.times.heard.get_or_insert(packet.timestamp);
                    if let Some(stamp) = Stamp::read(&packet.payload) {
                        let at = packet.timestamp.saturating_duration_since(epoch);
                        self.hearing.note(stamp, at.as_nanos() as u64);
                    }
                }
                Output::Event(_) => {}
            }
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

fn broken(name: &str, error: &impl std::fmt::Display) -> Failure {
    Failure::Server(format!("{name} could not go on: {error}"))
}

fn refused(name: &str, reason: &str) -> Failure {
    Failure::Server(format!("{name} {reason}"))
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
