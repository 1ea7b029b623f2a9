//! The only sockets, threads and clocks of the packet path: a thin shell around [`node::Node`].
//!
//! It decides nothing about media: it finds a packet's worker, feeds it to the worker's node and
//! sends what comes out, all within named limits.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests play the clients")
)]

pub mod access;
mod addresses;
mod batch;
mod clock;
mod config;
mod counters;
pub mod framing;
mod gate;
mod owners;
mod queue;
mod shell;
mod socket;
pub mod stun;
mod tcp;
mod udp;
mod weather;
mod worker;

#[cfg(test)]
mod tests;

pub use clock::now;
pub use config::{FrontConfig, NodeConfig, StartError, TurnConfig};
pub use node::{Command, Event};
pub use shell::{Refused, Shell};
