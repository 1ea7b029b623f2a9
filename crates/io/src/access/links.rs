//! The links of an access network: two devices each, and a path with weather either way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use netem::{CROSS_BYTES, Cross, Crowd, Flow, Path, Weather};

use super::lateness::{Histogram, Lateness};
use super::nat::Nat;
use super::{AccessError, FIRST_DEVICE, ecn};
use crate::clock;

/// Links of one thread. A call of two people needs three.
pub const MAX_LINKS: usize = 64;

/// Packets taken from one device, and given to one, in a turn, so that the others get theirs.
const PACKETS_PER_TURN: usize = 64;

/// The longest IP packet.
const MAX_PACKET: usize = 65_535;

/// Spreads neighbouring numbers over the seeds (2^64 over the golden ratio).
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From inside to outside.
    Up,
    /// From outside to inside.
    Down,
}

/// What became of the packets of one way. The kernel keeps 500 for a thread that is late and drops
/// the rest, which is in the device's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTally {
    /// The device at the other end took it.
    pub delivered: u64,
    /// By the weather: loss, a cut.
    pub lost: u64,
    /// Because the queue was full.
    pub dropped: u64,
    /// By CoDel, in place of a drop.
    pub marked: u64,
    /// The device at the other end did not take it: it was down, or behind a NAT no flow of that
    /// port is left.
    pub refused: u64,
    /// Of others, that came through: no device sees them, and they are in none of the above but
    /// `lost` and `dropped`.
    pub cross: u64,
    /// Not IPv4, and so dropped before the weather: machines speak IPv6 unasked, and each packet
    /// would shift the fate of those after it.
    pub not_ipv4: u64,
    /// Packets on their way now.
    pub under_way: u64,
    /// One of the two devices went away, and the link with it.
    pub gone: bool,
}

pub(crate) struct Links {
    seed: u64,
    registry: Registry,
    /// By number.
    links: Vec<Link>,
    late: Histogram,
    buffer: Vec<u8>,
}

struct Link {
    /// None once one of the devices went away.
    ends: Option<[End; 2]>,
    ways: [OneWay; 2],
    nat: Nat,
}

/// What a path carries.
enum Parcel {
    Packet(Vec<u8>),
    Of(Flow),
}

struct End {
    device: File,
    /// There may be more to read: readiness is reported once (edge-triggered).
    readable: bool,
}

struct OneWay {
    path: Path<Parcel>,
    others: Crowd,
    refused: u64,
    not_ipv4: u64,
    cross: u64,
}

/// The device went away.
struct Gone;

impl Links {
    pub(crate) fn new(seed: u64, registry: Registry) -> Links {
        Links {
            seed,
            registry,
            links: Vec::new(),
            late: Histogram::new(),
            buffer: vec![0; MAX_PACKET],
        }
    }

    pub(crate) fn add(&mut self, inside: File, outside: File) -> Result<usize, AccessError> {
        let link = self.links.len();
        if link == MAX_LINKS {
            return Err(AccessError::Full);
        }
        for (end, device) in [&inside, &outside].into_iter().enumerate() {
            let token = Token(FIRST_DEVICE + 2 * link + end);
            let mut source = SourceFd(&device.as_raw_fd());
            self.registry
                .register(&mut source, token, Interest::READABLE)?;
        }
        let ends = [inside, outside].map(|device| End {
            device,
            readable: true,
        });
        let way = |way: u64| {
            let number = 1 + 2 * link as u64 + way;
            let seed = self.seed ^ number.wrapping_mul(SEED_STEP);
            OneWay {
                path: Path::new(Weather::default(), seed),
                others: Crowd::default(),
                refused: 0,
                not_ipv4: 0,
                cross: 0,
            }
        };
        self.links.push(Link {
            ends: Some(ends),
            ways: [way(0), way(1)],
            nat: Nat::default(),
        });
        Ok(link)
    }

    pub(crate) fn set(
        &mut self,
        now: Instant,
        link: usize,
        way: Way,
        weather: Weather,
    ) -> Result<(), AccessError> {
        let known = self.links.get_mut(link).ok_or(AccessError::NoLink(link))?;
        known.ways[way as usize].path.set_at(now, weather);
        Ok(())
    }

    /// Others share one way of a link from now on.
    pub(crate) fn share(
        &mut self,
        now: Instant,
        link: usize,
        way: Way,
        cross: Cross,
    ) -> Result<(), AccessError> {
        let known = self.links.get_mut(link).ok_or(AccessError::NoLink(link))?;
        known.ways[way as usize].others.set(now, cross);
        Ok(())
    }

    /// The NAT of a link gives every flow another port.
    pub(crate) fn rebind(&mut self, link: usize) -> Result<(), AccessError> {
        let known = self.links.get_mut(link).ok_or(AccessError::NoLink(link))?;
        known.nat.rebind();
        Ok(())
    }

    pub(crate) fn tally(&mut self, link: usize, way: Way) -> Result<LinkTally, AccessError> {
        let known = self.links.get(link).ok_or(AccessError::NoLink(link))?;
        let one = &known.ways[way as usize];
        let netem::Tally {
            delivered,
            lost,
            dropped,
            marked,
        } = one.path.tally();
        Ok(LinkTally {
            delivered: delivered - one.refused - one.cross,
            lost,
            dropped,
            marked,
            cross: one.cross,
            refused: one.refused,
            not_ipv4: one.not_ipv4,
            under_way: one.path.under_way() as u64,
            gone: known.ends.is_none(),
        })
    }

    pub(crate) fn lateness(&mut self) -> Lateness {
        self.late.take()
    }

    /// A device has something to read, or went away.
    pub(crate) fn ready(&mut self, device: usize) {
        let link = self.links.get_mut(device / 2);
        if let Some(ends) = link.and_then(|link| link.ends.as_mut()) {
            ends[device % 2].readable = true;
        }
    }

    /// When the next packet leaves.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ways = self.links.iter().flat_map(|link| &link.ways);
        ways.flat_map(|way| [way.path.deadline(), way.others.deadline()])
            .flatten()
            .min()
    }

    /// How long to sleep besides: not at all while a device may hold more.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let mut ends = self.links.iter().filter_map(|link| link.ends.as_ref());
        let more = ends.any(|ends| ends.iter().any(|end| end.readable));
        more.then_some(Duration::ZERO)
    }

    /// Takes in what waits and lets out what is due, a bounded share of both.
    pub(crate) fn turn(&mut self) {
        for link in &mut self.links {
            let Some(ends) = &mut link.ends else {
                continue;
            };
            let (ways, nat) = (&mut link.ways, &mut link.nat);
            if Link::pass(ends, ways, nat, &mut self.buffer, &mut self.late).is_err() {
                link.ends = None;
                let cut = Weather {
                    cut: true,
                    ..Weather::default()
                };
                for way in &mut link.ways {
                    way.path.set_at(clock::now(), cut);
                    way.others.set(clock::now(), Cross::default());
                }
            }
        }
    }
}

impl Link {
    /// The NAT stands where the device is: before the path up, and behind the path down.
    fn pass(
        ends: &mut [End; 2],
        ways: &mut [OneWay; 2],
        nat: &mut Nat,
        buffer: &mut [u8],
        late: &mut Histogram,
    ) -> Result<(), Gone> {
        let [up, down] = ways;
        let [inside, outside] = ends;
        up.take_from(inside, buffer, |packet| nat.outward(packet))?;
        down.take_from(outside, buffer, |_| ())?;
        up.take_others();
        down.take_others();
        up.give_to(&outside.device, late, |_| true)?;
        down.give_to(&inside.device, late, |packet| nat.inward(packet))
    }
}

impl OneWay {
    fn take_from(
        &mut self,
        end: &mut End,
        buffer: &mut [u8],
        mut change: impl FnMut(&mut [u8]),
    ) -> Result<(), Gone> {
        for _ in 0..PACKETS_PER_TURN {
            if !end.readable {
                break;
            }
            match end.device.read(buffer) {
                Ok(0) => return Err(Gone),
                Ok(length) if is_ipv4(&buffer[..length]) => {
                    let mut packet = buffer[..length].to_vec();
                    change(&mut packet);
                    self.push(packet);
                }
                Ok(_) => self.not_ipv4 += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => end.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EBADFD or EIO: the device was deleted, or its namespace was.
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    fn push(&mut self, packet: Vec<u8>) {
        let length = packet.len();
        let mark: fn(&mut Parcel) = |parcel| {
            if let Parcel::Packet(packet) = parcel {
                ecn::mark(packet);
            }
        };
        let mark = ecn::is_capable(&packet).then_some(mark);
        let parcel = Parcel::Packet(packet);
        self.path.push_markable(clock::now(), parcel, length, mark);
    }

    /// What others send now goes the same way.
    fn take_others(&mut self) {
        for _ in 0..PACKETS_PER_TURN {
            let now = clock::now();
            let Some(flow) = self.others.next(now) else {
                break;
            };
            let round_trip = 2 * self.path.weather().delay;
            let taken = self.path.push(now, Parcel::Of(flow), CROSS_BYTES);
            self.others.sent(now, flow, taken, round_trip);
        }
    }

    fn give_to(
        &mut self,
        mut device: &File,
        late: &mut Histogram,
        mut change: impl FnMut(&mut [u8]) -> bool,
    ) -> Result<(), Gone> {
        for _ in 0..PACKETS_PER_TURN {
            let (now, due) = (clock::now(), self.path.deadline());
            let mut packet = match self.path.pop(now) {
                None => break,
                Some(Parcel::Packet(packet)) => packet,
                Some(Parcel::Of(flow)) => {
                    let back = self.path.weather().delay;
                    self.others.arrived(now, flow, back);
                    self.cross += 1;
                    continue;
                }
            };
            late.add(due.map_or(Duration::ZERO, |due| now - due));
            if !change(&mut packet) {
                self.refused += 1;
                continue;
            }
            match device.write(&packet) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => {
                    self.refused += 1;
                    return Err(Gone);
                }
                // EIO: the device is down, and may come up again.
                Err(_) => self.refused += 1,
            }
        }
        Ok(())
    }
}

fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}
