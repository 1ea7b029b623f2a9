//! The thread over pairs of sockets in place of devices: no rights needed, one packet a read.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::*;

/// A limit for what must come, not a claim about time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Packets that a pair of sockets holds unread, wherever this runs (net.unix.max_dgram_qlen).
const IN_A_SOCKET: u8 = 10;

/// A link and what would be the networks beyond its two devices.
fn link(access: &Access) -> (usize, UnixDatagram, UnixDatagram) {
    let end = || {
        let (device, beyond) = UnixDatagram::pair().expect("socket pairs work here");
        device.set_nonblocking(true).expect("it is a socket");
        beyond
            .set_read_timeout(Some(PATIENCE))
            .expect("it is a socket");
        (File::from(OwnedFd::from(device)), beyond)
    };
    let ((inside, near), (outside, far)) = (end(), end());
    let link = access.join(inside, outside).expect("there is room");
    (link, near, far)
}

fn packet(mark: u8) -> [u8; 20] {
    let mut packet = [0; 20];
    packet[0] = 0x45;
    packet[19] = mark;
    packet
}

fn receive(beyond: &UnixDatagram) -> u8 {
    let mut buffer = [0; 64];
    let length = beyond.recv(&mut buffer).expect("it comes in time");
    assert_eq!((length, buffer[0]), (20, 0x45));
    buffer[19]
}

fn start() -> Access {
    Access::start(1).expect("threads start here")
}

#[test]
fn packets_go_both_ways_and_never_before_their_time() {
    let access = start();
    let (link, near, far) = link(&access);
    let delay = Duration::from_millis(20);
    for way in [Way::Up, Way::Down] {
        access
            .set(link, way, Weather::delayed(delay))
            .expect("it is");
    }
    let begun = clock::now();
    for mark in 0..IN_A_SOCKET {
        near.send(&packet(mark)).expect("it is open");
    }
    for mark in 0..IN_A_SOCKET {
        assert_eq!(receive(&far), mark);
        far.send(&packet(mark)).expect("it is open");
    }
    for mark in 0..IN_A_SOCKET {
        assert_eq!(receive(&near), mark);
    }
    assert!(clock::now() - begun >= 2 * delay);
    for way in [Way::Up, Way::Down] {
        let tally = access.tally(link, way).expect("it is");
        assert_eq!(
            (tally.delivered, tally.under_way),
            (u64::from(IN_A_SOCKET), 0)
        );
    }
    let late = access.lateness().expect("it runs");
    assert!(late.p50 <= late.p99 && 0 < late.max, "{late:?}");
    assert_eq!(access.lateness().expect("it runs"), Lateness::default());
}

#[test]
fn what_is_not_ipv4_is_counted_and_takes_no_draw() {
    let lost = |noise: bool| -> Vec<u8> {
        let access = start();
        let (link, near, far) = link(&access);
        let weather = Weather {
            loss: netem::Loss::Random(0.5),
            ..Weather::default()
        };
        access.set(link, Way::Up, weather).expect("it is");
        let mut arrived = Vec::new();
        for mark in 0..100 {
            if noise {
                near.send(&[0x60; 40]).expect("it is open");
            }
            near.send(&packet(mark)).expect("it is open");
            let tally = loop {
                let tally = access.tally(link, Way::Up).expect("it is");
                if tally.delivered + tally.lost > u64::from(mark) {
                    break tally;
                }
            };
            if tally.delivered > arrived.len() as u64 {
                arrived.push(receive(&far));
            }
            let noises = if noise { u64::from(mark) + 1 } else { 0 };
            assert_eq!(tally.not_ipv4, noises);
        }
        arrived
    };
    let quiet = lost(false);
    assert!((20..80).contains(&quiet.len()));
    assert_eq!(quiet, lost(true));
}

#[test]
fn a_hold_floods_and_a_cut_loses() {
    let access = start();
    let (link, near, far) = link(&access);
    let under_way = |n: u64| {
        while access.tally(link, Way::Up).expect("it is").under_way != n {
            std::thread::yield_now();
        }
    };
    let fair = Weather::default();
    let (hold, cut) = (true, true);
    access
        .set(link, Way::Up, Weather { hold, ..fair })
        .expect("it is");
    for mark in 0..IN_A_SOCKET {
        near.send(&packet(mark)).expect("it is open");
    }
    under_way(u64::from(IN_A_SOCKET));
    access.set(link, Way::Up, fair).expect("it is");
    for mark in 0..IN_A_SOCKET {
        assert_eq!(receive(&far), mark);
    }
    access
        .set(link, Way::Up, Weather { hold, ..fair })
        .expect("it is");
    near.send(&packet(0)).expect("it is open");
    under_way(1);
    access
        .set(link, Way::Up, Weather { cut, ..fair })
        .expect("it is");
    let tally = access.tally(link, Way::Up).expect("it is");
    assert_eq!((tally.delivered, tally.lost), (u64::from(IN_A_SOCKET), 1));
}

#[test]
fn others_share_the_rate_and_no_device_sees_them() {
    let access = start();
    let (link, near, far) = link(&access);
    let weather = Weather {
        rate: Some(1_000_000),
        ..Weather::default()
    };
    access.set(link, Way::Up, weather).expect("it is");
    let cross = netem::Cross {
        paced: 500_000,
        downloads: 1,
    };
    access.share(link, Way::Up, cross).expect("it is");
    while access.tally(link, Way::Up).expect("it is").cross < 20 {
        std::thread::yield_now();
    }
    let nobody = netem::Cross::default();
    access.share(link, Way::Up, nobody).expect("it is");
    near.send(&packet(7)).expect("it is open");
    assert_eq!(receive(&far), 7);
    assert_eq!(access.tally(link, Way::Up).expect("it is").delivered, 1);
    assert_eq!(access.tally(link, Way::Down).expect("it is").cross, 0);
}

#[test]
fn what_comes_to_a_port_of_before_a_rebinding_is_refused() {
    let access = start();
    let (link, near, far) = link(&access);
    let udp = |source: u16, target: u16| {
        let mut packet = [0; 28];
        (packet[0], packet[9]) = (0x45, 17);
        packet[20..22].copy_from_slice(&source.to_be_bytes());
        packet[22..24].copy_from_slice(&target.to_be_bytes());
        packet
    };
    let port = |beyond: &UnixDatagram, at: usize| {
        let mut buffer = [0; 64];
        assert_eq!(beyond.recv(&mut buffer).expect("it comes in time"), 28);
        u16::from_be_bytes([buffer[at], buffer[at + 1]])
    };
    near.send(&udp(5_000, 7_882)).expect("it is open");
    assert_eq!(port(&far, 20), 5_000);
    access.rebind(link).expect("it is");
    near.send(&udp(5_000, 7_882)).expect("it is open");
    let outside = port(&far, 20);
    assert_ne!(outside, 5_000);
    far.send(&udp(7_882, 5_000)).expect("it is open");
    far.send(&udp(7_882, outside)).expect("it is open");
    assert_eq!(port(&near, 22), 5_000);
    let tally = access.tally(link, Way::Down).expect("it is");
    assert_eq!((tally.delivered, tally.refused), (1, 1));
    let unknown = access.rebind(9);
    assert!(matches!(unknown, Err(AccessError::NoLink(9))));
}

#[test]
fn links_are_counted_and_those_that_are_not_refused() {
    let access = start();
    let mut beyond = Vec::new();
    for expected in 0..MAX_LINKS {
        let (link, near, far) = link(&access);
        assert_eq!(link, expected);
        beyond.push((near, far));
    }
    let files = [(); 2].map(|()| {
        let file = UnixDatagram::unbound().expect("sockets work here");
        File::from(OwnedFd::from(file))
    });
    let [inside, outside] = files;
    let full = access.join(inside, outside);
    assert!(matches!(full, Err(AccessError::Full)), "{full:?}");
    let unknown = access.set(MAX_LINKS, Way::Up, Weather::default());
    assert!(matches!(unknown, Err(AccessError::NoLink(MAX_LINKS))));
}

#[test]
fn a_name_that_the_kernel_would_change_is_refused() {
    let access = start();
    for name in ["", "0123456789abcdef", "a b", "tun%d", "a/b", ".", "\u{e9}"] {
        let refused = access.add_link(name, "fl1");
        assert!(matches!(refused, Err(AccessError::Name(_))), "{refused:?}");
    }
}
