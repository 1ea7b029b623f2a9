//! Links and streams between nodes: sealed, numbered, repaired, forwarded. Sans-IO.
//!
//! A [`Mesh`] is one node's part. Give it what happened with [`Mesh::handle`], perform what it
//! puts into the out-buffer, and call it again with [`Input::Timeout`] at [`Mesh::deadline`].
//!
//! **Frames wait for company.** Frames to one neighbour share a datagram, so most inputs only
//! queue a frame and make [`Mesh::deadline`] a moment that has already passed. A shell therefore
//! hands over everything that is ready (a batch of datagrams, a packet's fan-out), then asks for
//! the deadline, and gives a `Timeout` at once if it is due: that flushes. No time is lost and
//! a batch is bundled.
//!
//! It owns no clock and no socket. Its random numbers come from `Config::seed`, except for what
//! must be secret or must differ after a restart with the same configuration: the Noise
//! ephemeral keys and the incarnation number (`epoch`) come from the operating system.

mod assembly;
mod bucket;
mod capacity;
mod channel;
mod config;
mod count;
mod dedup;
mod exit;
mod fec;
mod handshake;
mod incoming;
mod keyframes;
mod link;
mod local;
mod measure;
mod mesh;
mod message;
mod outgoing;
mod pacer;
mod plan;
mod policy;
mod protection;
mod revoked;
mod route;
mod session;
mod streams;
mod timers;

pub use config::{Config, Timing};
pub use handshake::public_key;
pub use link::{Fault, LinkReport, LinkState, PairReport};
pub use mesh::{MAX_MESSAGE, Mesh, Seen};
pub use message::{Input, Output, Queue};
pub use policy::Policy;
pub use protection::{Copies, Protection};
pub use route::Route;
pub use wire::MAX_PAIRS;
