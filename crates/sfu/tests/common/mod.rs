//! Clients made of str0m around one SFU, in virtual time: no socket, no sleep.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::{
    Config, Figures, Input, Kind, Layer, Output, ParticipantInfo, Protocol, Sfu, Side, TrackInfo,
};
use str0m::bwe::BweKind;
use str0m::change::SdpAnswer;
use str0m::media::{
    Direction, KeyframeRequest, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer,
};
use str0m::net::Receive;
use str0m::rtp::rtcp::{Nack, Rtcp};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RawPacket, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Rtc, RtcConfig};
use wire::{MediaPacket, RoomKey, StreamId};

pub const SERVER: &str = "10.0.0.1:7882";

pub struct Client {
    pub id: u64,
    pub rtc: Rtc,
    pub address: SocketAddr,
    /// What the server takes its address for: a NAT stands between.
    pub seen_as: SocketAddr,
    /// Where it is, too: another interface of its, if it has one.
    pub also: Option<SocketAddr>,
    /// An address of its that nothing comes to or from any more.
    pub cut: Option<SocketAddr>,
    pub mids: Vec<Mid>,
    pub packets: Vec<RtpPacket>,
    pub messages: Vec<Vec<u8>>,
    pub keyframe_requests: Vec<KeyframeRequest>,
    pub connected: bool,
    pub channels: Vec<(str0m::channel::ChannelId, String)>,
    pub answer: String,
    /// Asked for again of what it sent.
    pub nacks: u64,
    /// What it may send by its own estimate, if it makes one.
    pub estimate: Option<u64>,
    /// Sequence numbers of that, if it is configured to tell raw packets.
    pub asked: Vec<u16>,
    sent: Vec<Datagram>,
    /// RTCP that it got: what comes a second time is a replay.
    heard: HashSet<Vec<u8>>,
}

pub struct World {
    pub now: Instant,
    pub sfu: Sfu,
    pub clients: Vec<Client>,
    pub events: Vec<Output>,
    /// Streams' packets that the SFU handed out for elsewhere.
    pub exported: Vec<(StreamId, Arc<MediaPacket>)>,
    /// Whether clients that join tell what arrives, so that the SFU estimates their bandwidth.
    pub feedback: bool,
    /// Whether they take stream states.
    pub allow_pause: bool,
    /// Whether they know packet trailers.
    pub packet_trailers: bool,
    /// Whether a datagram is lost on its way to (true) or from a client, by its place.
    pub loses: Box<dyn FnMut(usize, bool) -> bool>,
    /// What carries datagrams to and from some clients; without it all arrive at once.
    pub network: Option<Rc<RefCell<dyn Network>>>,
    /// How much time a step takes.
    pub tick: Duration,
    /// What clients that join are like beyond the usual.
    pub configure: fn(RtcConfig) -> RtcConfig,
    /// Another interface of the client that joins next.
    pub also: Option<SocketAddr>,
    /// How the SFU is called: for who counts what that costs.
    pub handle: Handle,
    /// RTP packets that the SFU sent.
    pub forwarded: u64,
    /// RTP and RTCP that clients sent, by their place, if it is to be recorded.
    pub record: bool,
    pub recorded: Vec<(usize, Vec<u8>)>,
}

type Handle = fn(&mut Sfu, Instant, Input<'_>, &mut Vec<Output>);

/// Paths between clients, by their place, and the server.
pub trait Network {
    /// Take a datagram toward (true) or from a client; false: it is none of this network's.
    fn carry(&mut self, now: Instant, client: usize, toward: bool, bytes: &[u8]) -> bool;
    /// What has arrived by now.
    fn arrived(&mut self, now: Instant) -> Vec<(usize, bool, Vec<u8>)>;
}

impl World {
    pub fn new() -> Self {
        let now = Instant::now();
        let config = Config {
            udp: vec![SERVER.parse().unwrap()],
            tcp: vec![],
        };
        Self {
            now,
            sfu: Sfu::new(config, now),
            clients: vec![],
            events: vec![],
            exported: vec![],
            feedback: true,
            allow_pause: false,
            packet_trailers: false,
            loses: Box::new(|_, _| false),
            network: None,
            tick: Duration::from_millis(5),
            configure: |config| config,
            also: None,
            handle: Sfu::handle,
            forwarded: 0,
            record: false,
            recorded: vec![],
        }
    }

    /// Join a client that offers these m-lines and data channels, and run until it is connected.
    pub fn join(&mut self, room: u8, lines: &[(MediaKind, Direction)]) -> usize {
        self.join_with(room, lines, &[])
    }

    /// The same, each m-line with these simulcast rids.
    pub fn join_with(
        &mut self,
        room: u8,
        lines: &[(MediaKind, Direction)],
        rids: &[&str],
    ) -> usize {
        self.join_as(room, lines, rids, true)
    }

    /// The same; with `red` it takes redundant sound.
    pub fn join_as(
        &mut self,
        room: u8,
        lines: &[(MediaKind, Direction)],
        rids: &[&str],
        red: bool,
    ) -> usize {
        let at = self.begin_join(room, lines, rids, red);
        self.run_until("connected with channels", |w| {
            w.clients[at].connected && w.clients[at].channels.len() == 2
        });
        at
    }

    /// The same, as far as the answer: it is not connected yet.
    pub fn begin_join(
        &mut self,
        room: u8,
        lines: &[(MediaKind, Direction)],
        rids: &[&str],
        red: bool,
    ) -> usize {
        let id = self.clients.len() as u64 + 1;
        let mut builder = Rtc::builder()
            .set_rtp_mode(true)
            .set_stats_interval(Some(Duration::from_millis(500)))
            .enable_opus(true, red)
            .set_extension(6, Extension::PlayoutDelay);
        if !self.feedback {
            builder = builder.set_extension_map(without_feedback());
        }
        let mut rtc = (self.configure)(builder).build(self.now);
        let address: SocketAddr = format!("10.0.1.{id}:5000").parse().unwrap();
        let also = self.also.take();
        for interface in std::iter::once(address).chain(also) {
            rtc.add_local_candidate(Candidate::host(interface, "udp").unwrap());
        }
        let mut api = rtc.sdp_api();
        let mids = lines
            .iter()
            .map(|(kind, direction)| {
                let send: Vec<_> = rids.iter().map(|r| SimulcastLayer::new(r)).collect();
                let simulcast = Simulcast { send, recv: vec![] };
                let simulcast = (!rids.is_empty()).then_some(simulcast);
                api.add_media(*kind, *direction, None, None, simulcast)
            })
            .collect();
        api.add_channel("_reliable".into());
        api.add_channel_with_config(str0m::channel::ChannelConfig {
            label: "_lossy".into(),
            ordered: false,
            reliability: str0m::channel::Reliability::MaxRetransmits { retransmits: 0 },
            ..Default::default()
        });
        let (offer, pending) = api.apply().unwrap();
        self.input(Input::AddParticipant(ParticipantInfo {
            participant: id,
            room: RoomKey([room; 16]),
            sid: format!("PA_{id}"),
            identity: format!("client-{id}"),
            agent: false,
            can_publish_data: true,
            can_subscribe: true,
            single: true,
            negotiated_channels: false,
            allow_pause: self.allow_pause,
            packet_trailers: self.packet_trailers,
        }));
        let sdp = offer.to_sdp_string();
        self.input(Input::AcceptOffer {
            participant: id,
            side: Side::Publisher,
            offer_id: 1,
            sdp: &sdp,
        });
        let answer = self
            .events
            .iter()
            .rev()
            .find_map(|e| match e {
                Output::Answered { sdp, .. } => Some(sdp.clone()),
                _ => None,
            })
            .expect("an answer");
        rtc.sdp_api()
            .accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap())
            .unwrap();
        let at = self.adopt(id, rtc, address);
        self.clients[at].mids = mids;
        self.clients[at].answer = answer;
        self.clients[at].also = also;
        at
    }

    /// Take in a client whose negotiation the test does itself.
    pub fn adopt(&mut self, id: u64, rtc: Rtc, address: SocketAddr) -> usize {
        self.clients.push(Client {
            id,
            rtc,
            address,
            seen_as: address,
            also: None,
            cut: None,
            mids: vec![],
            packets: vec![],
            messages: vec![],
            keyframe_requests: vec![],
            connected: false,
            channels: vec![],
            answer: String::new(),
            nacks: 0,
            estimate: None,
            asked: vec![],
            sent: vec![],
            heard: HashSet::new(),
        });
        self.clients.len() - 1
    }

    pub fn input(&mut self, input: Input<'_>) {
        let mut out = vec![];
        (self.handle)(&mut self.sfu, self.now, input, &mut out);
        self.outputs(out);
    }

    fn outputs(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Transmit(t) => {
                    self.forwarded += u64::from(is_rtp(&t.bytes));
                    let is_at = |c: &Client| c.seen_as == t.to || c.also == Some(t.to);
                    let Some(at) = self.clients.iter().position(is_at) else {
                        continue;
                    };
                    if self.clients[at].cut == Some(t.to) {
                        continue;
                    }
                    if !(self.loses)(at, true) && !self.carried(at, true, &t.bytes) {
                        self.deliver(at, t.from, t.to, &t.bytes);
                    }
                }
                Output::Media { stream, packet } => self.exported.push((stream, packet)),
                other => self.events.push(other),
            }
        }
    }

    fn carried(&self, client: usize, toward: bool, bytes: &[u8]) -> bool {
        let network = self.network.as_ref();
        network.is_some_and(|n| n.borrow_mut().carry(self.now, client, toward, bytes))
    }

    fn deliver(&mut self, at: usize, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let client = &mut self.clients[at];
        let also = client.also.filter(|also| *also == to);
        let to = also.unwrap_or(client.address);
        if is_rtcp(bytes) && !client.heard.insert(bytes.to_vec()) {
            return; // str0m itself takes them (RFC 3711 section 3.3.2)
        }
        let proto = str0m::net::Protocol::Udp;
        if let Ok(r) = Receive::new(proto, from, to, bytes) {
            let input = str0m::Input::Receive(self.now, r);
            client.rtc.handle_input(input).unwrap();
            // Drained right after, as str0m demands; what it sends goes out in `step`.
            drain(client);
        }
    }

    /// A tick passes: five milliseconds if nothing else was said.
    pub fn step(&mut self) {
        self.now += self.tick;
        let mut sent = vec![];
        for (at, client) in self.clients.iter_mut().enumerate() {
            let input = str0m::Input::Timeout(self.now);
            client.rtc.handle_input(input).unwrap();
            drain(client);
            let arrives = |_: &Datagram| !(self.loses)(at, false);
            let (seen, also, cut) = (client.seen_as, client.also, client.cut);
            let outside = |(from, to, bytes): Datagram| {
                let also = also.filter(|also| *also == from);
                (at, also.unwrap_or(seen), to, bytes)
            };
            let arrived = client.sent.drain(..).filter(arrives).map(outside);
            sent.extend(arrived.filter(|(_, from, ..)| cut != Some(*from)));
        }
        sent.retain(|(at, _, _, bytes)| !self.carried(*at, false, bytes));
        let network = self.network.clone();
        let arrived = network.map(|n| n.borrow_mut().arrived(self.now));
        for (at, toward, bytes) in arrived.into_iter().flatten() {
            let server: SocketAddr = SERVER.parse().unwrap();
            match toward {
                true => self.deliver(at, server, self.clients[at].address, &bytes),
                false => sent.push((at, self.clients[at].seen_as, server, bytes)),
            }
        }
        for (at, from, to, bytes) in sent {
            if self.record && (is_rtp(&bytes) || is_rtcp(&bytes)) {
                self.recorded.push((at, bytes.clone()));
            }
            self.input(Input::Datagram {
                protocol: Protocol::Udp,
                from,
                to,
                bytes: &bytes,
            });
        }
        while self.sfu.deadline().is_some_and(|d| d <= self.now) {
            self.input(Input::Timeout);
        }
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    pub fn run_until(&mut self, what: &str, mut done: impl FnMut(&World) -> bool) {
        let end = self.now + Duration::from_secs(20);
        while !done(self) {
            assert!(self.now < end, "not {what} within 20 simulated seconds");
            self.step();
        }
    }

    /// Send one RTP packet of the client's m-line.
    pub fn send(&mut self, client: usize, line: usize, pt: Pt, sequence: u64, payload: &[u8]) {
        self.send_layer(client, line, None, pt, sequence, payload);
    }

    /// The same for one simulcast layer.
    pub fn send_layer(
        &mut self,
        client: usize,
        line: usize,
        rid: Option<&str>,
        pt: Pt,
        sequence: u64,
        payload: &[u8],
    ) {
        let now = self.now;
        let client = &mut self.clients[client];
        let mid = client.mids[line];
        let mut api = client.rtc.direct_api();
        let rid = rid.map(Rid::from);
        let tx = api.stream_tx_by_mid(mid, rid).expect("a sending m-line");
        let values = ExtensionValues {
            mid: Some(mid),
            rid,
            audio_level: Some(-20),
            voice_activity: Some(true),
            ..Default::default()
        };
        let time = (sequence * 960) as u32;
        let rtp = RtpWrite::new(pt, sequence.into(), time, now, payload)
            .nackable(true)
            .ext_vals(values);
        tx.write_rtp(rtp);
    }

    /// Send one packet of a picture.
    pub fn send_picture(&mut self, client: usize, rid: Option<&str>, pt: Pt, part: &Part<'_>) {
        let now = self.now;
        let client = &mut self.clients[client];
        let mid = client.mids[0];
        let rid = rid.map(Rid::from);
        let mut api = client.rtc.direct_api();
        let tx = api.stream_tx_by_mid(mid, rid).expect("a sending m-line");
        let values = ExtensionValues {
            mid: Some(mid),
            rid,
            ..Default::default()
        };
        let sequence = part.sequence.into();
        let rtp = RtpWrite::new(pt, sequence, part.timestamp, now, part.payload)
            .marker(part.marker)
            .nackable(true)
            .ext_vals(values);
        tx.write_rtp(rtp);
    }

    /// The bandwidth toward a client is estimated anew.
    pub fn estimate(&mut self, client: usize, bits: u64) {
        let mut out = vec![];
        let id = self.clients[client].id;
        self.sfu.set_estimate(self.now, id, bits, &mut out);
        self.outputs(out);
    }

    /// The payload type that the client and the SFU agreed on for a codec.
    pub fn pt(&self, client: usize, codec: str0m::format::Codec) -> Pt {
        let config = self.clients[client].rtc.codec_config();
        config.find(|p| p.spec().codec == codec).unwrap().pt()
    }

    /// The payload type for redundant sound.
    pub fn red(&self, client: usize) -> Pt {
        let config = self.clients[client].rtc.codec_config();
        config.find(|p| p.red().is_some()).unwrap().red().unwrap()
    }

    pub fn count(&self, what: &str) -> u64 {
        self.sfu.counts().get(what).copied().unwrap_or(0)
    }
}

/// DataPacket{user{payload}, sequence}
pub fn packet(payload: &[u8], sequence: u8) -> Vec<u8> {
    let (inner, size) = (payload.len() as u8, payload.len() as u8 + 2);
    [&[0x12, size, 0x12, inner], payload, &[0x80, 1, sequence]].concat()
}

/// A client says this on its reliable channel.
pub fn say(w: &mut World, client: usize, bytes: &[u8]) {
    let channels = &w.clients[client].channels;
    let (id, _) = channels.iter().find(|(_, l)| l == "_reliable").unwrap();
    let id = *id;
    let mut channel = w.clients[client].rtc.channel(id).unwrap();
    channel.write(true, bytes).unwrap();
}

/// One packet of a picture.
pub struct Part<'a> {
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
}

/// Without the transport-wide sequence numbers that feedback is about.
fn without_feedback() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    map.set(1, Extension::AudioLevel);
    map.set(4, Extension::RtpMid);
    map.set(6, Extension::PlayoutDelay);
    map.set(10, Extension::RtpStreamId);
    map.set(11, Extension::RepairedRtpStreamId);
    map
}

/// A track with these streams, each a layer without a rid, in the room that clients 1 join.
pub fn track(sid: &str, kind: Kind, publisher: Option<u64>, streams: &[u64]) -> TrackInfo {
    let layers = streams.iter().enumerate().map(|(i, s)| Layer {
        stream: StreamId(*s),
        rid: None,
        quality: i as u8,
    });
    TrackInfo {
        sid: sid.into(),
        room: RoomKey([1; 16]),
        kind,
        layers: layers.collect(),
        publisher,
        red: true,
    }
}

/// Publish a track of one stream from an m-line of a client's.
pub fn publish(world: &mut World, client: usize, line: usize, sid: &str, kind: Kind, stream: u64) {
    let (id, mid) = (
        world.clients[client].id,
        world.clients[client].mids[line].to_string(),
    );
    world.input(Input::AddTrack(track(sid, kind, Some(id), &[stream])));
    world.input(Input::Publish {
        participant: id,
        mid: &mid,
        track: sid,
    });
}

/// Have an m-line of a client's carry a track to it.
pub fn subscribe(world: &mut World, client: usize, line: usize, sid: &str) {
    let (id, mid) = (
        world.clients[client].id,
        world.clients[client].mids[line].to_string(),
    );
    world.input(Input::Subscribe {
        participant: id,
        side: Side::Publisher,
        mid: &mid,
        track: sid,
    });
}

/// Of RFC 7983 and RFC 5761: neither STUN, DTLS nor RTCP.
/// What was reported of a client, every 5 s.
pub fn figures(w: &World, client: usize) -> Vec<Figures> {
    let id = w.clients[client].id;
    w.events
        .iter()
        .filter_map(|e| match e {
            Output::Figures(all) => all.iter().find(|f| f.participant == id),
            _ => None,
        })
        .cloned()
        .collect()
}

fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, ..] if first >> 6 == 2) && !is_rtcp(bytes)
}

fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, kind, ..] if first >> 6 == 2 && (64..96).contains(&(kind & 0x7f)))
}

/// A packet's worth of a VP8 picture: the descriptor tells where one begins, the byte after it what it is (RFC 7741).
pub fn vp8(bytes: usize, begins: bool, keyframe: bool) -> Vec<u8> {
    let mut payload = vec![0x01; bytes];
    payload[0] = if begins { 0x10 } else { 0x00 };
    payload[1] = u8::from(!keyframe);
    payload
}

type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

fn drain(client: &mut Client) {
    loop {
        match client.rtc.poll_output().unwrap() {
            str0m::Output::Timeout(_) => break,
            str0m::Output::Transmit(t) => {
                let datagram = (t.source, t.destination, t.contents.to_vec());
                client.sent.push(datagram);
            }
            str0m::Output::Event(event) => match event {
                Event::Connected => client.connected = true,
                Event::RtpPacket(p) => client.packets.push(p),
                Event::KeyframeRequest(r) => client.keyframe_requests.push(r),
                Event::ChannelOpen(id, label) => client.channels.push((id, label)),
                Event::RawPacket(raw) => {
                    if let RawPacket::RtcpRx(Rtcp::Nack(nack)) = *raw {
                        client.asked.extend(named(&nack));
                    }
                }
                Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                    client.estimate = Some(estimate.as_u64());
                }
                Event::MediaEgressStats(s) => client.nacks = client.nacks.max(s.nacks),
                Event::ChannelData(d) => client.messages.push(d.data),
                _ => {}
            },
        }
    }
}

/// The sequence numbers that a request names (RFC 4585 section 6.2.1).
fn named(nack: &Nack) -> impl Iterator<Item = u16> {
    nack.reports.iter().flat_map(|entry| {
        let more = (1..=16).filter(|n| entry.blp >> (n - 1) & 1 == 1);
        let later = more.map(|n| entry.pid.wrapping_add(n));
        std::iter::once(entry.pid).chain(later)
    })
}
