//! Whether a delay that grew stays as it is. A queue that we fill grows, or drains once less is sent;
//! a delay that does neither is of a way that got longer: another route, or another operator's.

/// The shortest delay of each such time is compared (µs of the client's clock).
const WINDOW: i64 = 200_000;
/// Delays no further apart than this are alike (µs).
const ALIKE: i64 = 8_000;
/// So many windows alike, it stays.
const LASTS: u32 = 5;
/// The least that comes in a window, of the most, is more than this where a full queue is emptied.
const EVENLY: f64 = 0.6;
/// Times or delays apart by more than this are those of a clock that jumped (µs).
pub(crate) const JUMP: i64 = 10_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plateau {
    window: Option<Window>,
    alike: Option<Alike>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: i64,
    least: Option<i64>,
    bytes: usize,
}

/// Windows that follow each other.
#[derive(Clone, Copy, Debug)]
struct Alike {
    delay: i64,
    windows: u32,
    /// Bytes that came in one, least and most.
    came: (usize, usize),
}

/// A delay that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stays {
    /// µs above the shortest known.
    pub(crate) delay: i64,
    /// What comes through is now more and now less.
    pub(crate) unevenly: bool,
}

impl Plateau {
    /// A packet arrived at this time of the client's clock (µs), in the order of arrival.
    pub(crate) fn arrived(&mut self, at: i64, bytes: usize) {
        let new = Window {
            since: at,
            least: None,
            bytes,
        };
        let window = self.window.get_or_insert(new);
        let age = at - window.since;
        if (0..WINDOW).contains(&age) {
            window.bytes += bytes;
            return;
        }
        let full = std::mem::replace(window, new);
        if age.abs() > JUMP {
            self.alike = None;
            return;
        }
        let Some(least) = full.least else { return };
        let alike = self.alike.filter(|a| (least - a.delay).abs() <= ALIKE);
        self.alike = Some(match alike {
            Some(Alike {
                delay,
                windows,
                came,
            }) => Alike {
                delay,
                windows: windows + 1,
                came: (came.0.min(full.bytes), came.1.max(full.bytes)),
            },
            None => Alike {
                delay: least,
                windows: 1,
                came: (full.bytes, full.bytes),
            },
        });
    }

    /// What arrived last has waited so long (µs above the shortest known).
    pub(crate) fn waited(&mut self, delay: i64) {
        if let Some(window) = &mut self.window {
            window.least = Some(window.least.map_or(delay, |least| least.min(delay)));
        }
    }

    pub(crate) fn stays(&self) -> Option<Stays> {
        let alike = self.alike.filter(|alike| alike.windows >= LASTS)?;
        Some(Stays {
            delay: alike.delay,
            unevenly: (alike.came.0 as f64) < EVENLY * alike.came.1 as f64,
        })
    }

    /// The shortest known is another now.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found if the delay (ms, of the time in ms) is seen a hundred times a second.
    fn found(delay: impl Fn(i64) -> i64, bytes: impl Fn(i64) -> usize) -> Option<(i64, bool)> {
        let mut plateau = Plateau::default();
        (0..3_000).step_by(10).find_map(|at| {
            plateau.arrived(at * 1_000, bytes(at));
            plateau.waited(delay(at) * 1_000);
            let stays = plateau.stays()?;
            (stays.delay > 15_000).then_some((stays.delay / 1_000, stays.unevenly))
        })
    }

    #[test]
    fn only_what_stays_is_found() {
        let evenly = |delay: fn(i64) -> i64| found(delay, |_| 1_000);
        let longer = evenly(|at| if at < 500 { 0 } else { 70 });
        assert_eq!(longer, Some((70, false)));
        let shakes = evenly(|at| if at < 500 { 0 } else { 70 + at % 30 });
        assert_eq!(shakes, Some((70, false)));
        assert_eq!(evenly(|at| at / 20), None, "a queue that grows");
        assert_eq!(evenly(|at| 200 - at / 20), None, "one that drains");
        let sawtooth = evenly(|at| 100 + (at % 1_000) / 10);
        assert_eq!(sawtooth, None, "one that TCP fills and drains");
        assert_eq!(evenly(|at| at % 200), None, "none between pictures");
    }

    #[test]
    fn what_comes_unevenly_is_told_apart() {
        let longer = |at| if at < 500 { 0 } else { 70 };
        let less = found(longer, |at| if at < 1_000 { 1_000 } else { 500 });
        assert_eq!(less, Some((70, true)));
    }

    #[test]
    fn clocks_that_jump_begin_anew() {
        let mut plateau = Plateau::default();
        for at in (0..2_000_000).step_by(10_000) {
            plateau.arrived(at, 100);
            plateau.waited(50_000);
        }
        assert!(plateau.stays().is_some());
        for at in [i64::MAX / 4, i64::MIN / 4, 0] {
            plateau.arrived(at, 100);
            plateau.waited(0);
            assert_eq!(plateau.stays(), None);
        }
    }
}
