use super::connection::{SILENCE_LIMIT, STALL_LIMIT, UNANSWERED_LIMIT};
use super::*;
use mio::{Events, Poll};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

struct Bench {
    poll: Poll,
    listener: TcpListener,
    connections: Connections,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            poll: Poll::new().expect("epoll works here"),
            listener: TcpListener::bind("127.0.0.1:0").expect("loopback has ports"),
            connections: Connections::new(10),
            now: crate::clock::now(),
        }
    }

    fn connect(&mut self) -> (std::net::TcpStream, SocketAddr) {
        let address = self.listener.local_addr().expect("it listens");
        let client = std::net::TcpStream::connect(address).expect("it listens");
        let (stream, peer) = self.listener.accept().expect("a client came");
        stream.set_nonblocking(true).expect("the stream is ours");
        let stream = TcpStream::from_std(stream);
        self.connections
            .accept(self.now, self.poll.registry(), stream, peer)
            .expect("there is room");
        (client, peer)
    }

    /// Waits for readiness and reads until something arrived.
    fn receive(&mut self) -> Vec<Arrived> {
        for _ in 0..100 {
            let arrived = self.connections.receive(self.now, self.poll.registry());
            if !arrived.is_empty() {
                return arrived;
            }
            let mut events = Events::with_capacity(16);
            let wait = Some(Duration::from_secs(5));
            self.poll.poll(&mut events, wait).expect("epoll works here");
            events
                .iter()
                .for_each(|event| self.connections.ready(event));
        }
        panic!("nothing arrived");
    }
}

#[test]
fn a_packet_comes_in_and_one_goes_out() {
    let mut bench = Bench::new();
    let (mut client, peer) = bench.connect();
    client
        .write_all(&[0, 3, 1, 2, 3])
        .expect("the connection is open");
    let arrived = bench.receive();
    let [Arrived::Packets { packets, .. }] = arrived.as_slice() else {
        panic!("one packet was sent");
    };
    assert_eq!(packets, &[vec![1, 2, 3]]);
    assert_eq!(
        bench.connections.send(bench.now, peer, &[9, 9]),
        Queued::Yes
    );
    assert!(
        bench
            .connections
            .flush(bench.now, bench.poll.registry())
            .is_empty()
    );
    let mut answer = [0; 4];
    client
        .read_exact(&mut answer)
        .expect("the connection is open");
    assert_eq!(answer, [0, 2, 9, 9]);
}

#[test]
fn garbage_closes_the_connection() {
    let mut bench = Bench::new();
    let (mut client, _) = bench.connect();
    client
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("the connection is open");
    let arrived = bench.receive();
    assert!(matches!(
        arrived.as_slice(),
        [Arrived::Closed {
            bad_frame: true,
            ..
        }]
    ));
    assert_eq!(bench.connections.len(), 0);
    assert_eq!(
        client.read(&mut [0]).unwrap_or(0),
        0,
        "the client sees the end"
    );
}

#[test]
fn a_client_that_stops_reading_loses_packets_and_then_its_connection() {
    let mut bench = Bench::new();
    let (_client, peer) = bench.connect();
    let packet = [5; 1_200];
    let mut outcome = Queued::Yes;
    for _ in 0..20_000 {
        outcome = bench.connections.send(bench.now, peer, &packet);
        if outcome != Queued::Yes {
            break;
        }
        assert!(
            bench
                .connections
                .flush(bench.now, bench.poll.registry())
                .is_empty()
        );
    }
    assert_eq!(outcome, Queued::Slow);
    let later = bench.now + STALL_LIMIT + Duration::from_millis(1);
    assert_eq!(bench.connections.expire(later, bench.poll.registry()).1, 1);
    assert_eq!(
        bench.connections.send(later, peer, &packet),
        Queued::Nowhere
    );
}

#[test]
fn an_unanswered_connection_is_closed_and_an_answered_one_lives_until_it_is_silent() {
    let mut bench = Bench::new();
    let (_first, _) = bench.connect();
    let (_second, answered) = bench.connect();
    bench.connections.claim(answered);
    assert_eq!(
        bench.connections.send(bench.now, answered, &[1]),
        Queued::Yes
    );
    bench.connections.flush(bench.now, bench.poll.registry());
    let later = bench.now + UNANSWERED_LIMIT + Duration::from_millis(1);
    let (heard_of, closed) = bench.connections.expire(later, bench.poll.registry());
    assert_eq!((heard_of, closed), (Vec::new(), 1));
    let later = bench.now + SILENCE_LIMIT + Duration::from_millis(1);
    let (heard_of, _) = bench.connections.expire(later, bench.poll.registry());
    assert_eq!(heard_of, [answered]);
}

#[test]
fn strangers_push_out_only_the_oldest_stranger() {
    let mut bench = Bench::new();
    let (_guest, guest) = bench.connect();
    bench.connections.claim(guest);
    let mut clients = Vec::new();
    for n in 0..=UNCLAIMED_CAPACITY {
        bench.now += Duration::from_millis(n as u64);
        clients.push(bench.connect());
    }
    assert_eq!(bench.connections.len(), 1 + UNCLAIMED_CAPACITY);
    assert!(bench.connections.is_claimed(guest));
    let (_, oldest) = clients[0];
    assert_eq!(
        bench.connections.send(bench.now, oldest, &[1]),
        Queued::Nowhere
    );
}
