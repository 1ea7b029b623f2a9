//! Keys that were taken from their nodes lately: what still comes under them is refused by name.

use std::collections::VecDeque;

/// Remembered at most; past it the oldest are merely unknown.
const MAX_REMEMBERED: usize = 256;

#[derive(Default)]
pub(crate) struct Revoked {
    keys: VecDeque<[u8; 32]>,
    ids: VecDeque<u32>,
}

impl Revoked {
    pub(crate) fn key(&mut self, key: [u8; 32]) {
        remember(&mut self.keys, key);
    }

    /// Of a session under such a key.
    pub(crate) fn id(&mut self, id: u32) {
        remember(&mut self.ids, id);
    }

    /// It is a node's again.
    pub(crate) fn allow(&mut self, key: &[u8; 32]) {
        self.keys.retain(|revoked| revoked != key);
    }

    pub(crate) fn has_key(&self, key: &[u8; 32]) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn has_id(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}

fn remember<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() == MAX_REMEMBERED {
        all.pop_front();
    }
    all.push_back(one);
}
