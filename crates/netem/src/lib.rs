//! One direction of a path with weather: delay, jitter, loss, rate, cuts, holds. Sans-IO.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use netem::{Path, Weather};
//!
//! let t = Instant::now();
//! let mut path = Path::new(Weather::delayed(Duration::from_millis(40)), 1);
//! path.push(t, "hello", 5);
//! assert_eq!(path.pop(t), None);
//! let due = path.deadline().expect("something is under way");
//! assert_eq!(path.pop(due), Some("hello"));
//! ```
//!
//! The shell pushes what is sent, and whenever [`Path::deadline`] has come pops until there is
//! nothing more. [`Path::set`] changes the weather for what is pushed from then on; what is under
//! way still arrives when it was to, but for a cut, which takes it too. [`Path::set_at`] also moves
//! what waits for the rate to the new one, for whoever asks for the deadline again afterwards.
//!
//! Which packets are lost is decided by the `str0m-netem` crate, but for outages and scheduled
//! loss. Its delays and its queue are not
//! used: that queue counts bytes in flight as queued, and a change of weather there restarts the
//! random sequence.

mod codel;
mod cross;
mod fate;
mod loss;
mod outage;
mod path;
mod wander;
mod weather;

pub use cross::{CROSS_BYTES, Cross, Crowd, Flow, MAX_DOWNLOADS};
pub use path::{Path, Tally};
pub use weather::{Loss, Spread, Wander, Weather};
