//! Which layer of each video track a subscriber gets: the best that it asks for and that fits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use wire::StreamId;

use crate::headroom::Budget;
use crate::layering::LayerId;

/// Bits per second that a layer is taken to need until it was measured, by quality.
const NOMINAL: [u64; 3] = [200_000, 600_000, 2_000_000];
/// A lowest layer is shown down to this share of what it needs, or the second where a client can't be
/// told of a pause: now and then a picture is left out then. Below, speech would suffer from it.
const FLOOR: f64 = 0.8;
const UNTOLD_FLOOR: f64 = 0.5;
/// Of two encodings of a track the lesser is as good to look at as the greater if it needs this share of
/// what that does. (SDKs send small pictures twice in one size: of 640 x 360 at 450 and 800 kb/s.)
const ALIKE: f64 = 0.45;
/// Priorities from this one on share alike.
const MAX_WEIGHT: u64 = 4;

/// One way to show a track: the layers of a stream up to `layer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    pub(crate) stream: StreamId,
    pub(crate) layer: LayerId,
    pub(crate) quality: u8,
    /// Bits per second.
    pub(crate) needs: u64,
    /// It comes; one that does not may be asked for.
    pub(crate) alive: bool,
}

/// What a stream is taken to need before it was measured.
pub(crate) fn nominal(quality: u8) -> u64 {
    NOMINAL[usize::from(quality.min(2))]
}

/// One track that a subscriber asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Greater is served first, and gets more.
    pub(crate) priority: u8,
    /// From the least to the best that is asked for.
    pub(crate) rungs: Vec<Rung>,
    /// Of `rungs`, what is shown.
    pub(crate) shown: Option<usize>,
    /// Nothing may be shown, for the client is told so.
    pub(crate) pausable: bool,
}

/// The rungs in order, without those that a better one costs no more than, and without those that
/// leave out pictures where a lesser encoding that is as good has them all. One that does not come
/// costs nobody his.
pub(crate) fn ladder(mut rungs: Vec<Rung>) -> Vec<Rung> {
    let whole = |stream: StreamId| {
        let own = rungs.iter().filter(|r| r.stream == stream && r.alive);
        own.map(|rung| rung.needs).max()
    };
    let jerks = |rung: &Rung| {
        let Some(all) = whole(rung.stream).filter(|all| rung.alive && rung.needs < *all) else {
            return false;
        };
        let lesser = |r: &Rung| r.alive && r.stream != rung.stream && r.quality < rung.quality;
        let entire = |r: &Rung| whole(r.stream) == Some(r.needs);
        let alike = |r: &Rung| r.needs < all && r.needs as f64 >= ALIKE * all as f64;
        rungs.iter().any(|r| lesser(r) && entire(r) && alike(r))
    };
    let jerky: Vec<bool> = rungs.iter().map(jerks).collect();
    let mut jerky = jerky.iter();
    rungs.retain(|_| !jerky.next().is_some_and(|jerky| *jerky));
    rungs.sort_by_key(|rung| (rung.quality, rung.layer.spatial, rung.layer.temporal));
    let mut least = u64::MAX;
    let mut kept: Vec<Rung> = Vec::with_capacity(rungs.len());
    for rung in rungs.into_iter().rev() {
        if kept.is_empty() || rung.needs < least {
            if rung.alive {
                least = rung.needs;
            }
            kept.push(rung);
        }
    }
    kept.reverse();
    kept
}

/// The rung for each request, None for nothing.
///
/// Everyone's least comes first, in order of priority; then who has least for its weight is given
/// more, as long as it fits. What is shown may stay by `keep`; anything above must fit `grow`.
pub(crate) fn allocate(requests: &[Request], budget: Budget) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|at| Reverse(requests[*at].priority));
    let mut chosen = vec![None; requests.len()];
    let mut spent = 0u64;
    let mut rising = BinaryHeap::new();
    for at in order {
        let request = &requests[at];
        let Some(least) = request.rungs.first() else {
            continue;
        };
        let limit = limit(request, 0, budget);
        let counts = match (least.alive, request.pausable) {
            (false, _) => 1.0,
            (true, true) => FLOOR,
            (true, false) => UNTOLD_FLOOR,
        };
        if spent.saturating_add((least.needs as f64 * counts) as u64) <= limit {
            chosen[at] = Some(0);
            spent = spent.saturating_add(least.needs);
            rising.push(Reverse((least.needs / weight(request), at)));
        }
    }
    while let Some(Reverse((_, at))) = rising.pop() {
        let request = &requests[at];
        let Some(now) = chosen[at] else { continue };
        let Some(next) = request.rungs.get(now + 1) else {
            continue;
        };
        let more = next.needs.saturating_sub(request.rungs[now].needs);
        if spent.saturating_add(more) <= limit(request, now + 1, budget) {
            chosen[at] = Some(now + 1);
            spent = spent.saturating_add(more);
            rising.push(Reverse((next.needs / weight(request), at)));
        }
    }
    chosen
}

fn limit(request: &Request, rung: usize, budget: Budget) -> u64 {
    match request.shown {
        Some(shown) if rung <= shown => budget.keep.max(budget.grow),
        None if rung == 0 => budget.begin,
        _ => budget.grow,
    }
}

fn weight(request: &Request) -> u64 {
    (1 + u64::from(request.priority)).min(MAX_WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn exactly(bits: u64) -> Budget {
        Budget {
            keep: bits,
            grow: bits,
            begin: bits,
        }
    }

    /// Three streams of two temporal layers: 60, 100 | 250, 400 | 1000, 1600 kbit/s.
    fn rungs() -> Vec<Rung> {
        let rung = |quality: u8, temporal: u8, kbps: u64| Rung {
            stream: StreamId(quality.into()),
            layer: LayerId {
                spatial: 0,
                temporal,
            },
            quality,
            needs: kbps * 1_000,
            alive: true,
        };
        ladder(vec![
            rung(2, 0, 1_000),
            rung(2, 1, 1_600),
            rung(0, 0, 60),
            rung(0, 1, 100),
            rung(1, 0, 250),
            rung(1, 1, 400),
        ])
    }

    fn request(priority: u8, shown: Option<usize>) -> Request {
        Request {
            priority,
            rungs: rungs(),
            shown,
            pausable: true,
        }
    }

    fn alone(bits: u64) -> Option<usize> {
        allocate(&[request(0, None)], exactly(bits))[0]
    }

    #[test]
    fn temporal_layers_go_before_spatial_ones() {
        let steps = [
            10_000_000, 1_500_000, 900_000, 390_000, 240_000, 90_000, 45_000,
        ]
        .map(alone);
        let expected = [Some(5), Some(4), Some(3), Some(2), Some(1), Some(0), None];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_rung_that_costs_more_than_a_better_one_is_none() {
        let mut all = rungs();
        all[3].needs = 1_700_000;
        let qualities: Vec<_> = ladder(all).iter().map(|r| (r.quality, r.needs)).collect();
        assert_eq!(qualities[2], (1, 250_000));
        assert_eq!(qualities[3], (2, 1_000_000));
    }

    #[test]
    fn an_encoding_with_all_its_pictures_goes_before_half_of_those_of_one_that_is_little_better() {
        let mut all = rungs();
        (all[2].needs, all[3].needs) = (500_000, 800_000);
        let mut qualities: Vec<_> = ladder(all.clone())
            .iter()
            .map(|r| r.needs / 1_000)
            .collect();
        assert_eq!(qualities, [60, 100, 500, 800, 1_600]);
        // Where the lesser does not come it is no reason.
        all[3].alive = false;
        all[2].alive = false;
        qualities = ladder(all).iter().map(|r| r.needs / 1_000).collect();
        assert_eq!(qualities, [60, 100, 500, 800, 1_000, 1_600]);
    }

    #[test]
    fn what_is_shown_may_stay_where_more_may_not_be_taken() {
        let budget = Budget {
            keep: 1_050_000,
            grow: 700_000,
            begin: 700_000,
        };
        let held = |shown| allocate(&[request(0, Some(shown))], budget)[0];
        assert_eq!((held(3), held(4), held(5)), (Some(3), Some(4), Some(4)));
    }

    #[test]
    fn everyone_has_something_and_who_matters_has_more() {
        let requests = [request(0, None), request(0, None), request(2, None)];
        let chosen = |bits| allocate(&requests, exactly(bits));
        assert_eq!(chosen(10_000_000), [Some(5), Some(5), Some(5)]);
        assert_eq!(chosen(130_000), [Some(0), None, Some(0)]);
        assert_eq!(chosen(700_000), [Some(1), Some(1), Some(3)]);
    }

    #[test]
    fn who_is_not_told_of_a_pause_keeps_the_least_down_to_the_floor() {
        let mut request = request(0, Some(0));
        request.pausable = false;
        let chosen = |bits| allocate(std::slice::from_ref(&request), exactly(bits))[0];
        assert_eq!(chosen(40_000), Some(0));
        assert_eq!(chosen(20_000), None, "speech goes on");
    }

    #[test]
    fn nothing_is_shown_of_nothing() {
        let mut none = request(0, None);
        none.rungs.clear();
        assert_eq!(allocate(&[none], Budget::UNKNOWN), [None]);
        assert_eq!(allocate(&[], Budget::UNKNOWN), []);
    }
}
