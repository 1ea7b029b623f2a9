//! The world's emulated long links: weather between the node's mesh output and the mesh socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh::MAX_PAIRS;
use netem::{Loss, Path};
use wire::NodeId;

/// Spreads neighbouring node numbers over the seeds (2^64 over the golden ratio).
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What `SetEmulation` asks for; see `protocol/node.py`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forecast {
    pub(crate) delay_ms: f64,
    pub(crate) jitter_ms: f64,
    pub(crate) loss: f64,
    pub(crate) rate_kbps: Option<u32>,
    pub(crate) cut: bool,
}

/// The emulated ways to peers, one for each port pair. Without one the plain socket serves.
pub(crate) struct Weather {
    seed: u64,
    paths: BTreeMap<Way, Path<Packet>>,
}

/// To a peer, over a port pair.
type Way = (NodeId, u8);
type Packet = (SocketAddr, Vec<u8>);

impl Weather {
    /// The same seed loses and delays the same packets.
    pub(crate) fn new(seed: u64) -> Weather {
        let paths = BTreeMap::new();
        Weather { seed, paths }
    }

    /// Changes the way to a peer over one pair, or over all. What is under way still arrives,
    /// unless it is cut.
    pub(crate) fn set(&mut self, peer: NodeId, pair: Option<u8>, forecast: Forecast) {
        let weather = forecast.weather();
        let pairs = match pair {
            Some(pair) => pair..=pair,
            None => 0..=MAX_PAIRS as u8 - 1,
        };
        for pair in pairs {
            let way = u64::from(peer.0) | u64::from(pair) << 16;
            let seed = self.seed ^ way.wrapping_mul(SEED_STEP);
            let path = self.paths.entry((peer, pair));
            path.or_insert_with(|| Path::new(weather, seed))
                .set(weather);
        }
    }

    /// Sends a packet through the weather; back comes what has none and goes at once.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        way: Way,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let Some(path) = self.paths.get_mut(&way) else {
            return Some(bytes);
        };
        if path.weather() == netem::Weather::default() {
            return Some(bytes);
        }
        let size = bytes.len();
        path.push(now, (to, bytes), size);
        None
    }

    /// When the next packet comes out.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.paths.values().filter_map(Path::deadline).min()
    }

    /// Calls `each` with every packet that has come out by `now`, and its pair.
    pub(crate) fn deliver(&mut self, now: Instant, mut each: impl FnMut(u8, SocketAddr, Vec<u8>)) {
        for ((_, pair), path) in &mut self.paths {
            while let Some((to, bytes)) = path.pop(now) {
                each(*pair, to, bytes);
            }
        }
    }

    /// Packets that never come out, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        let tallies = self.paths.values().map(Path::tally);
        tallies.map(|tally| tally.lost + tally.dropped).sum()
    }
}

impl Forecast {
    fn weather(self) -> netem::Weather {
        netem::Weather {
            delay: milliseconds(self.delay_ms),
            jitter: milliseconds(self.jitter_ms),
            loss: match self.loss {
                share if share > 0.0 => Loss::Random(share.min(1.0) as f32),
                _ => Loss::None,
            },
            rate: self.rate_kbps.map(|rate| u64::from(rate) * 1_000),
            cut: self.cut,
            ..netem::Weather::default()
        }
    }
}

/// Nothing for what is no time: negative, infinite or not a number.
fn milliseconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1e3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const PEER: NodeId = NodeId(2);
    const FAIR: Forecast = Forecast {
        delay_ms: 0.0,
        jitter_ms: 0.0,
        loss: 0.0,
        rate_kbps: None,
        cut: false,
    };

    fn send(weather: &mut Weather, now: Instant, peer: NodeId, mark: u8) -> Option<Vec<u8>> {
        weather.send(
            now,
            (peer, 0),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
            vec![mark],
        )
    }

    fn delivered(weather: &mut Weather, now: Instant) -> Vec<u8> {
        let mut marks = Vec::new();
        weather.deliver(now, |_, _, bytes| marks.extend(bytes));
        marks
    }

    #[test]
    fn only_the_peer_with_weather_waits() {
        let now = crate::clock::now();
        let mut weather = Weather::new(1);
        weather.set(
            PEER,
            None,
            Forecast {
                delay_ms: 40.0,
                ..FAIR
            },
        );
        assert_eq!(send(&mut weather, now, NodeId(3), 7), Some(vec![7]));
        assert_eq!(send(&mut weather, now, PEER, 8), None);
        let due = now + Duration::from_millis(40);
        assert_eq!(weather.deadline(), Some(due));
        assert!(delivered(&mut weather, due - Duration::from_millis(1)).is_empty());
        assert_eq!(delivered(&mut weather, due), [8]);
        assert_eq!(weather.deadline(), None);
    }

    #[test]
    fn what_is_under_way_arrives_when_the_weather_clears() {
        let now = crate::clock::now();
        let mut weather = Weather::new(1);
        weather.set(
            PEER,
            None,
            Forecast {
                delay_ms: 40.0,
                ..FAIR
            },
        );
        assert_eq!(send(&mut weather, now, PEER, 1), None);
        weather.set(PEER, None, FAIR);
        assert_eq!(send(&mut weather, now, PEER, 2), Some(vec![2]));
        assert_eq!(
            delivered(&mut weather, now + Duration::from_millis(40)),
            [1]
        );
    }

    #[test]
    fn a_cut_and_loss_drop_and_are_counted() {
        let now = crate::clock::now();
        let mut weather = Weather::new(1);
        weather.set(PEER, None, Forecast { cut: true, ..FAIR });
        assert_eq!(send(&mut weather, now, PEER, 1), None);
        weather.set(PEER, None, Forecast { loss: 1.0, ..FAIR });
        assert_eq!(send(&mut weather, now, PEER, 2), None);
        assert!(delivered(&mut weather, now + Duration::from_secs(1)).is_empty());
        assert_eq!(weather.dropped(), 2);
    }

    #[test]
    fn one_pair_may_have_weather_of_its_own() {
        let now = crate::clock::now();
        let mut weather = Weather::new(1);
        weather.set(PEER, Some(1), Forecast { cut: true, ..FAIR });
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert_eq!(weather.send(now, (PEER, 1), to, vec![1]), None);
        assert_eq!(weather.send(now, (PEER, 0), to, vec![2]), Some(vec![2]));
        weather.set(PEER, None, FAIR);
        assert_eq!(weather.send(now, (PEER, 1), to, vec![3]), Some(vec![3]));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(milliseconds(value), Duration::ZERO);
        }
        assert_eq!(milliseconds(1.5), Duration::from_micros(1_500));
    }
}
