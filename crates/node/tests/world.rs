//! Whole nodes with real WebRTC clients in virtual time: across workers, and across the mesh.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use node::{Bus, Command, Config, Event, Input, Node, Outputs, Protocol, Target};
use serde_bytes::ByteBuf;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::Receive;
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Rtc};
use wire::NodeId;

const ONE_WAY: Duration = Duration::from_millis(40);

struct Client {
    node: usize,
    id: u64,
    rtc: Rtc,
    address: SocketAddr,
    pending: Option<SdpPendingOffer>,
    mid: Option<Mid>,
    connected: bool,
    channel: Option<ChannelId>,
    /// Of data tracks.
    tracks: ChannelId,
    heard: Vec<u64>,
    messages: Vec<Vec<u8>>,
    sent: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

struct World {
    now: Instant,
    /// The workers of each node.
    nodes: Vec<Vec<Node>>,
    clients: Vec<Client>,
    events: Vec<(usize, Event)>,
    /// Datagrams between nodes under way: arrival, from node, to node.
    wan: VecDeque<(Instant, usize, usize, Vec<u8>)>,
    cut: bool,
}

fn client_address(node: usize) -> SocketAddr {
    format!("10.0.{node}.1:7882").parse().unwrap()
}

fn mesh_address(node: usize) -> SocketAddr {
    format!("10.1.{node}.1:7000").parse().unwrap()
}

impl World {
    fn new(nodes: usize, workers: u16) -> World {
        let now = Instant::now();
        let node = |n: usize| {
            let worker = |worker| {
                let id = NodeId(n as u16 + 1);
                let key = [n as u8 + 1; 32];
                let config = Config {
                    worker,
                    workers,
                    node: id,
                    udp_candidates: vec![client_address(n)],
                    tcp_candidates: vec![],
                    mesh: (worker == 0).then(|| mesh::Config::new(id, key, 7)),
                };
                Node::new(config, now)
            };
            (0..workers).map(worker).collect()
        };
        let mut world = World {
            now,
            nodes: (0..nodes).map(node).collect(),
            clients: vec![],
            events: vec![],
            wan: VecDeque::new(),
            cut: false,
        };
        let keys: Vec<_> = world
            .nodes
            .iter()
            .map(|n| n[0].public_key().unwrap())
            .collect();
        for from in 0..nodes {
            let mut routes = vec![];
            for (to, key) in keys.iter().enumerate().filter(|(to, _)| *to != from) {
                world.command(
                    from,
                    Command::AddPeer {
                        node: to as u16 + 1,
                        public_key: ByteBuf::from(*key),
                        addresses: vec![mesh_address(to).to_string()],
                    },
                );
                routes.push(node::Route::direct(to as u16 + 1));
            }
            world.command(from, Command::SetRoutes { routes });
        }
        world
    }

    fn command(&mut self, node: usize, command: Command) {
        for worker in 0..self.nodes[node].len() {
            self.input(node, worker, Input::Command(command.clone()));
        }
    }

    fn input(&mut self, node: usize, worker: usize, input: Input<'_>) {
        let mut out = Outputs::default();
        self.nodes[node][worker].handle(self.now, input, &mut out);
        self.outputs(node, worker, out);
    }

    fn outputs(&mut self, node: usize, worker: usize, out: Outputs) {
        self.events
            .extend(out.events.into_iter().map(|e| (node, e)));
        for t in out.client {
            let Some(client) = self.clients.iter_mut().find(|c| c.address == t.to) else {
                continue;
            };
            let proto = str0m::net::Protocol::Udp;
            if let Ok(r) = Receive::new(proto, t.from, t.to, &t.bytes) {
                client
                    .rtc
                    .handle_input(str0m::Input::Receive(self.now, r))
                    .unwrap();
                drain(client);
            }
        }
        for t in out.mesh.into_iter().filter(|_| !self.cut) {
            let to = usize::from(t.peer.0) - 1;
            self.wan.push_back((self.now + ONE_WAY, node, to, t.bytes));
        }
        let bus: Vec<(Target, Bus)> = out.bus;
        for (target, message) in bus {
            for other in (0..self.nodes[node].len()).filter(|w| *w != worker) {
                if target == Target::Others || target == Target::Worker(other as u16) {
                    self.input(node, other, Input::Bus(message.clone()));
                }
            }
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(5);
        while self.wan.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, from, to, mut bytes) = self.wan.pop_front().unwrap();
            let from = mesh_address(from);
            self.input(
                to,
                0,
                Input::Mesh {
                    port: 0,
                    from,
                    bytes: &mut bytes,
                },
            );
        }
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            client
                .rtc
                .handle_input(str0m::Input::Timeout(self.now))
                .unwrap();
            drain(client);
            let (node, id) = (client.node, client.id);
            let worker = (id % self.nodes[node].len() as u64) as usize;
            for (from, to, bytes) in std::mem::take(&mut client.sent) {
                let protocol = Protocol::Udp;
                let bytes = bytes.as_slice();
                self.input(
                    node,
                    worker,
                    Input::Client {
                        protocol,
                        from,
                        to,
                        bytes,
                    },
                );
            }
        }
        for node in 0..self.nodes.len() {
            for worker in 0..self.nodes[node].len() {
                while self.nodes[node][worker]
                    .deadline()
                    .is_some_and(|d| d <= self.now)
                {
                    self.input(node, worker, Input::Timeout);
                }
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    fn run_until(&mut self, what: &str, mut done: impl FnMut(&World) -> bool) {
        let end = self.now + Duration::from_secs(20);
        while !done(self) {
            assert!(self.now < end, "not {what} within 20 simulated seconds");
            self.step();
        }
    }

    /// A client with a data channel and one m-line joins a node; `id` chooses its worker.
    fn join(&mut self, node: usize, id: u64, direction: Direction) -> usize {
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(self.now);
        let address = format!("10.2.{node}.{id}:5000").parse().unwrap();
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let mut api = rtc.sdp_api();
        let mid = api.add_media(MediaKind::Audio, direction, None, None, None);
        let channel = api.add_channel("_reliable".into());
        let tracks = api.add_channel("_data_track".into());
        let (offer, pending) = api.apply().unwrap();
        self.clients.push(Client {
            node,
            id,
            rtc,
            address,
            pending: Some(pending),
            mid: Some(mid),
            connected: false,
            channel: Some(channel),
            tracks,
            heard: vec![],
            messages: vec![],
            sent: vec![],
        });
        let at = self.clients.len() - 1;
        self.command(
            node,
            Command::AddParticipant {
                participant: id,
                room: ByteBuf::from([1; 16]),
                sid: format!("PA_{id}"),
                identity: format!("client-{id}"),
                agent: false,
                can_publish_data: true,
                can_subscribe: true,
                single: true,
                negotiated_channels: false,
                allow_pause: false,
                packet_trailers: false,
            },
        );
        let sdp = offer.to_sdp_string();
        let transport = "publisher".to_owned();
        self.command(
            node,
            Command::AcceptOffer {
                participant: id,
                transport,
                offer_id: 1,
                sdp,
            },
        );
        let answer = self.events.iter().rev().find_map(|(_, e)| match e {
            Event::Answered {
                participant, sdp, ..
            } if *participant == id => Some(sdp.clone()),
            _ => None,
        });
        let answer = SdpAnswer::from_sdp_string(&answer.expect("an answer")).unwrap();
        let client = &mut self.clients[at];
        let pending = client.pending.take().unwrap();
        client.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.run_until("connected", |w| w.clients[at].connected);
        at
    }

    fn add_track(&mut self, node: usize, publisher: Option<u64>) {
        self.add_voice(node, "TR_a", 5, publisher);
    }

    fn add_voice(&mut self, node: usize, track: &str, serial: u64, publisher: Option<u64>) {
        self.command(
            node,
            Command::AddTrack {
                track: track.into(),
                room: ByteBuf::from([1; 16]),
                kind: "audio".into(),
                layers: vec![node::Layer::new(1 << 48 | serial, None, 0)],
                tag: 0,
                publisher,
                red: true,
            },
        );
    }

    fn publish(&mut self, client: usize) {
        self.publish_voice(client, "TR_a", 5);
    }

    fn publish_voice(&mut self, client: usize, track: &str, serial: u64) {
        let (node, participant) = (self.clients[client].node, self.clients[client].id);
        let mid = self.clients[client].mid.unwrap().to_string();
        self.add_voice(node, track, serial, Some(participant));
        self.command(
            node,
            Command::Publish {
                participant,
                mid,
                track: track.into(),
            },
        );
    }

    fn subscribe(&mut self, client: usize) {
        self.subscribe_to(client, "TR_a");
    }

    fn subscribe_to(&mut self, client: usize, track: &str) {
        let (node, participant) = (self.clients[client].node, self.clients[client].id);
        self.command(
            node,
            Command::Subscribe {
                participant,
                transport: "publisher".into(),
                mid: self.clients[client].mid.unwrap().to_string(),
                track: track.into(),
            },
        );
    }

    fn speak(&mut self, client: usize, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let client = &mut self.clients[client];
            let pt = client
                .rtc
                .codec_config()
                .find(|p| p.spec().codec == Codec::Opus);
            let pt = pt.unwrap().pt();
            let mut api = client.rtc.direct_api();
            let tx = api.stream_tx_by_mid(client.mid.unwrap(), None).unwrap();
            let (time, payload) = ((number * 960) as u32, number.to_be_bytes());
            tx.write_rtp(RtpWrite::new(pt, number.into(), time, self.now, payload));
            self.run(Duration::from_millis(20));
        }
    }

    /// A data track of node 1's, as a node of the world knows it.
    fn add_data(&mut self, node: usize, publisher: Option<u64>) {
        self.command(
            node,
            Command::AddDataTrack {
                track: "DTR_a".into(),
                stream: 1 << 48 | 9,
                publisher,
                handle: if publisher.is_some() { 5 } else { 0 },
                tag: 0,
            },
        );
    }

    fn subscribe_data(&mut self, client: usize, handle: u16) {
        let (node, participant) = (self.clients[client].node, self.clients[client].id);
        self.command(
            node,
            Command::SubscribeData {
                participant,
                track: "DTR_a".into(),
                handle,
            },
        );
    }

    /// Send a packet of so many bytes of payload under handle 5.
    fn push(&mut self, client: usize, number: u8, size: usize) {
        let client = &mut self.clients[client];
        let mut channel = client.rtc.channel(client.tracks).unwrap();
        assert!(channel.write(true, &data_packet(5, number, size)).unwrap());
        self.run(Duration::from_millis(20));
    }

    fn say(&mut self, client: usize, text: &str) {
        let mut packet = vec![0x12, text.len() as u8 + 2, 0x12, text.len() as u8];
        packet.extend(text.bytes());
        let client = &mut self.clients[client];
        let mut channel = client.rtc.channel(client.channel.unwrap()).unwrap();
        assert!(channel.write(true, &packet).unwrap());
    }
}

/// A data track's packet: a frame of its own.
fn data_packet(handle: u16, number: u8, size: usize) -> Vec<u8> {
    let mut packet = vec![0x18, 0];
    packet.extend(handle.to_be_bytes());
    packet.extend([0, number, 0, number, 0, 0, 0, 9]);
    packet.resize(12 + size, number);
    packet
}

fn drain(client: &mut Client) {
    loop {
        match client.rtc.poll_output().unwrap() {
            str0m::Output::Timeout(_) => break,
            str0m::Output::Transmit(t) => {
                client
                    .sent
                    .push((t.source, t.destination, t.contents.to_vec()));
            }
            str0m::Output::Event(event) => match event {
                str0m::Event::Connected => client.connected = true,
                str0m::Event::RtpPacket(p) => {
                    let number = u64::from_be_bytes(p.payload[..8].try_into().unwrap());
                    client.heard.push(number);
                }
                str0m::Event::ChannelData(d) => client.messages.push(d.data),
                _ => {}
            },
        }
    }
}

fn texts(world: &World, client: usize) -> Vec<String> {
    let messages = &world.clients[client].messages;
    messages
        .iter()
        .map(|m| String::from_utf8_lossy(m).into_owned())
        .collect()
}

#[test]
fn one_room_on_three_workers() {
    let mut w = World::new(1, 3);
    let ann = w.join(0, 1, Direction::SendOnly);
    let bob = w.join(0, 2, Direction::RecvOnly);
    let cid = w.join(0, 3, Direction::RecvOnly);
    w.publish(ann);
    w.subscribe(bob);
    w.subscribe(cid);
    w.speak(ann, 100..120);
    assert_eq!(w.clients[bob].heard, (100..120).collect::<Vec<_>>());
    assert_eq!(w.clients[cid].heard, (100..120).collect::<Vec<_>>());
    w.say(ann, "across workers");
    w.run(Duration::from_millis(200));
    for client in [bob, cid] {
        assert_eq!(texts(&w, client).len(), 1);
        assert!(texts(&w, client)[0].contains("across workers"));
    }
    w.command(
        0,
        Command::Unsubscribe {
            participant: 2,
            track: "TR_a".into(),
        },
    );
    w.speak(ann, 120..125);
    assert_eq!(w.clients[bob].heard.len(), 20);
    assert_eq!(w.clients[cid].heard.len(), 25);
}

#[test]
fn a_voice_that_is_not_among_the_loudest_does_not_cross_the_sea() {
    let mut w = World::new(2, 2);
    // Both who speak are on one worker, as are both who hear.
    let ann = w.join(0, 2, Direction::SendOnly);
    let ben = w.join(0, 4, Direction::SendOnly);
    let (cid, dee) = (
        w.join(1, 6, Direction::RecvOnly),
        w.join(1, 8, Direction::RecvOnly),
    );
    for (track, serial, speaker, hearer) in [("TR_a", 5, ann, cid), ("TR_b", 6, ben, dee)] {
        w.publish_voice(speaker, track, serial);
        w.add_voice(1, track, serial, None);
        w.run(Duration::from_secs(2));
        w.subscribe_to(hearer, track);
    }
    w.run(Duration::from_millis(500));
    // Only the node of those who speak knows the scene: what it lets through is heard.
    w.command(
        0,
        Command::SetScene {
            room: ByteBuf::from([1; 16]),
            audio_top: 1,
            unranked: vec![],
            repeats: 1,
            copies: "never".into(),
            speech_reserve_kbps: 0,
            playout_ms: None,
        },
    );
    for n in 100..150 {
        w.speak(ann, n..n + 1);
        w.speak(ben, n..n + 1);
    }
    w.run(Duration::from_millis(300));
    assert_eq!(w.clients[cid].heard, (100..150).collect::<Vec<_>>());
    assert_eq!(w.clients[dee].heard, []);
    // Ann stops; a second later Ben has the place, and what he said just before is heard too.
    w.run(Duration::from_secs(1));
    w.speak(ben, 150..160);
    w.run(Duration::from_millis(300));
    assert_eq!(w.clients[dee].heard, (147..160).collect::<Vec<_>>());
}

#[test]
fn a_call_between_two_nodes_of_two_workers() {
    let mut w = World::new(2, 2);
    let ann = w.join(0, 1, Direction::SendOnly);
    let bob = w.join(1, 3, Direction::RecvOnly);
    let cid = w.join(1, 2, Direction::RecvOnly);
    w.publish(ann);
    w.add_track(1, None);
    for (node, other) in [(0, 2), (1, 1)] {
        let room = ByteBuf::from([1; 16]);
        w.command(
            node,
            Command::SetRoomNodes {
                room,
                nodes: vec![other],
                tag: 0,
            },
        );
    }
    w.run(Duration::from_secs(2));
    w.subscribe(bob);
    w.subscribe(cid);
    w.run(Duration::from_millis(500));
    w.speak(ann, 100..150);
    w.run(Duration::from_millis(200));
    for client in [bob, cid] {
        assert_eq!(w.clients[client].heard, (100..150).collect::<Vec<_>>());
    }
    w.say(bob, "over the sea");
    w.run(Duration::from_millis(500));
    assert!(texts(&w, ann).iter().any(|t| t.contains("over the sea")));
    assert_eq!(texts(&w, cid).len(), 1);

    // One copy crosses, however many listen there.
    let forwarded = w.events.iter().rev().find_map(|(n, e)| match e {
        Event::LinkReport { links } if *n == 0 => Some(links[0].sent_packets),
        _ => None,
    });
    assert!(forwarded.is_some());

    // The cable is cut for a second and heals: speech goes on, nothing is heard twice.
    w.cut = true;
    w.speak(ann, 150..200);
    w.cut = false;
    w.run(Duration::from_secs(8));
    w.speak(ann, 200..250);
    w.run(Duration::from_millis(300));
    let heard = &w.clients[bob].heard;
    assert!(
        (200..250).all(|n| heard.contains(&n)),
        "the end is heard: {heard:?}"
    );
    let mut once = heard.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), heard.len());
}

#[test]
fn a_data_track_goes_to_the_workers_and_nodes_that_subscribe() {
    let mut w = World::new(3, 2);
    let ann = w.join(0, 1, Direction::SendOnly);
    let near = [
        w.join(0, 3, Direction::RecvOnly),
        w.join(0, 2, Direction::RecvOnly),
    ];
    let far = [
        w.join(1, 5, Direction::RecvOnly),
        w.join(1, 4, Direction::RecvOnly),
    ];
    let deaf = w.join(2, 7, Direction::RecvOnly);
    w.add_data(0, Some(1));
    w.add_data(1, None);
    w.add_data(2, None);
    for (client, handle) in near.into_iter().chain(far).zip(1..) {
        w.subscribe_data(client, handle);
    }
    w.run(Duration::from_millis(500));
    // One that fits into a datagram, and one of the longest that SDKs send.
    w.push(ann, 1, 100);
    w.push(ann, 2, 16_000);
    w.run(Duration::from_millis(500));
    for (client, handle) in near.into_iter().chain(far).zip(1..) {
        let sent = [data_packet(handle, 1, 100), data_packet(handle, 2, 16_000)];
        assert_eq!(w.clients[client].messages, sent);
    }
    assert!(w.clients[deaf].messages.is_empty());
    let sent = w.nodes[0][0].mesh_ref().unwrap().counts()["mesh_media_sent"];
    assert_eq!(sent, 2, "one copy of each for the one node that asked");

    for client in far {
        let (participant, track) = (w.clients[client].id, "DTR_a".into());
        w.command(1, Command::Unsubscribe { participant, track });
    }
    w.run(Duration::from_millis(500));
    w.push(ann, 3, 100);
    w.run(Duration::from_millis(500));
    assert_eq!(w.clients[near[0]].messages.len(), 3);
    assert_eq!(w.clients[far[0]].messages.len(), 2);
    let sent = w.nodes[0][0].mesh_ref().unwrap().counts()["mesh_media_sent"];
    assert_eq!(sent, 2);

    w.command(
        0,
        Command::RemoveTrack {
            track: "DTR_a".into(),
        },
    );
    w.push(ann, 4, 100);
    assert_eq!(w.clients[near[0]].messages.len(), 3);
}
