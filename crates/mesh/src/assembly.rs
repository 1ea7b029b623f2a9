//! Contents longer than a datagram, put together again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wire::{Content, NodeId};

use crate::message::Queue;

/// Contents half together at a time; the oldest is given up first.
const MAX_PARTIALS: usize = 128;
/// Pieces of one content: some 66 KiB of them.
pub(crate) const MAX_PIECES: u8 = 64;
const LIFETIME: Duration = Duration::from_secs(2);

struct Partial {
    origin: NodeId,
    message: u32,
    since: Instant,
    missing: usize,
    pieces: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
pub(crate) struct Assembly {
    partials: VecDeque<Partial>,
}

/// One piece of a content from `origin`.
pub(crate) struct Piece<'a> {
    pub(crate) origin: NodeId,
    pub(crate) message: u32,
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) bytes: &'a [u8],
}

impl Assembly {
    /// Add a piece. Ok(Some) is the whole content; Err counts contents given up for it.
    pub(crate) fn add(&mut self, now: Instant, piece: Piece<'_>) -> Result<Option<Vec<u8>>, usize> {
        if piece.count > MAX_PIECES {
            return Err(1);
        }
        let of = |p: &Partial| p.origin == piece.origin && p.message == piece.message;
        let Some(at) = self.partials.iter().rposition(of) else {
            let mut pieces = vec![None; usize::from(piece.count)];
            let missing = pieces.len() - 1;
            if missing == 0 {
                return Ok(Some(piece.bytes.to_vec()));
            }
            pieces[usize::from(piece.index)] = Some(piece.bytes.to_vec());
            self.partials.push_back(Partial {
                origin: piece.origin,
                message: piece.message,
                since: now,
                missing,
                pieces,
            });
            if self.partials.len() > MAX_PARTIALS {
                self.partials.pop_front();
                return Err(1);
            }
            return Ok(None);
        };
        let partial = &mut self.partials[at];
        if partial.pieces.len() != usize::from(piece.count) {
            self.partials.remove(at);
            return Err(1);
        }
        let slot = &mut partial.pieces[usize::from(piece.index)];
        if slot.is_none() {
            *slot = Some(piece.bytes.to_vec());
            partial.missing -= 1;
        }
        if partial.missing > 0 {
            return Ok(None);
        }
        let whole = self.partials.remove(at);
        Ok(whole.map(|p| p.pieces.into_iter().flatten().flatten().collect()))
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "partial_messages",
            length: self.partials.len(),
            capacity: MAX_PARTIALS,
        }
    }

    /// Give up what has waited too long; how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let before = self.partials.len();
        self.partials
            .retain(|p| now.saturating_duration_since(p.since) < LIFETIME);
        before - self.partials.len()
    }
}

/// Cut an encoded content into encoded pieces of at most `size` bytes each.
pub(crate) fn cut(message: u32, content: &[u8], size: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let count = content.len().div_ceil(size) as u8;
    content.chunks(size).enumerate().map(move |(index, bytes)| {
        let mut out = Vec::with_capacity(size + 8);
        Content::Fragment {
            message,
            index: index as u8,
            count,
            bytes,
        }
        .encode(&mut out);
        out
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    fn add(assembly: &mut Assembly, now: Instant, message: u32, encoded: &[u8]) -> Option<Vec<u8>> {
        let Content::Fragment {
            index,
            count,
            bytes,
            ..
        } = Content::decode(encoded).unwrap()
        else {
            panic!("not a fragment")
        };
        let origin = NodeId(1);
        let piece = Piece {
            origin,
            message,
            index,
            count,
            bytes,
        };
        assembly.add(now, piece).unwrap_or(None)
    }

    #[test]
    fn any_order_and_twice_over_gives_the_content_once() {
        let now = Instant::now();
        let content: Vec<u8> = (0..5_000u32).map(|i| i as u8).collect();
        let mut pieces: Vec<_> = cut(7, &content, 1_000).collect();
        pieces.reverse();
        let mut assembly = Assembly::default();
        let mut whole = Vec::new();
        for piece in &pieces {
            whole.extend(add(&mut assembly, now, 7, piece));
            if whole.is_empty() {
                whole.extend(add(&mut assembly, now, 7, piece));
            }
        }
        assert_eq!(whole, [content]);
        assert!(assembly.partials.is_empty());
    }

    #[test]
    fn half_contents_are_bounded_in_number_and_age() {
        let now = Instant::now();
        let mut assembly = Assembly::default();
        for message in 0..1_000 {
            let piece = cut(message, &[0; 20], 10).next().unwrap();
            add(&mut assembly, now, message, &piece);
        }
        assert_eq!(assembly.partials.len(), MAX_PARTIALS);
        assert_eq!(assembly.expire(now + LIFETIME), MAX_PARTIALS);
        let piece = Piece {
            origin: NodeId(1),
            message: 1,
            index: 0,
            count: 255,
            bytes: &[],
        };
        assert_eq!(assembly.add(now, piece), Err(1));
    }
}
