//! Every direction of every path, port pair by port pair, and what is wrong with it now.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use netem::{Loss, Path, Weather};

/// One port pair's way from one node to another.
pub(crate) struct Way {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) pair: u8,
    /// For when the agenda has an arrival of it.
    pub(crate) scheduled: Option<Instant>,
    pub(crate) path: Path<Vec<u8>>,
    fair: Weather,
    trouble: Trouble,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) cut: bool,
    pub(crate) pair_cut: bool,
    pub(crate) loss: Option<Loss>,
    pub(crate) delay: Duration,
    pub(crate) rate: Option<u64>,
    pub(crate) max_bytes: Option<usize>,
}

impl Way {
    fn change(&mut self, change: impl FnOnce(&mut Trouble)) {
        change(&mut self.trouble);
        let (fair, trouble) = (self.fair, self.trouble);
        self.path.set(Weather {
            loss: trouble.loss.unwrap_or(fair.loss),
            delay: fair.delay + trouble.delay,
            rate: trouble.rate.or(fair.rate),
            max_bytes: trouble.max_bytes.unwrap_or(fair.max_bytes),
            cut: trouble.cut || trouble.pair_cut,
            ..fair
        });
    }
}

#[derive(Default)]
pub(crate) struct Sky {
    pub(crate) ways: Vec<Way>,
    index: HashMap<(u16, u16, u8), usize>,
    /// Pairs of nodes that have a path, lower node first.
    pub(crate) paths: BTreeSet<(u16, u16)>,
}

impl Sky {
    pub(crate) fn add(&mut self, (from, to, pair): (u16, u16, u8), weather: Weather, seed: u64) {
        self.index.insert((from, to, pair), self.ways.len());
        self.paths.insert((from.min(to), from.max(to)));
        self.ways.push(Way {
            from,
            to,
            pair,
            scheduled: None,
            path: Path::new(weather, seed),
            fair: weather,
            trouble: Trouble::default(),
        });
    }

    pub(crate) fn find(&self, from: u16, to: u16, pair: u8) -> Option<usize> {
        self.index.get(&(from, to, pair)).copied()
    }

    /// Change every port pair of one direction.
    pub(crate) fn change(&mut self, (from, to): (u16, u16), change: impl Fn(&mut Trouble)) {
        for pair in 0..mesh::MAX_PAIRS as u8 {
            self.change_pair((from, to, pair), &change);
        }
    }

    pub(crate) fn change_pair(&mut self, way: (u16, u16, u8), change: impl FnOnce(&mut Trouble)) {
        if let Some(way) = self.index.get(&way) {
            self.ways[*way].change(change);
        }
    }

    /// Whether anything gets from one to the other.
    pub(crate) fn is_open(&self, from: u16, to: u16) -> bool {
        (0..mesh::MAX_PAIRS as u8).any(|pair| {
            let way = self.find(from, to, pair);
            way.is_some_and(|way| !self.ways[way].path.weather().cut)
        })
    }

    /// Whether two nodes reach each other over at most so many others of `through`.
    pub(crate) fn reaches(
        &self,
        (a, b): (u16, u16),
        relays: usize,
        through: &BTreeSet<u16>,
    ) -> bool {
        let open = |a: u16, b: u16| self.is_open(a, b) && self.is_open(b, a);
        let mut reached = BTreeSet::from([a]);
        for _ in 0..=relays {
            if reached.iter().any(|at| open(*at, b)) {
                return true;
            }
            let next = through
                .iter()
                .filter(|to| reached.iter().any(|at| open(*at, **to)));
            let next: Vec<u16> = next.copied().collect();
            reached.extend(next);
        }
        false
    }
}
