//! Whether of what a client sends more is lost the more it sends, on a way on which no queue is seen: a policer,
//! or a queue too short to be seen.
//!
//! Of each tenth of a second the share lost is set beside the rate of the half second before it, which a loss by
//! chance has nothing to do with. What is sent again is no part of the rate: of that there is more the more is
//! lost. Chance, too, changes with time: only tenths of the same two seconds are compared. Where the rate stays
//! what it became, there is nothing to compare in these; then one such time is compared to another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const BLOCK: Duration = Duration::from_millis(100);
/// A rate is that of so many blocks.
const BEFORE: usize = 5;
/// Blocks that are compared to each other, and how many such groups are kept.
const GROUP: usize = 20;
const GROUPS: usize = 6;
/// A group in which less was lost, or whose rates (the share of their mean by which they deviate) are alike, says
/// nothing by itself.
const SOME: f64 = 3.0;
const ALIKE: f64 = 0.05;
/// In one group loss and rate may have begun to change together: so many say so, each by so many deviations, and
/// all together by more.
const SAYING: usize = 2;
const EACH: f64 = 2.0;
const SURELY: f64 = 3.5;
/// One group is so many times as quick as another.
const QUICKER: f64 = 1.3;
const AS_QUICK: f64 = 0.8;
/// Of what more is sent, less than this comes.
const COMES: f64 = 0.6;
/// Where more is lost than this, to send less is right whatever it is lost by.
const TOO_MUCH: f64 = 0.6;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    since: Option<Instant>,
    block: Block,
    /// The last blocks, for the rate.
    before: VecDeque<Block>,
    group: Vec<(Block, f64)>,
    groups: VecDeque<Group>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    sent: f64,
    came: f64,
    /// Of those that came, sent for the first time.
    new: f64,
    /// Seconds.
    took: f64,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    all: Block,
    /// The square of the deviation of the share lost.
    variance: f64,
    /// None: it says nothing by itself.
    within: Option<Within>,
}

/// How loss went with the rate in a group: the sum of the products of how both deviate, of their squares, and what the
/// first would be if nothing of what is sent more came.
#[derive(Clone, Copy, Debug, Default)]
struct Within {
    both: f64,
    squares: f64,
    most: f64,
}

impl Growth {
    /// What was before is not to be compared.
    pub(crate) fn begin(&mut self) {
        *self = Self::default();
    }

    /// A packet came after so many that did not; `again`: it was sent before. Whether it is now clear that more
    /// is lost the more is sent, or too much is.
    pub(crate) fn came(&mut self, now: Instant, missing: u64, again: bool) -> bool {
        let since = *self.since.get_or_insert(now);
        self.block.sent += missing as f64 + 1.0;
        self.block.came += 1.0;
        self.block.new += f64::from(u8::from(!again));
        if now - since < BLOCK {
            return false;
        }
        self.since = Some(now);
        self.block.took = (now - since).as_secs_f64();
        let block = std::mem::take(&mut self.block);
        if self.before.len() == BEFORE {
            let rate = Block::all(self.before.iter()).rate();
            self.group.push((block, rate));
            self.before.pop_front();
        }
        self.before.push_back(block);
        self.group.len() == GROUP && self.concludes()
    }

    fn concludes(&mut self) -> bool {
        self.groups.push_back(Group::of(&self.group));
        self.group.clear();
        if self.groups.len() > GROUPS {
            self.groups.pop_front();
        }
        let too_much = self.groups.back().is_some_and(|g| g.all.lost() > TOO_MUCH);
        let compared = self.groups.iter().any(|quick| {
            let grew = |slow: &Group| quick.grew_from(slow) && self.none_denies(slow, quick);
            self.groups.iter().any(grew)
        });
        let within = || self.groups.iter().filter_map(|group| group.within);
        let many = within().filter(|one| one.deviations() > EACH).count() >= SAYING;
        let grew = |all: Within| all.deviations() > SURELY && all.both > (1.0 - COMES) * all.most;
        too_much || compared || (many && within().reduce(Within::with).is_some_and(grew))
    }

    /// Whether whenever it was as quick as that, it lost more than when it was slow.
    fn none_denies(&self, slow: &Group, quick: &Group) -> bool {
        let between = f64::midpoint(slow.all.lost(), quick.all.lost());
        let as_quick = |group: &&Group| group.all.rate() > AS_QUICK * quick.all.rate();
        self.groups
            .iter()
            .filter(as_quick)
            .all(|group| group.all.lost() > between)
    }
}

impl Block {
    fn all<'a>(blocks: impl Iterator<Item = &'a Self>) -> Self {
        blocks.fold(Self::default(), |sum, block| Self {
            sent: sum.sent + block.sent,
            came: sum.came + block.came,
            new: sum.new + block.new,
            took: sum.took + block.took,
        })
    }

    /// New packets a second that were sent.
    fn rate(&self) -> f64 {
        self.sent * self.new / self.came.max(1.0) / self.took
    }

    fn lost(&self) -> f64 {
        1.0 - self.came / self.sent
    }
}

impl Group {
    fn of(blocks: &[(Block, f64)]) -> Self {
        let all = Block::all(blocks.iter().map(|(block, _)| block));
        let mean = blocks.iter().map(|(b, rate)| b.sent * rate).sum::<f64>() / all.sent;
        let (mut within, mut varies, mut spread) = (Within::default(), 0.0, 0.0);
        for (block, rate) in blocks {
            let more = block.sent - block.came - all.lost() * block.sent;
            let both = more * (rate - mean);
            within.both += both;
            within.squares += both * both;
            varies += block.sent * (rate - mean).powi(2);
            spread += more * more;
        }
        within.most = (1.0 - all.lost()) / mean * varies;
        let says = all.sent - all.came >= SOME && varies > all.sent * (ALIKE * mean).powi(2);
        Self {
            all,
            variance: spread / (all.sent * all.sent),
            within: says.then_some(within),
        }
    }

    /// Whether more was sent than in another, and of this less came.
    fn grew_from(&self, slow: &Self) -> bool {
        let more = self.all.rate() / slow.all.rate();
        let comes = more * (1.0 - self.all.lost()) / (1.0 - slow.all.lost());
        let deviation = (self.variance + slow.variance).sqrt();
        let surely = self.all.lost() - slow.all.lost() > SURELY * deviation;
        more > QUICKER && comes.ln() < COMES * more.ln() && surely
    }
}

impl Within {
    fn with(self, other: Self) -> Self {
        Self {
            both: self.both + other.both,
            squares: self.squares + other.squares,
            most: self.most + other.most,
        }
    }

    fn deviations(&self) -> f64 {
        self.both / self.squares.sqrt().max(f64::EPSILON)
    }
}
