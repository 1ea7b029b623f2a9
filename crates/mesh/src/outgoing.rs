//! The sending half of a link's numbering: what was sent, kept a while for repair and parity.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use wire::Class;

use crate::bucket::Allowance;
use crate::fec::{Encoding, MAX_WINDOW};
use crate::message::Queue;

/// Bounds of the repair memory; the oldest go first.
const MAX_KEPT: usize = 4096;
const MAX_KEPT_BYTES: usize = 4 << 20;
/// Control datagrams that outlast the others.
const MAX_PATIENT: usize = 256;
/// Repairs of one datagram.
const MAX_REPAIRS: u8 = 16;

/// How much later than its class allows a repair is still sent: a receiver's buffer grows when
/// packets come late.
pub(crate) const SPARE: Duration = Duration::from_millis(30);

/// Repairs of control and audio take at most as much as both do, saved up to this burst: at 30 %
/// loss they need about three quarters of it, last chances doubled.
const URGENT_SHARE: f32 = 1.0;
const URGENT_BURST: usize = 64 << 10;
/// Repairs of the rest take a tenth of it, and where loss is higher twice the loss, up to half.
const BULK_SHARE: f32 = 0.1;
const MAX_BULK_SHARE: f32 = 0.5;
/// About half of what 4 Mb/s bring in a second.
const BULK_BURST: usize = 256 << 10;
/// The part of the burst that the rest leaves to the base.
const LEFT_TO_BASE: f32 = 0.25;

struct Kept {
    sent: Instant,
    class: Class,
    /// The peer missed it.
    asked: bool,
    repairs: u8,
    repaired: Option<Instant>,
    frames: Vec<u8>,
}

/// What was lost lately, as the peer's questions tell; each second counts less than the next.
#[derive(Default)]
struct Losses {
    sent: f32,
    asked: f32,
    /// Of those asked, the first in a row.
    runs: f32,
}

/// So few datagrams are no measure of loss.
const FEW: f32 = 50.0;

/// What is to be done about a datagram that did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Repair<'a> {
    /// Send it again; `twice` if no further round fits before its deadline.
    Send { frames: &'a [u8], twice: bool },
    /// It would come too late, or is no longer here.
    Gone,
    /// It was sent again so lately that this question must have crossed it.
    Crossed,
    /// Repairs have had their share of the bytes for now.
    Capped,
    /// It was never sent.
    Unknown,
}

pub(crate) struct Outgoing {
    next: u64,
    /// The datagrams `next - kept.len() .. next`.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// Control datagrams that have left `kept`.
    patient: BTreeMap<u32, Kept>,
    urgent: Allowance,
    bulk: Allowance,
    losses: Losses,
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            next: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            patient: BTreeMap::new(),
            urgent: Allowance::new(URGENT_BURST),
            bulk: Allowance::new(BULK_BURST),
            losses: Losses::default(),
        }
    }
}

impl Outgoing {
    /// The sequence number that the next frames will have.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.next as u32
    }

    /// The share of what is sent that the peer misses, 0 to 1, and how many in a row.
    pub(crate) fn loss(&self) -> (f32, f32) {
        let Losses { sent, asked, runs } = self.losses;
        let burst = if runs > 0.0 { asked / runs } else { 1.0 };
        ((asked / sent.max(FEW)).min(1.0), burst.max(1.0))
    }

    /// A second is over.
    pub(crate) fn fade(&mut self) {
        let Losses { sent, asked, runs } = &mut self.losses;
        for count in [sent, asked, runs] {
            *count *= 0.8;
        }
    }

    /// Number frames that are being sent and keep them. Returns an emptied buffer for reuse.
    pub(crate) fn keep(
        &mut self,
        now: Instant,
        class: Class,
        frames: Vec<u8>,
        memory: Duration,
    ) -> Vec<u8> {
        self.next += 1;
        self.losses.sent += 1.0;
        if class <= Class::Audio {
            self.urgent.earn(frames.len(), URGENT_SHARE);
        } else {
            let share = (2.0 * self.loss().0).clamp(BULK_SHARE, MAX_BULK_SHARE);
            self.bulk.earn(frames.len(), share);
        }
        self.kept_bytes += frames.len();
        self.kept.push_back(Kept {
            sent: now,
            class,
            asked: false,
            repairs: 0,
            repaired: None,
            frames,
        });
        let mut spare = Vec::new();
        while let Some(oldest) = self.kept.front() {
            let full = self.kept.len() > MAX_KEPT || self.kept_bytes > MAX_KEPT_BYTES;
            if !full && now.saturating_duration_since(oldest.sent) <= memory {
                break;
            }
            self.kept_bytes -= oldest.frames.len();
            let sequence = (self.next - self.kept.len() as u64) as u32;
            match self.kept.pop_front() {
                Some(kept) if kept.class == Class::Control => self.keep_longer(sequence, kept),
                Some(kept) => spare = kept.frames,
                None => {}
            }
        }
        spare.clear();
        spare
    }

    fn keep_longer(&mut self, sequence: u32, kept: Kept) {
        let limit = Class::Control.budget() + SPARE;
        let latest = kept.sent;
        self.patient.insert(sequence, kept);
        while let Some(oldest) = self.patient.first_entry() {
            let late = latest.saturating_duration_since(oldest.get().sent) > limit;
            if !late && self.patient.len() <= MAX_PATIENT {
                break;
            }
            self.patient.pop_first();
        }
    }

    /// What was sent after `since` and is still kept: when, and the frames.
    pub(crate) fn since(&self, since: Instant) -> impl Iterator<Item = (Instant, &[u8])> {
        let recent = self.kept.iter().rev().take_while(move |k| k.sent > since);
        recent.map(|kept| (kept.sent, &kept.frames[..]))
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "link_repair_bytes",
            length: self.kept_bytes,
            capacity: MAX_KEPT_BYTES,
        }
    }

    fn kept(&mut self, sequence: u32) -> Option<&mut Kept> {
        let age = (self.next as u32).wrapping_sub(sequence) as usize;
        match self.kept.len().checked_sub(age) {
            Some(index) => self.kept.get_mut(index),
            None => self.patient.get_mut(&sequence),
        }
    }

    /// The peer misses `sequence`, and would ask for it again a `round` from now.
    pub(crate) fn repair(&mut self, now: Instant, sequence: u32, round: Duration) -> Repair<'_> {
        let age = (self.next as u32).wrapping_sub(sequence);
        if age == 0 || age > u32::MAX / 2 || u64::from(age) > self.next {
            return Repair::Unknown;
        }
        self.note_loss(sequence);
        let Some(kept) = self.kept(sequence) else {
            return Repair::Gone;
        };
        // What is sent again now is as late as it is old.
        let late = now.saturating_duration_since(kept.sent);
        let limit = kept.class.budget() + SPARE;
        if late > limit || kept.repairs >= MAX_REPAIRS {
            return Repair::Gone;
        }
        let since = |at| now.saturating_duration_since(at);
        if kept.repaired.is_some_and(|at| since(at) < round / 2) {
            return Repair::Crossed;
        }
        let (class, length) = (kept.class, kept.frames.len());
        let paid = match class {
            Class::Control | Class::Audio => self.urgent.spend(length, 0.0),
            Class::Base => self.bulk.spend(length, 0.0),
            Class::Rest => self.bulk.spend(length, LEFT_TO_BASE),
        };
        if !paid {
            return Repair::Capped;
        }
        // The rest is not worth a second copy.
        let twice = late + round > limit && class < Class::Rest && self.pay_copy(class, length);
        let Some(kept) = self.kept(sequence) else {
            return Repair::Gone;
        };
        kept.repairs += 1;
        kept.repaired = Some(now);
        Repair::Send {
            frames: &kept.frames,
            twice,
        }
    }

    fn note_loss(&mut self, sequence: u32) {
        let Some(kept) = self.kept(sequence) else {
            return;
        };
        if std::mem::replace(&mut kept.asked, true) {
            return;
        }
        self.losses.asked += 1.0;
        let before = self.kept(sequence.wrapping_sub(1));
        if !before.is_some_and(|kept| kept.asked) {
            self.losses.runs += 1.0;
        }
    }

    fn pay_copy(&mut self, class: Class, length: usize) -> bool {
        if class <= Class::Audio {
            self.urgent.spend(length, 0.0)
        } else {
            self.bulk.spend(length, LEFT_TO_BASE)
        }
    }

    /// What was sent under a number, for a second copy of a repair.
    pub(crate) fn frames(&mut self, sequence: u32) -> Option<&[u8]> {
        self.kept(sequence).map(|kept| kept.frames.as_slice())
    }

    /// How many of the latest datagrams were sent within `span`, as far as parity reaches.
    pub(crate) fn window(&self, now: Instant, span: Duration) -> usize {
        let old = |kept: &Kept| now.saturating_duration_since(kept.sent) > span;
        (self.kept.len() - self.kept.partition_point(old)).min(MAX_WINDOW)
    }

    /// The latest `window` datagrams into a parity datagram: the first number, and the sum.
    pub(crate) fn parity(&self, number: u32, window: usize, buffer: Vec<u8>) -> (u32, Vec<u8>) {
        let window = window.min(self.kept.len());
        let first = (self.next as u32).wrapping_sub(window as u32);
        let mut encoding = Encoding::new(number, buffer);
        for (i, kept) in self.kept.range(self.kept.len() - window..).enumerate() {
            encoding.add(first.wrapping_add(i as u32), &kept.frames);
        }
        (first, encoding.finish())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    const MEMORY: Duration = Duration::from_millis(300);
    const ROUND: Duration = Duration::from_millis(50);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn send(frames: &[u8], twice: bool) -> Repair<'_> {
        Repair::Send { frames, twice }
    }

    #[test]
    fn repairs_what_was_sent_and_nothing_else() {
        let now = Instant::now();
        let mut sent = Outgoing::default();
        assert_eq!(sent.repair(now, 0, ROUND), Repair::Unknown);
        sent.keep(now, Class::Audio, vec![7], MEMORY);
        sent.keep(now, Class::Rest, vec![8], MEMORY);
        assert_eq!(sent.repair(now, 0, ROUND), send(&[7], false));
        assert_eq!(sent.repair(now, 1, ROUND), send(&[8], false));
        for unknown in [2, 3, u32::MAX, 1 << 31] {
            assert_eq!(sent.repair(now, unknown, ROUND), Repair::Unknown);
        }
        let later = now + MEMORY * 2;
        sent.keep(later, Class::Audio, vec![9], MEMORY);
        assert_eq!(sent.repair(later, 1, ROUND), Repair::Gone);
        assert_eq!(sent.repair(later, 2, ROUND), send(&[9], false));
    }

    #[test]
    fn each_class_is_repaired_while_that_helps_and_twice_at_last() {
        let t = Instant::now();
        let late = |class: Class, age: u64| {
            let mut sent = Outgoing::default();
            sent.keep(t, class, vec![1], MEMORY);
            match sent.repair(t + ms(age), 0, ROUND) {
                Repair::Send { twice, .. } => Some(twice),
                Repair::Gone => None,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            [99, 101, 149, 151].map(|age| late(Class::Audio, age)),
            [Some(false), Some(true), Some(true), None]
        );
        assert_eq!(
            [229, 231, 281].map(|age| late(Class::Base, age)),
            [Some(false), Some(true), None]
        );
        assert_eq!(
            [229, 231, 281].map(|age| late(Class::Rest, age)),
            [Some(false), Some(false), None]
        );
        assert_eq!(
            [299, 979, 981, 1_031].map(|age| late(Class::Control, age)),
            [Some(false), Some(false), Some(true), None]
        );
    }

    #[test]
    fn control_outlasts_the_memory_of_the_rest() {
        let t = Instant::now();
        let mut sent = Outgoing::default();
        sent.keep(t, Class::Control, vec![1], MEMORY);
        for i in 1..=900 {
            sent.keep(t + ms(i), Class::Rest, vec![2], MEMORY);
        }
        assert_eq!(sent.repair(t + ms(900), 0, ROUND), send(&[1], false));
        assert_eq!(sent.repair(t + ms(900), 1, ROUND), Repair::Gone);
        for i in 0..10_000 {
            sent.keep(t + ms(900), Class::Control, vec![i as u8], MEMORY);
        }
        sent.keep(t + ms(1_900), Class::Control, vec![0], MEMORY);
        assert!(sent.patient.len() <= MAX_PATIENT);
    }

    #[test]
    fn a_question_that_crossed_the_answer_is_not_answered_again() {
        let t = Instant::now();
        let mut sent = Outgoing::default();
        sent.keep(t, Class::Base, vec![1], MEMORY);
        assert_eq!(sent.repair(t, 0, ROUND), send(&[1], false));
        assert_eq!(sent.repair(t + ms(10), 0, ROUND), Repair::Crossed);
        assert_eq!(sent.repair(t + ms(50), 0, ROUND), send(&[1], false));
    }

    #[test]
    fn repairs_are_capped_audio_last_and_memory_is_bounded() {
        let t = Instant::now();
        let share = |class: Class, loss: f32| {
            let mut sent = Outgoing::default();
            let mut repaired = 0;
            for i in 0..20_000u32 {
                sent.losses = Losses {
                    sent: 1_000.0,
                    asked: 1_000.0 * loss,
                    runs: 1.0,
                };
                let now = t + ms(i.into());
                sent.keep(now, class, vec![0; 1_000], MEMORY);
                repaired += usize::from(matches!(sent.repair(now, i, ROUND), Repair::Send { .. }));
            }
            assert!(sent.kept.len() <= MAX_KEPT && sent.kept_bytes <= MAX_KEPT_BYTES);
            repaired as f32 / 20_000.0
        };
        assert!((0.1..0.12).contains(&share(Class::Rest, 0.01)));
        assert!((0.1..0.12).contains(&share(Class::Base, 0.03)));
        assert!((0.4..0.42).contains(&share(Class::Base, 0.2)));
        assert!((0.5..0.52).contains(&share(Class::Base, 0.9)));
        assert_eq!(share(Class::Audio, 0.3), 1.0);
    }

    #[test]
    fn parity_covers_the_latest() {
        let t = Instant::now();
        let mut sent = Outgoing::default();
        for i in 0..10 {
            sent.keep(
                t + ms(i * 10),
                Class::Audio,
                vec![i as u8; 1 + i as usize],
                MEMORY,
            );
        }
        let now = t + ms(90);
        assert_eq!(sent.window(now, ms(35)), 4);
        assert_eq!(sent.window(now, ms(1_000)), 10);
        let (first, sum) = sent.parity(3, 4, vec![1, 2, 3]);
        assert_eq!((first, sum.len()), (6, 2 + 10));
    }
}
