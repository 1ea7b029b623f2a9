//! A load client that does not decode: many LiveKit v1 clients in one process, one clock for all.
//!
//! It plays the people of a call and owns clocks, sockets and threads, as `crates/io` does for
//! the node. `fairlead bench` reaches it through `crates/python`; `fairlead-load` is the rest of
//! `bench/`.
#![allow(
    clippy::disallowed_methods,
    reason = "it plays the clients, with clock, threads and sockets of its own"
)]

mod crowd;
mod door;
mod failure;
mod figures;
mod hearing;
mod histogram;
pub mod join;
mod media;
mod peer;
pub mod report;
mod run;
mod signal;
mod source;
mod spec;
mod stage;
mod tally;

pub use failure::Failure;
pub use run::{Ended, Run};
