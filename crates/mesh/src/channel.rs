//! Reliable messages between two nodes: in order, each once, through cuts and restarts.

mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use receiver::{Receiver, Taken};
pub(crate) use sender::{Acknowledged, Sender};

/// An acknowledgement waits this long for company.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// Incarnations of the peer whose stragglers are recognised.
const RETIRED: usize = 8;

/// An acknowledgement, as in `wire::Content::Acknowledge`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) epoch: u64,
    pub(crate) receiver: u64,
    pub(crate) next: u64,
    pub(crate) received: [u64; 4],
}

fn retire(retired: &mut VecDeque<u64>, epoch: Option<u64>) {
    retired.extend(epoch);
    if retired.len() > RETIRED {
        retired.pop_front();
    }
}
