//! What a path is like.

use std::time::Duration;

/// Which packets a path loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    None,
    /// This share of packets (0 to 1), each by its own.
    Random(f32),
    /// The same by a schedule in time: a packet more or less changes the fate of none that comes a
    /// millisecond later.
    Scheduled(f32),
    /// Gilbert-Elliott: nothing is lost in the good state, this share in the bad one; the states
    /// last so many packets on average.
    Bursts {
        good_packets: f32,
        bad_packets: f32,
        bad_loss: f32,
    },
    /// Gilbert-Elliott by its four probabilities, as papers give it: of going to the other state
    /// before each packet, and of losing it in each state.
    GilbertElliott {
        to_bad: f32,
        to_good: f32,
        good_loss: f32,
        bad_loss: f32,
    },
    /// Bursts in time: nothing is lost in the good state, this share in the bad one; they last so
    /// long on average, exponentially spread. One seed has one schedule, whatever is sent.
    Outages {
        every: Duration,
        last: Duration,
        share: f32,
    },
}

/// How jitter is spread between its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    #[default]
    Even,
    /// Normal with half of the bound as its deviation, without what is beyond the bound
    /// (RFC 8867, RFC 8868 section 4.4).
    Gaussian,
}

/// A delay that wanders: a random walk above the least delay, as routes and queues of others
/// change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wander {
    /// It moves by up to this much each [`Wander::INTERVAL`], either way.
    pub step: Duration,
    /// It never adds more than this.
    pub max: Duration,
}

impl Wander {
    pub const INTERVAL: Duration = Duration::from_millis(100);
}

/// The conditions on one direction of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// One way.
    pub delay: Duration,
    /// Each packet takes up to this much longer or shorter, but never less than nothing.
    pub jitter: Duration,
    pub spread: Spread,
    /// How the delay itself moves.
    pub wander: Option<Wander>,
    /// Whether jitter lets a packet overtake another. On most real paths it does not.
    pub reorder: bool,
    pub loss: Loss,
    /// Bits a second, None if unlimited.
    pub rate: Option<u64>,
    /// How much may wait for the rate; what comes on top is dropped.
    pub queue_bytes: usize,
    /// CoDel (RFC 8289) minds the queue: it drops, or marks what may be marked, before it is full.
    pub codel: bool,
    /// What is longer vanishes without a word.
    pub max_bytes: usize,
    /// Nothing arrives.
    pub cut: bool,
    /// Nothing arrives until it ends: as at a base station that buffers. Then all that is due
    /// arrives at once, in order.
    pub hold: bool,
}

impl Weather {
    /// Enough for 100 ms at 20 Mb/s.
    pub const QUEUE_BYTES: usize = 250_000;

    /// A full packet of most networks.
    const PACKET_BYTES: usize = 1_500;

    /// What waits for so long at a rate of so many bits a second, in bytes; never less than a
    /// full packet, for nothing would pass.
    pub fn queue_of(time: Duration, rate: u64) -> usize {
        let bytes = time.as_secs_f64() * rate as f64 / 8.0;
        (bytes.round() as usize).max(Weather::PACKET_BYTES)
    }

    /// Perfect but for its delay.
    pub fn delayed(delay: Duration) -> Weather {
        Weather {
            delay,
            ..Weather::default()
        }
    }
}

impl Default for Weather {
    /// No weather at all.
    fn default() -> Self {
        Weather {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            spread: Spread::Even,
            wander: None,
            reorder: false,
            loss: Loss::None,
            rate: None,
            queue_bytes: Weather::QUEUE_BYTES,
            codel: false,
            max_bytes: usize::MAX,
            cut: false,
            hold: false,
        }
    }
}
