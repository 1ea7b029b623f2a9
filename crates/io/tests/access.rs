//! An access network over real TUN devices: UDP between two network namespaces of the test's own.
//!
//! It needs root and /dev/net/tun, and says so where it is skipped. Nothing outlasts it: a
//! namespace of a thread ends with its thread and sockets, a device with its link.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that enters namespaces and plays both ends"
)]

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use io::access::{Access, LinkTally, Way};
use netem::{Loss, Weather};

/// A limit for what must come, not a claim about time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a packet of `BYTES` of payload: IPv4 and UDP.
const HEADERS: usize = 28;
const BYTES: usize = 1_000;
/// Few enough for what a device holds unread (500) and a socket (some 200 kB).
const BATCH: u32 = 25;

/// A link, and a socket at either end that speaks to the other.
struct Ends {
    access: Access,
    link: usize,
    inside: UdpSocket,
    outside: UdpSocket,
}

/// Moves this thread into a network of its own. None without the right to.
fn leave() -> Option<()> {
    // SAFETY: takes an integer; what it changes is this thread's alone.
    (unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0).then_some(())
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(done.unwrap().success(), "ip {arguments}");
}

/// Give a device of this thread's network an address, and a socket on it.
fn socket(device: &str, address: &str, peer: &str) -> UdpSocket {
    ip(&format!("addr add {address} peer {peer} dev {device}"));
    ip(&format!("link set {device} up"));
    let socket = UdpSocket::bind((address, 7_000)).unwrap();
    socket.connect((peer, 7_000)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// None, and the reason on stderr, where this machine or user can't.
fn ends() -> Option<Ends> {
    if !Path::new("/dev/net/tun").exists() || leave().is_none() {
        eprintln!("skipped: needs root and /dev/net/tun");
        return None;
    }
    let access = Access::start(7).unwrap();
    let link = access.add_link("phone", "core").unwrap();
    let (moved, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let other = std::thread::spawn(move || {
        leave().unwrap();
        // SAFETY: takes nothing.
        tell.send(unsafe { libc::gettid() }).unwrap();
        wait.recv().unwrap();
        socket("core", "10.9.0.2", "10.9.0.1")
    });
    let thread = told.recv().unwrap();
    ip(&format!("link set core netns {thread}"));
    moved.send(()).unwrap();
    Some(Ends {
        access,
        link,
        inside: socket("phone", "10.9.0.1", "10.9.0.2"),
        outside: other.join().unwrap(),
    })
}

impl Ends {
    fn set(&self, way: Way, weather: Weather) {
        self.access.set(self.link, way, weather).unwrap();
    }

    fn tally(&self, way: Way) -> LinkTally {
        self.access.tally(self.link, way).unwrap()
    }

    /// Until the tally of a way is as it shall be.
    fn wait(&self, way: Way, like: impl Fn(LinkTally) -> bool) -> LinkTally {
        let begun = Instant::now();
        loop {
            let tally = self.tally(way);
            if like(tally) {
                return tally;
            }
            assert!(begun.elapsed() < PATIENCE, "{tally:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Send a batch up, wait for what becomes of it, and return the numbers that arrived.
    fn batch(&self, first: u32) -> Vec<u32> {
        let before = self.tally(Way::Up);
        for number in first..first + BATCH {
            let mut payload = vec![0; BYTES];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            self.inside.send(&payload).unwrap();
        }
        let gone = |tally: LinkTally| tally.delivered + tally.lost + tally.dropped;
        let after = self.wait(Way::Up, |tally| {
            gone(tally) == gone(before) + u64::from(BATCH)
        });
        let arrived = after.delivered - before.delivered;
        (0..arrived).map(|_| receive(&self.outside)).collect()
    }
}

fn receive(socket: &UdpSocket) -> u32 {
    let mut buffer = [0; 2_000];
    let length = socket.recv(&mut buffer).unwrap();
    assert!(length >= 4);
    u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]])
}

#[test]
fn twenty_milliseconds_each_way_are_forty() {
    let Some(ends) = ends() else { return };
    let delay = Duration::from_millis(20);
    ends.set(Way::Up, Weather::delayed(delay));
    ends.set(Way::Down, Weather::delayed(delay));
    for number in 0..10u32 {
        let sent = Instant::now();
        ends.inside.send(&number.to_be_bytes()).unwrap();
        assert_eq!(receive(&ends.outside), number);
        assert!(sent.elapsed() >= delay);
        ends.outside.send(&number.to_be_bytes()).unwrap();
        assert_eq!(receive(&ends.inside), number);
        assert!(sent.elapsed() >= 2 * delay);
    }
    let late = ends.access.lateness().unwrap();
    assert!(late.max > 0 && late.p50 <= late.p99, "{late:?}");
}

#[test]
fn a_tenth_is_lost_and_all_is_counted() {
    let Some(ends) = ends() else { return };
    let loss = Loss::Random(0.1);
    let fair = Weather::default();
    ends.set(Way::Up, Weather { loss, ..fair });
    let sent = 40 * BATCH;
    let arrived: usize = (0..40).map(|i| ends.batch(i * BATCH).len()).sum();
    let tally = ends.tally(Way::Up);
    assert_eq!(tally.delivered, arrived as u64);
    assert_eq!(tally.delivered + tally.lost, u64::from(sent));
    // Of 1,000, give or take three deviations and more.
    assert!((60..=140).contains(&tally.lost), "{tally:?}");
}

#[test]
fn a_megabit_takes_its_time_and_a_full_queue_drops() {
    let Some(ends) = ends() else { return };
    let rate = 1_000_000;
    let narrow = Weather {
        rate: Some(rate),
        ..Weather::default()
    };
    ends.set(Way::Up, narrow);
    let begun = Instant::now();
    let arrived: Vec<u32> = (0..4).flat_map(|i| ends.batch(i * BATCH)).collect();
    let bits = 8 * (BYTES + HEADERS) as u64 * u64::from(4 * BATCH);
    assert!(begun.elapsed() >= Duration::from_micros(bits * 1_000_000 / rate));
    assert_eq!(arrived, (0..4 * BATCH).collect::<Vec<_>>());

    // Five packets at most: what one batch brings at once does not fit.
    let queue_bytes = Weather::queue_of(Duration::from_millis(43), rate);
    let slow = Weather {
        rate: Some(rate / 1_000),
        queue_bytes,
        ..Weather::default()
    };
    ends.set(Way::Up, slow);
    for _ in 0..BATCH {
        ends.inside.send(&[0; BYTES]).unwrap();
    }
    let tally = ends.wait(Way::Up, |tally| {
        tally.under_way + tally.dropped == u64::from(BATCH)
    });
    assert_eq!(tally.under_way, 5);
}

#[test]
fn a_device_that_is_down_refuses_and_one_that_is_gone_ends_its_link() {
    let Some(ends) = ends() else { return };
    ip("link set phone down");
    ends.outside.send(&[0; 4]).unwrap();
    assert_eq!(
        ends.wait(Way::Down, |tally| tally.refused == 1).delivered,
        0
    );
    ip("link set phone up");
    ends.outside.send(&9u32.to_be_bytes()).unwrap();
    assert_eq!(receive(&ends.inside), 9);
    assert!(!ends.tally(Way::Down).gone);

    let hold = true;
    let fair = Weather::default();
    ends.set(Way::Down, Weather { hold, ..fair });
    ends.outside.send(&[0; 4]).unwrap();
    ends.wait(Way::Down, |tally| tally.under_way == 1);
    ip("link del phone");
    let tally = ends.wait(Way::Down, |tally| tally.gone);
    assert_eq!((tally.lost, tally.under_way), (1, 0));
    ends.set(Way::Down, fair);
    // Others go on.
    ends.access.add_link("phone", "core").unwrap();
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let Some(ends) = ends() else { return };
    let refused = ends.access.add_link("phone", "other").unwrap_err();
    assert!(refused.to_string().contains("there is one"), "{refused}");
}
