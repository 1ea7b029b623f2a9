//! A call through a whole node: real WebRTC clients on real sockets, over UDP and over TCP.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that plays the clients"
)]

mod relay;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use io::framing::{self, Decoder};
use io::{Command, Event, FrontConfig, NodeConfig, Shell, TurnConfig};
use relay::{Relay, Socket};
use rustls::pki_types::CertificateDer;
use str0m::change::SdpAnswer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc};

const PATIENCE: Duration = Duration::from_secs(60);

/// What carries a client's packets.
enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream, Decoder),
    Relay(Relay),
}

/// How a client comes.
#[derive(Clone, Debug)]
enum By {
    Udp,
    /// ICE-TCP on a port.
    Tcp(u16),
    TurnUdp,
    TurnTcp,
    TurnTls(CertificateDer<'static>),
}

impl By {
    /// The way, and the address that the node sees.
    fn open(self, shell: &Shell) -> (Way, SocketAddr) {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let socket = match self {
            By::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_nonblocking(true).unwrap();
                let local = socket.local_addr().unwrap();
                return (Way::Udp(socket), local);
            }
            By::Tcp(port) => {
                let stream = TcpStream::connect(at(port)).unwrap();
                stream.set_nonblocking(true).unwrap();
                let local = stream.local_addr().unwrap();
                return (Way::Tcp(stream, Decoder::default()), local);
            }
            By::TurnUdp => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(at(shell.turn_port())).unwrap();
                Socket::Udp(socket)
            }
            By::TurnTcp => Socket::Tcp(TcpStream::connect(at(shell.turn_port())).unwrap()),
            By::TurnTls(certificate) => relay::tls(at(shell.front_port()), &certificate),
        };
        let relay = Relay::open(socket, at(shell.udp_port()));
        let relayed = relay.relayed;
        (Way::Relay(relay), relayed)
    }
}

struct Client {
    id: u64,
    way: Way,
    local: SocketAddr,
    rtc: Rtc,
    mid: Option<Mid>,
    connected: bool,
    heard: Vec<u64>,
}

impl Client {
    /// Joins and negotiates one audio m-line; the connection is made by `turn`.
    fn join(shell: &Shell, id: u64, by: By, direction: Direction) -> Client {
        let now = Instant::now();
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        let (way, local) = by.open(shell);
        let candidate = match &way {
            Way::Udp(_) => Candidate::host(local, "udp"),
            Way::Tcp(..) => Candidate::builder()
                .tcp()
                .host(local)
                .tcptype(TcpType::Active)
                .build(),
            Way::Relay(_) => Candidate::relayed(local, local, "udp"),
        };
        rtc.add_local_candidate(candidate.unwrap());
        let mut api = rtc.sdp_api();
        let mid = api.add_media(MediaKind::Audio, direction, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        let room = serde_bytes::ByteBuf::from([1; 16]);
        shell
            .handle(Command::AddParticipant {
                participant: id,
                room,
                sid: format!("PA_{id}"),
                identity: format!("client-{id}"),
                agent: false,
                can_publish_data: true,
                can_subscribe: true,
                single: true,
                negotiated_channels: false,
                allow_pause: false,
                packet_trailers: false,
            })
            .unwrap();
        let sdp = offer.to_sdp_string();
        let transport = "publisher".to_owned();
        let offer = Command::AcceptOffer {
            participant: id,
            transport,
            offer_id: 1,
            sdp,
        };
        shell.handle(offer).unwrap();
        let answer = wait(shell, "an answer", |event| match event {
            Event::Answered {
                participant, sdp, ..
            } if participant == id => Some(sdp),
            Event::NegotiationFailed { reason, .. } => panic!("{reason}"),
            _ => None,
        });
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();
        Client {
            id,
            way,
            local,
            rtc,
            mid: Some(mid),
            connected: false,
            heard: Vec::new(),
        }
    }

    /// Reads what waits and sends what is due.
    fn turn(&mut self, server: (SocketAddr, SocketAddr)) {
        let (udp, tcp) = server;
        let mut packets = Vec::new();
        let mut buffer = [0; 4_096];
        let (protocol, from) = match &mut self.way {
            Way::Udp(socket) => {
                while let Ok(count) = socket.recv(&mut buffer) {
                    packets.push(buffer[..count].to_vec());
                }
                (Protocol::Udp, udp)
            }
            Way::Tcp(stream, decoder) => {
                loop {
                    match stream.read(&mut buffer) {
                        Ok(0) => panic!("the node closed the connection"),
                        Ok(count) => {
                            decoder
                                .push(&buffer[..count], |one| packets.push(one.to_vec()))
                                .unwrap();
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                (Protocol::Tcp, tcp)
            }
            Way::Relay(relay) => {
                packets = relay.receive();
                (Protocol::Udp, udp)
            }
        };
        for packet in packets {
            let receive = Receive::new(protocol, from, self.local, &packet).unwrap();
            self.rtc
                .handle_input(Input::Receive(Instant::now(), receive))
                .unwrap();
            self.drain();
        }
        self.rtc
            .handle_input(Input::Timeout(Instant::now()))
            .unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => match &mut self.way {
                    Way::Udp(socket) => {
                        let _ = socket.send_to(&transmit.contents, transmit.destination);
                    }
                    Way::Tcp(stream, _) => {
                        let mut frame = Vec::new();
                        assert!(framing::encode(&transmit.contents, &mut frame));
                        assert_eq!(stream.write(&frame).unwrap(), frame.len());
                    }
                    Way::Relay(relay) => relay.send(&transmit.contents),
                },
                Output::Event(str0m::Event::Connected) => self.connected = true,
                Output::Event(str0m::Event::RtpPacket(packet)) => {
                    self.heard
                        .push(u64::from_be_bytes(packet.payload[..8].try_into().unwrap()));
                }
                Output::Event(_) => {}
            }
        }
    }

    fn speak(&mut self, number: u64) {
        let opus = self
            .rtc
            .codec_config()
            .find(|codec| codec.spec().codec == Codec::Opus);
        let pt = opus.unwrap().pt();
        let mut api = self.rtc.direct_api();
        let tx = api.stream_tx_by_mid(self.mid.unwrap(), None).unwrap();
        let (time, payload) = ((number * 960) as u32, number.to_be_bytes());
        tx.write_rtp(
            RtpWrite::new(pt, number.into(), time, Instant::now(), payload).nackable(true),
        );
    }
}

fn wait<T>(shell: &Shell, what: &str, mut found: impl FnMut(Event) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        for event in shell.drain() {
            assert!(!matches!(event, Event::Fatal { .. }), "{event:?}");
            if let Some(found) = found(event) {
                return found;
            }
        }
        assert!(start.elapsed() < PATIENCE, "{what} never came");
        std::thread::yield_now();
    }
}

/// Gives every client its turn until all of them are done.
fn run(shell: &Shell, clients: &mut [Client], what: &str, done: impl Fn(&Client) -> bool) {
    let start = Instant::now();
    while !clients.iter().all(&done) {
        assert!(start.elapsed() < PATIENCE, "not everyone is {what}");
        turn(shell, clients);
    }
}

fn turn(shell: &Shell, clients: &mut [Client]) {
    let server = (
        SocketAddr::from(([127, 0, 0, 1], shell.udp_port())),
        SocketAddr::from(([127, 0, 0, 1], shell.tcp_port())),
    );
    clients.iter_mut().for_each(|client| client.turn(server));
    std::thread::yield_now();
}

#[test]
fn one_speaks_and_three_on_other_workers_hear_over_udp_and_tcp() {
    let config = NodeConfig {
        node: 1,
        workers: 3,
        ..NodeConfig::default()
    };
    let shell = Shell::start(&config).unwrap();
    let tcp = By::Tcp(shell.tcp_port());
    call(&shell, vec![tcp.clone(), By::Udp, tcp, By::Udp]);
}

#[test]
fn turn_and_the_one_port_carry_a_call_between_workers() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = Folder::new("call");
    let certificate = folder.write("certificate.pem", &made.cert.pem());
    let key = folder.write("key.pem", &made.signing_key.serialize_pem());
    let config = NodeConfig {
        node: 1,
        workers: 3,
        turn: Some(TurnConfig {
            realm: "fairlead".to_owned(),
            secret: relay::SECRET.to_vec(),
            max_allocations: 10,
            max_per_user: 10,
            ..TurnConfig::default()
        }),
        front: Some(FrontConfig {
            certificate,
            key,
            ..FrontConfig::default()
        }),
        ..NodeConfig::default()
    };
    let shell = Shell::start(&config).unwrap();
    let tls = By::TurnTls(made.cert.der().clone());
    let front = By::Tcp(shell.front_port());
    let everyone = vec![tls.clone(), By::TurnUdp, By::TurnTcp, front, tls, By::Udp];
    // They stay: with a client's connection its allocation goes, counted or not.
    let _clients = call(&shell, everyone);
    let counts = wait(&shell, "counters", |event| match event {
        Event::Counters { counts } => {
            (counts.get("turn_allocations") == Some(&4)).then_some(counts)
        }
        _ => None,
    });
    assert_eq!(counts["gate_ice_streams"], 1);
    assert_eq!(counts["gate_tls_streams"], 2);
    assert_eq!(counts["gate_turn_streams"], 3);
    assert_eq!(counts["turn_unauthorized"] + counts["turn_unpermitted"], 0);
}

/// A directory of the test's own, gone with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("fairlead-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The first speaks and the others hear all of it. They are as they were in the end.
fn call(shell: &Shell, ways: Vec<By>) -> Vec<Client> {
    let speaker = |id| match id {
        1 => Direction::SendOnly,
        _ => Direction::RecvOnly,
    };
    let mut clients: Vec<Client> = (1..)
        .zip(ways)
        .map(|(id, by)| Client::join(shell, id, by, speaker(id)))
        .collect();
    run(shell, &mut clients, "connected", |client| client.connected);

    let track = "TR_a".to_owned();
    shell
        .handle(Command::AddTrack {
            track: track.clone(),
            room: serde_bytes::ByteBuf::from([1; 16]),
            kind: "audio".to_owned(),
            layers: vec![node::Layer::new((1 << 48) | 5, None, 0)],
            publisher: Some(1),
            red: true,
            tag: 0,
        })
        .unwrap();
    for client in &clients {
        let (participant, track) = (client.id, track.clone());
        let mid = client.mid.unwrap().to_string();
        let transport = "publisher".to_owned();
        shell
            .handle(match participant {
                1 => Command::Publish {
                    participant,
                    mid,
                    track,
                },
                _ => Command::Subscribe {
                    participant,
                    transport,
                    mid,
                    track,
                },
            })
            .unwrap();
    }

    // The first packets may precede the subscriptions; from the first one heard on, all come.
    for number in 0..200 {
        clients[0].speak(number);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {
            turn(shell, &mut clients);
        }
    }
    run(shell, &mut clients[1..], "told the last word", |client| {
        client.heard.contains(&199)
    });
    for client in &clients[1..] {
        let first = client.heard[0];
        assert!(first < 100, "client {} hears only from {first}", client.id);
        let mut heard = client.heard.clone();
        heard.sort_unstable();
        assert_eq!(
            heard,
            (first..200).collect::<Vec<_>>(),
            "client {}",
            client.id
        );
    }
    clients
}
