//! What a burst of packets says of the narrowest link on its way, by how far apart it arrives
//! (packet train dispersion: Dovrolis, Ramanathan and Moore 2001).

/// So few packets, or so short a time, say nothing (feedback counts in quarters of a millisecond).
const MIN_PACKETS: usize = 5;
const MIN_TIME: i64 = 8_000;
/// A longer pause than this ends a train, and so does a train's own length (µs).
const MAX_PAUSE: i64 = 10_000;
const MAX_TIME: i64 = 30_000;
/// A train that arrives no more spread than this met no link that was narrower.
const UNSPREAD: f64 = 1.15;

/// A packet of a report, in the order in which it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Both in µs, of clocks of their own; None: it did not arrive.
    pub(crate) sent: i64,
    pub(crate) arrived: Option<i64>,
    pub(crate) bytes: usize,
    /// It was sent several times: whether it came says little of the way, and neither does when.
    pub(crate) copied: bool,
}

/// What a train measured, bits a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measured {
    /// The way carries at least this: it was sent so and arrived so.
    AtLeast(f64),
    /// It was sent faster and arrived at this.
    About(f64),
}

/// What a train in the making needs to be measured.
#[derive(Debug, Default)]
pub(crate) struct Train {
    packets: Vec<Heard>,
}

impl Train {
    /// Take the next packet that was sent; what the train before it measured, if it ends it.
    pub(crate) fn take(&mut self, heard: Heard) -> Option<Measured> {
        let goes_on = match (self.packets.first(), self.packets.last()) {
            (Some(first), Some(last)) => {
                heard.sent - last.sent <= MAX_PAUSE && heard.sent - first.sent <= MAX_TIME
            }
            _ => true,
        };
        let measured = if goes_on { None } else { self.end() };
        self.packets.push(heard);
        measured
    }

    fn end(&mut self) -> Option<Measured> {
        let packets = std::mem::take(&mut self.packets);
        let came: Vec<(i64, i64, usize)> = packets
            .iter()
            .filter_map(|p| Some((p.sent, p.arrived?, p.bytes)))
            .collect();
        let (first, last) = (came.first()?, came.last()?);
        let (took_to_send, took_to_arrive) = (last.0 - first.0, last.1 - first.1);
        if came.len() < MIN_PACKETS || took_to_send < MIN_TIME || took_to_arrive <= 0 {
            return None;
        }
        let inside = |p: &&Heard| p.sent > first.0 && p.sent <= last.0;
        let sent: usize = packets.iter().filter(inside).map(|p| p.bytes).sum();
        let arrived: usize = came[1..].iter().map(|p| p.2).sum();
        let rate = |bytes: usize, time: i64| bytes as f64 * 8e6 / time as f64;
        Some(
            match took_to_arrive as f64 <= UNSPREAD * took_to_send as f64 {
                true => Measured::AtLeast(rate(sent, took_to_send)),
                false => Measured::About(rate(arrived, took_to_arrive)),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// `many` packets of 1000 bytes a millisecond apart through a link of this rate.
    fn through(rate: f64, many: i64, lost: impl Fn(i64) -> bool) -> Option<Measured> {
        let mut train = Train::default();
        let mut free = 0.0f64;
        for n in 0..many {
            free = free.max(n as f64 * 1e3) + 8e9 / rate;
            let heard = Heard {
                sent: n * 1_000,
                arrived: (!lost(n)).then_some(20_000 + free as i64),
                bytes: 1_000,
                copied: false,
            };
            assert_eq!(train.take(heard), None);
        }
        train.take(Heard {
            sent: 1_000_000,
            arrived: None,
            bytes: 0,
            copied: false,
        })
    }

    #[test]
    fn a_train_measures_the_narrowest_link_or_itself() {
        let Some(Measured::AtLeast(rate)) = through(50e6, 15, |_| false) else {
            panic!("it is wide enough");
        };
        assert!((7.9e6..8.1e6).contains(&rate), "{rate}");
        let Some(Measured::About(rate)) = through(2e6, 15, |_| false) else {
            panic!("it is narrow");
        };
        assert!((1.9e6..2.1e6).contains(&rate), "{rate}");
    }

    #[test]
    fn what_is_lost_by_chance_changes_nothing() {
        let Some(Measured::AtLeast(rate)) = through(50e6, 15, |n| n % 2 == 1) else {
            panic!("it is wide enough");
        };
        assert!((7.9e6..8.1e6).contains(&rate), "{rate}");
    }

    #[test]
    fn too_few_or_too_short_say_nothing() {
        assert_eq!(through(2e6, 4, |_| false), None);
        assert_eq!(through(2e6, 7, |_| false), None);
        assert_eq!(through(2e6, 15, |n| n > 3), None);
        assert_eq!(through(2e6, 15, |_| true), None);
    }
}
