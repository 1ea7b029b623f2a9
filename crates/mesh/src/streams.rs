//! Who wants which stream: other nodes ours, and we theirs. Soft state, repeated and expiring.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use wire::{Format, NodeId, StreamId};

use crate::count::Count;
use crate::dedup::{Dedup, Verdict};
use crate::plan::Plan;

/// Streams that one node may want of us.
const MAX_WANTS_PER_NODE: usize = 16_384;

struct Want {
    node: NodeId,
    epoch: u64,
    version: u32,
    wanted: bool,
    expires: Instant,
}

#[derive(Default)]
struct Wants {
    list: Vec<Want>,
    /// Where packets go, and what generation of plans that is of; until the wants change.
    plan: Option<(u64, Arc<Plan>)>,
}

/// Which nodes want the streams whose origin we are.
#[derive(Default)]
pub(crate) struct Published {
    streams: HashMap<StreamId, Wants>,
    /// Entries of each node, for the bound.
    totals: BTreeMap<NodeId, usize>,
}

/// What another node said about one stream.
pub(crate) struct Said {
    pub(crate) node: NodeId,
    pub(crate) epoch: u64,
    pub(crate) version: u32,
    pub(crate) wanted: bool,
    pub(crate) expires: Instant,
}

impl Published {
    /// The nodes that want `stream`.
    pub(crate) fn wanting(&self, stream: StreamId) -> impl Iterator<Item = NodeId> + '_ {
        let wants = self.streams.get(&stream).map_or(&[][..], |w| &w.list);
        wants.iter().filter(|w| w.wanted).map(|w| w.node)
    }

    /// The plan kept for `stream`, if it is of this generation.
    pub(crate) fn plan(&self, stream: StreamId, generation: u64) -> Option<Arc<Plan>> {
        let (of, plan) = self.streams.get(&stream)?.plan.as_ref()?;
        (*of == generation).then(|| plan.clone())
    }

    pub(crate) fn forget_plan(&mut self, stream: StreamId) {
        if let Some(wants) = self.streams.get_mut(&stream) {
            wants.plan = None;
        }
    }

    pub(crate) fn keep_plan(&mut self, stream: StreamId, generation: u64, plan: Arc<Plan>) {
        if let Some(wants) = self.streams.get_mut(&stream) {
            wants.plan = Some((generation, plan));
        }
    }

    /// Take what a node said. Ok(Some) if the stream became wanted, or wanted by nobody.
    pub(crate) fn on_want(&mut self, stream: StreamId, said: Said) -> Result<Option<bool>, Count> {
        let before = self.wanting(stream).next().is_some();
        let wants = self.streams.get_mut(&stream);
        let of = |w: &&mut Want| w.node == said.node;
        let known = wants.and_then(|wants| {
            let want = wants.list.iter_mut().find(of)?;
            Some((want, &mut wants.plan))
        });
        if let Some((want, plan)) = known {
            let stale =
                want.epoch == said.epoch && (said.version.wrapping_sub(want.version) as i32) < 0;
            if stale {
                return Err(Count::DropWantStale);
            }
            if want.wanted != said.wanted {
                *plan = None;
            }
            want.epoch = said.epoch;
            want.version = said.version;
            want.wanted = said.wanted;
            want.expires = said.expires;
        } else {
            let total = self.totals.entry(said.node).or_default();
            if *total >= MAX_WANTS_PER_NODE {
                return Err(Count::DropWantFull);
            }
            *total += 1;
            let wants = self.streams.entry(stream).or_default();
            wants.plan = None;
            wants.list.push(Want {
                node: said.node,
                epoch: said.epoch,
                version: said.version,
                wanted: said.wanted,
                expires: said.expires,
            });
        }
        let after = self.wanting(stream).next().is_some();
        Ok((before != after).then_some(after))
    }

    /// Forget what was not repeated; the streams that nobody wants any more, in order.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<StreamId> {
        let mut ended = Vec::new();
        let totals = &mut self.totals;
        self.streams.retain(|stream, wants| {
            let before = wants.list.iter().any(|w| w.wanted);
            let count = wants.list.len();
            wants.list.retain(|want| {
                let keep = want.expires > now;
                if !keep && let Some(total) = totals.get_mut(&want.node) {
                    *total -= 1;
                }
                keep
            });
            if wants.list.len() < count {
                wants.plan = None;
            }
            if before && !wants.list.iter().any(|w| w.wanted) {
                ended.push(*stream);
            }
            !wants.list.is_empty()
        });
        ended.sort_unstable();
        ended
    }
}

/// The remote streams that this node wants.
#[derive(Default)]
pub(crate) struct Subscribed {
    streams: HashMap<StreamId, Dedup>,
    by_origin: BTreeMap<NodeId, BTreeSet<StreamId>>,
}

impl Subscribed {
    /// False if it was wanted already.
    pub(crate) fn add(&mut self, stream: StreamId) -> bool {
        self.streams.entry(stream).or_default();
        let origin = self.by_origin.entry(stream.origin()).or_default();
        origin.insert(stream)
    }

    /// False if it was not wanted.
    pub(crate) fn remove(&mut self, stream: StreamId) -> bool {
        if let Some(origin) = self.by_origin.get_mut(&stream.origin()) {
            origin.remove(&stream);
            if origin.is_empty() {
                self.by_origin.remove(&stream.origin());
            }
        }
        self.streams.remove(&stream).is_some()
    }

    pub(crate) fn by_origin(&self) -> impl Iterator<Item = (NodeId, &BTreeSet<StreamId>)> {
        self.by_origin
            .iter()
            .map(|(origin, streams)| (*origin, streams))
    }

    /// Whether a packet that arrived is to be delivered.
    pub(crate) fn check(
        &mut self,
        stream: StreamId,
        format: Format,
        sequence: u64,
    ) -> Result<(), Count> {
        let dedup = self
            .streams
            .get_mut(&stream)
            .ok_or(Count::DropMediaUnwanted)?;
        match dedup.check(format, sequence) {
            Verdict::First => Ok(()),
            Verdict::Duplicate => Err(Count::DropMediaDuplicate),
            Verdict::Ancient => Err(Count::DropMediaAncient),
        }
    }

    /// Whether `stream` is wanted at all, before anything else of a packet is read.
    pub(crate) fn contains(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::time::Duration;

    use super::*;

    const STREAM: StreamId = StreamId(1 << 48);

    fn said(node: u16, version: u32, wanted: bool, expires: Instant) -> Said {
        Said {
            node: NodeId(node),
            epoch: 5,
            version,
            wanted,
            expires,
        }
    }

    #[test]
    fn the_first_and_the_last_to_want_are_told() {
        let t = Instant::now();
        let later = t + Duration::from_secs(5);
        let mut published = Published::default();
        assert_eq!(
            published.on_want(STREAM, said(2, 1, true, later)),
            Ok(Some(true))
        );
        assert_eq!(published.on_want(STREAM, said(3, 1, true, later)), Ok(None));
        assert_eq!(published.wanting(STREAM).count(), 2);
        assert_eq!(
            published.on_want(STREAM, said(2, 3, false, later)),
            Ok(None)
        );
        let stale = published.on_want(STREAM, said(2, 2, true, later));
        assert_eq!(stale, Err(Count::DropWantStale));
        assert_eq!(published.wanting(STREAM).collect::<Vec<_>>(), [NodeId(3)]);
        assert!(published.expire(t).is_empty());
        assert_eq!(published.expire(later), [STREAM]);
        assert!(published.streams.is_empty());
        assert_eq!(published.totals[&NodeId(2)], 0);
    }

    #[test]
    fn a_restarted_node_counts_anew_and_wants_are_bounded() {
        let t = Instant::now();
        let later = t + Duration::from_secs(5);
        let mut published = Published::default();
        assert_eq!(
            published.on_want(STREAM, said(2, 9, true, later)),
            Ok(Some(true))
        );
        let reborn = Said {
            epoch: 6,
            ..said(2, 0, false, later)
        };
        assert_eq!(published.on_want(STREAM, reborn), Ok(Some(false)));
        for i in 1..MAX_WANTS_PER_NODE as u64 {
            let stream = StreamId(STREAM.0 + i);
            assert!(published.on_want(stream, said(2, 0, true, later)).is_ok());
        }
        let beyond = StreamId(STREAM.0 + MAX_WANTS_PER_NODE as u64);
        let full = published.on_want(beyond, said(2, 0, true, later));
        assert_eq!(full, Err(Count::DropWantFull));
        assert!(published.on_want(beyond, said(3, 0, true, later)).is_ok());
    }

    #[test]
    fn media_passes_only_if_wanted_and_once() {
        let mut subscribed = Subscribed::default();
        let check = |s: &mut Subscribed| s.check(STREAM, Format::Vp8, 1);
        assert_eq!(check(&mut subscribed), Err(Count::DropMediaUnwanted));
        assert!(subscribed.add(STREAM) && !subscribed.add(STREAM));
        assert_eq!(check(&mut subscribed), Ok(()));
        assert_eq!(check(&mut subscribed), Err(Count::DropMediaDuplicate));
        assert!(subscribed.remove(STREAM) && !subscribed.remove(STREAM));
        assert_eq!(subscribed.by_origin().count(), 0);
        assert_eq!(check(&mut subscribed), Err(Count::DropMediaUnwanted));
    }
}
