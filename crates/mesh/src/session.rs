//! The keys of one handshake: sealing, opening, and refusing what was opened before.

use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use wire::{Body, Datagram, LARGEST_DATAGRAM, SEALED_HEADER};

/// How far back a datagram may come late, in counters.
/// All port pairs of a link share them, and a hop leaves the ways of two apart: 80 ms at 200,000
/// datagrams a second.
const WINDOW: u64 = 16_384;
const WORDS: usize = WINDOW as usize / 64;

/// Why a sealed datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Replayed,
    Forged,
}

pub(crate) struct Session {
    /// The key id that the peer writes, and the one that we write.
    pub(crate) local: u32,
    pub(crate) remote: u32,
    /// The peer's incarnation.
    pub(crate) epoch: u64,
    pub(crate) created: Instant,
    pub(crate) initiated: bool,
    seal: LessSafeKey,
    open: LessSafeKey,
    counter: u64,
    replay: Replay,
}

/// What the two ends agreed on.
pub(crate) struct Agreed {
    pub(crate) local: u32,
    pub(crate) remote: u32,
    pub(crate) epoch: u64,
    pub(crate) initiated: bool,
    pub(crate) seal: [u8; 32],
    pub(crate) open: [u8; 32],
}

impl Session {
    pub(crate) fn new(now: Instant, agreed: Agreed) -> Session {
        Session {
            local: agreed.local,
            remote: agreed.remote,
            epoch: agreed.epoch,
            created: now,
            initiated: agreed.initiated,
            seal: key(&agreed.seal),
            open: key(&agreed.open),
            counter: 0,
            replay: Replay::default(),
        }
    }

    /// A datagram around `body`.
    pub(crate) fn seal(&mut self, body: &Body<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LARGEST_DATAGRAM);
        let header = Datagram::Sealed {
            receiver: self.remote,
            counter: self.counter,
        };
        header.encode(&mut bytes);
        body.encode(&mut bytes);
        let (header, body) = bytes.split_at_mut(SEALED_HEADER);
        let tag = self
            .seal
            .seal_in_place_separate_tag(nonce(self.counter), Aad::from(&*header), body)
            .expect("a datagram is far below the cipher's limit");
        bytes.extend_from_slice(tag.as_ref());
        self.counter += 1;
        bytes
    }

    /// The body of a sealed datagram, opened in place, and by how much it moved the counter on.
    pub(crate) fn open<'a>(
        &mut self,
        counter: u64,
        datagram: &'a mut [u8],
    ) -> Result<(&'a [u8], u64), Refused> {
        if !self.replay.is_new(counter) {
            return Err(Refused::Replayed);
        }
        let (header, body) = datagram.split_at_mut(SEALED_HEADER);
        let body = self
            .open
            .open_in_place(nonce(counter), Aad::from(&*header), body)
            .map_err(|_| Refused::Forged)?;
        Ok((body, self.replay.accept(counter)))
    }
}

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 keys have 32 bytes"))
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Which of the last `WINDOW` counters came (RFC 6479).
struct Replay {
    /// One past the highest.
    next: u64,
    words: [u64; WORDS],
}

impl Default for Replay {
    fn default() -> Self {
        Replay {
            next: 0,
            words: [0; WORDS],
        }
    }
}

impl Replay {
    fn is_new(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter != u64::MAX;
        }
        // One word is always being reused, so the window is that much shorter.
        self.next - counter <= WINDOW - 64 && self.words[word(counter)] & (1 << (counter % 64)) == 0
    }

    /// Note an authentic counter; how far it is past the highest before.
    fn accept(&mut self, counter: u64) -> u64 {
        let mut advance = 0;
        if counter >= self.next {
            advance = counter + 1 - self.next;
            let newest = self.next.saturating_sub(1) / 64;
            let fresh = (counter / 64).saturating_sub(newest).min(WORDS as u64);
            for i in 0..fresh {
                self.words[word(counter - i * 64)] = 0;
            }
            self.next = counter + 1;
        }
        self.words[word(counter)] |= 1 << (counter % 64);
        advance
    }
}

fn word(counter: u64) -> usize {
    (counter / 64) as usize % WORDS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn replay_window_matches_a_set(steps in prop::collection::vec((0u64..40_000, 0u64..1_200), 1..400)) {
            let mut window = Replay::default();
            let (mut seen, mut next) = (HashSet::new(), 0u64);
            for (jump, back) in steps {
                let counter = (next + jump / 30).saturating_sub(back * 17);
                let new = window.is_new(counter);
                let in_reach = next.saturating_sub(counter) <= WINDOW - 64;
                prop_assert_eq!(new, in_reach && !seen.contains(&counter));
                if new {
                    let advance = window.accept(counter);
                    prop_assert_eq!(advance, (counter + 1).saturating_sub(next));
                    seen.insert(counter);
                    next = next.max(counter + 1);
                    prop_assert!(!window.is_new(counter));
                }
            }
        }
    }
}
