//! Whole shells over loopback, around a core that shows what reached it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use node::{Bus, ClientTransmit, Command, Event, Input, MeshTransmit, Outputs, Target};
use wire::{NodeId, StreamId};

use crate::config::NodeConfig;
use crate::framing;
use crate::shell::Shell;
use crate::stun::tests::binding_request;
use crate::worker::Core;

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers each client packet with its worker's number and what came; a few first bytes do more.
struct Echo {
    worker: u16,
    mesh: Option<SocketAddr>,
    due: Option<Instant>,
}

const SAY_ON_THE_BUS: u8 = b'B';
const PANIC: u8 = b'P';
const SEND_TWENTY: u8 = b'T';
const SEND_BY_MESH: u8 = b'M';
const WAIT: u8 = b'W';

impl Core for Echo {
    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outputs) {
        match input {
            Input::Client {
                protocol,
                from,
                to,
                bytes,
            } => {
                let copies = if bytes[0] == SEND_TWENTY { 20 } else { 1 };
                for copy in 0..copies {
                    let mut answer = vec![self.worker as u8, copy];
                    answer.extend_from_slice(bytes);
                    out.client.push(ClientTransmit {
                        protocol,
                        from: to,
                        to: from,
                        bytes: answer,
                    });
                }
                match (bytes[0], self.mesh) {
                    (SAY_ON_THE_BUS, _) => {
                        let stream = StreamId(u64::from(self.worker));
                        out.bus.push((Target::Others, Bus::NeedKeyframe { stream }));
                    }
                    (SEND_BY_MESH, Some(to)) => {
                        let bytes = bytes.to_vec();
                        out.mesh.push(MeshTransmit {
                            peer: NodeId(9),
                            to,
                            port: 0,
                            bytes,
                        });
                    }
                    (WAIT, _) => self.due = Some(now + Duration::from_millis(20)),
                    (PANIC, _) => panic!("as the test asked"),
                    _ => {}
                }
            }
            Input::ClientClosed { .. } => out.events.push(said(self.worker, "closed")),
            Input::Mesh { port, bytes, .. } => {
                let text = format!("mesh {port} {}", String::from_utf8_lossy(bytes));
                out.events.push(said(self.worker, &text));
            }
            Input::Command(Command::RemoveParticipant { .. }) => {
                out.events.push(said(self.worker, "command"));
            }
            Input::Command(_) => out.events.push(said(self.worker, "command for all")),
            Input::Bus(Bus::NeedKeyframe { stream }) => {
                out.events
                    .push(said(self.worker, &format!("bus from {}", stream.0)));
            }
            Input::Bus(_) => {}
            Input::Timeout => {
                self.due = None;
                out.events.push(said(self.worker, "timeout"));
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

fn said(worker: u16, text: &str) -> Event {
    Event::SubscriptionLive {
        participant: u64::from(worker),
        track: text.to_owned(),
    }
}

fn start(workers: u16, mesh: Option<SocketAddr>) -> Shell {
    let config = NodeConfig {
        node: 1,
        workers,
        ..NodeConfig::default()
    };
    Shell::start_with(&config, |worker, _, _, _| Echo {
        worker,
        mesh,
        due: None,
    })
    .expect("loopback has ports")
}

fn client(shell: &Shell) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket
        .connect(("127.0.0.1", shell.udp_port()))
        .expect("loopback is up");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("the socket is ours");
    socket
}

fn ask(socket: &UdpSocket, bytes: &[u8]) -> Vec<u8> {
    socket.send(bytes).expect("loopback is up");
    hear(socket)
}

fn hear(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 4_096];
    let count = socket.recv(&mut buffer).expect("the shell answers");
    buffer[..count].to_vec()
}

/// Drains until every wanted event came; other events are passed over.
fn expect(shell: &Shell, mut wanted: Vec<Event>) {
    let start = crate::clock::now();
    while !wanted.is_empty() {
        for event in shell.drain() {
            wanted.retain(|one| *one != event);
        }
        let waited = crate::clock::now() - start;
        assert!(waited < PATIENCE, "these never came: {wanted:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_datagram_is_answered_from_where_it_was_sent_to() {
    let shell = start(1, None);
    assert_eq!(ask(&client(&shell), b"hello"), b"\0\0hello");
}

#[test]
fn twenty_answers_to_one_client_arrive_whole_and_in_order() {
    let shell = start(1, None);
    let socket = client(&shell);
    socket.send(b"T").expect("loopback is up");
    for copy in 0..20 {
        assert_eq!(hear(&socket), [0, copy, b'T']);
    }
}

#[test]
fn stun_finds_the_participants_worker_and_what_follows_goes_there_too() {
    let shell = start(4, None);
    // All stay open: a port must not be given out twice, it is its participant's.
    let mut sockets = Vec::new();
    for participant in 0..24u64 {
        sockets.push(client(&shell));
        let socket = sockets.last().expect("it was just opened");
        let request = binding_request(&format!("{}:theirs", ufrag(participant)));
        let owner = (participant % 4) as u8;
        assert_eq!(ask(socket, &request)[0], owner);
        assert_eq!(ask(socket, b"media")[0], owner);
    }
    expect_count(&shell, "io_handed_over");
}

#[test]
fn media_from_an_address_that_nobody_named_is_shown_to_every_worker() {
    let shell = start(4, None);
    let socket = client(&shell);
    socket.send(b"\x80sound").expect("loopback is up");
    let mut answers: Vec<u8> = (0..4).map(|_| hear(&socket)[0]).collect();
    answers.sort_unstable();
    assert_eq!(answers, [0, 1, 2, 3]);
    let request = binding_request(&format!("{}:theirs", ufrag(2)));
    assert_eq!(ask(&socket, &request)[0], 2);
    assert_eq!(ask(&socket, b"\x80sound")[0], 2);
    // Nothing else came from the others meanwhile.
    assert_eq!(ask(&socket, b"\x80again"), b"\x02\x00\x80again");
}

#[test]
fn strange_stun_finds_its_worker_but_diverts_no_media() {
    let shell = start(4, None);
    let socket = client(&shell);
    let request = |participant| binding_request(&format!("{}:theirs", ufrag(participant)));
    assert_eq!(ask(&socket, &request(2))[0], 2);
    for participant in [1, 3, 0, 2] {
        assert_eq!(ask(&socket, &request(participant))[0], participant as u8);
        assert_eq!(ask(&socket, b"media")[0], 2);
    }
}

#[test]
fn a_tcp_client_reaches_its_worker_and_its_end_is_told() {
    let shell = start(4, None);
    for participant in 0..4u64 {
        let request = binding_request(&format!("{}:theirs", ufrag(participant)));
        let mut stream = tcp(&shell);
        let mut sent = Vec::new();
        framing::encode(&request, &mut sent);
        framing::encode(b"media", &mut sent);
        for part in sent.chunks(7) {
            stream.write_all(part).expect("the connection is open");
        }
        let mut answers = vec![0; 2 * (2 + 2) + request.len() + 5];
        stream
            .read_exact(&mut answers)
            .expect("the connection is open");
        assert_eq!(answers[2], participant as u8);
        assert_eq!(
            &answers[answers.len() - 7..],
            [&[participant as u8, 0][..], b"media"].concat()
        );
        drop(stream);
        expect(&shell, vec![said(participant as u16, "closed")]);
    }
}

#[test]
fn a_tcp_connection_that_starts_with_anything_but_stun_is_closed() {
    let shell = start(2, None);
    for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 3, 1, 2, 3], &[0, 0]] {
        let mut stream = tcp(&shell);
        stream.write_all(first).expect("the connection is open");
        assert_eq!(
            stream.read(&mut [0; 16]).unwrap_or(0),
            0,
            "{first:?} was answered"
        );
    }
    assert_eq!(ask(&client(&shell), b"well?")[2..], *b"well?");
}

#[test]
fn commands_go_to_their_worker_and_the_rest_to_all() {
    let shell = start(3, None);
    shell
        .handle(Command::RemoveParticipant { participant: 5 })
        .expect("there is room");
    expect(&shell, vec![said(2, "command")]);
    shell
        .handle(Command::RemovePeer { node: 5 })
        .expect("there is room");
    expect(
        &shell,
        (0..3)
            .map(|worker| said(worker, "command for all"))
            .collect(),
    );
}

#[test]
fn the_bus_reaches_every_other_worker() {
    let shell = start(3, None);
    let socket = client(&shell);
    let request = binding_request(&format!("{}:theirs", ufrag(1)));
    assert_eq!(ask(&socket, &request)[0], 1);
    ask(&socket, b"B");
    expect(&shell, vec![said(0, "bus from 1"), said(2, "bus from 1")]);
}

#[test]
fn timers_fire_without_traffic() {
    let shell = start(1, None);
    ask(&client(&shell), b"W");
    expect(&shell, vec![said(0, "timeout")]);
}

#[test]
fn nodes_reach_each_other_over_the_mesh_socket() {
    let far = start(1, None);
    let near = start(
        1,
        Some(SocketAddr::from(([127, 0, 0, 1], far.mesh_ports()[0]))),
    );
    ask(&client(&near), b"Mesh");
    expect(&far, vec![said(0, "mesh 0 Mesh")]);
}

#[test]
fn what_comes_to_a_mesh_port_has_its_number() {
    let far = start(1, None);
    assert_eq!(far.mesh_ports().len(), mesh::MAX_PAIRS);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    for (number, port) in far.mesh_ports().iter().enumerate() {
        let sent = socket.send_to(b"?", ("127.0.0.1", *port));
        assert_eq!(sent.expect("loopback is up"), 1);
        expect(&far, vec![said(0, &format!("mesh {number} ?"))]);
    }
}

#[test]
fn a_cut_way_to_a_peer_carries_nothing_until_it_heals() {
    let far = start(1, None);
    let near = start(
        1,
        Some(SocketAddr::from(([127, 0, 0, 1], far.mesh_ports()[0]))),
    );
    let socket = client(&near);
    let emulate = |cut| {
        let command = Command::SetEmulation {
            node: 9,
            pair: None,
            delay_ms: 0.0,
            jitter_ms: 0.0,
            loss: 0.0,
            rate_kbps: None,
            cut,
        };
        near.handle(command).expect("there is room");
        near.handle(Command::RemoveParticipant { participant: 0 })
            .expect("there is room");
        expect(&near, vec![said(0, "command")]);
    };
    emulate(true);
    ask(&socket, b"Mcut");
    emulate(false);
    ask(&socket, b"Mhealed");
    let mut heard = Vec::new();
    expect_all(&far, &mut heard, said(0, "mesh 0 Mhealed"));
    assert!(!heard.contains(&said(0, "mesh 0 Mcut")), "{heard:?}");
}

/// Keeps every event until the wanted one came.
fn expect_all(shell: &Shell, heard: &mut Vec<Event>, wanted: Event) {
    let start = crate::clock::now();
    while !heard.contains(&wanted) {
        heard.extend(shell.drain());
        assert!(
            crate::clock::now() - start < PATIENCE,
            "{wanted:?} never came"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_becomes_a_fatal_event() {
    let shell = start(2, None);
    let socket = client(&shell);
    let request = binding_request(&format!("{}:theirs", ufrag(1)));
    ask(&socket, &request);
    socket.send(b"P").expect("loopback is up");
    let reason = "packet thread 1 panicked: as the test asked".to_owned();
    expect(&shell, vec![Event::Fatal { reason }]);
}

/// Waits for a report in which a counter isn't zero.
fn expect_count(shell: &Shell, name: &str) {
    let start = crate::clock::now();
    loop {
        for event in shell.drain() {
            if let Event::Counters { counts } = event
                && counts.get(name).is_some_and(|&count| count > 0)
            {
                return;
            }
        }
        assert!(crate::clock::now() - start < PATIENCE, "{name} stayed 0");
        std::thread::yield_now();
    }
}

fn tcp(shell: &Shell) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", shell.tcp_port())).expect("the shell listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("the stream is ours");
    stream.set_nodelay(true).expect("the stream is ours");
    stream
}

/// A local ufrag as the node makes it.
fn ufrag(participant: u64) -> String {
    let ufrag = format!("F{participant:x}Pabc");
    assert_eq!(node::participant_of_ufrag(&ufrag), Some(participant));
    ufrag
}
