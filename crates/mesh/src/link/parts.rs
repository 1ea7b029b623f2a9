//! Frames that no datagram of the link takes whole: cut here, put together at the other end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wire::{MAX_PARTS, Part};

use crate::message::Queue;

/// Frames put together at a time; past it the oldest is given up.
const MAX_MESSAGES: usize = 64;
/// The parts of one frame come within this: what is repaired comes no later.
const LIFETIME: Duration = Duration::from_secs(1);

struct Message {
    number: u16,
    since: Instant,
    missing: u8,
    parts: [Option<Vec<u8>>; MAX_PARTS as usize],
    count: u8,
}

/// Frames of which some parts have come.
#[derive(Default)]
pub(super) struct Parts(VecDeque<Message>);

impl Parts {
    /// A part came: the frame, if it was the last one missing, and how many frames were given up.
    pub(super) fn add(&mut self, now: Instant, part: &Part<'_>) -> (Option<Vec<u8>>, u64) {
        let mut given_up = 0;
        while let Some(oldest) = self.0.front() {
            if oldest.since + LIFETIME > now {
                break;
            }
            self.0.pop_front();
            given_up += 1;
        }
        let same = |m: &&mut Message| m.number == part.message && m.count == part.count;
        let Some(message) = self.0.iter_mut().find(same) else {
            if self.0.len() == MAX_MESSAGES {
                self.0.pop_front();
                given_up += 1;
            }
            let mut parts: [Option<Vec<u8>>; MAX_PARTS as usize] = Default::default();
            parts[usize::from(part.index)] = Some(part.bytes.to_vec());
            self.0.push_back(Message {
                number: part.message,
                since: now,
                missing: part.count - 1,
                parts,
                count: part.count,
            });
            return (None, given_up);
        };
        let place = &mut message.parts[usize::from(part.index)];
        if place.is_none() {
            *place = Some(part.bytes.to_vec());
            message.missing -= 1;
        }
        if message.missing > 0 {
            return (None, given_up);
        }
        let whole = message.parts.iter().flatten().flatten().copied().collect();
        let number = message.number;
        self.0.retain(|message| message.number != number);
        (Some(whole), given_up)
    }

    pub(super) fn queue(&self) -> Queue {
        Queue {
            name: "link_parts",
            length: self.0.len(),
            capacity: MAX_MESSAGES,
        }
    }
}

/// The parts of a frame, each with at most `room` bytes of its own; None if it takes too many.
pub(super) fn cut(
    message: u16,
    frame: &[u8],
    room: usize,
) -> Option<impl Iterator<Item = Part<'_>>> {
    let count = frame.len().div_ceil(room.max(1));
    let count = u8::try_from(count).ok().filter(|n| *n <= MAX_PARTS)?;
    // Of about the same size: the last is no straggler of a few bytes.
    let size = frame.len().div_ceil(count.into());
    Some(
        (0..)
            .zip(frame.chunks(size))
            .map(move |(index, bytes)| Part {
                message,
                index,
                count,
                bytes,
            }),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn parts_in_any_order_make_the_frame_and_the_rest_is_bounded() {
        let now = Instant::now();
        let frame: Vec<u8> = (0..3_000u16).map(|i| i as u8).collect();
        let mut parts = Parts::default();
        let all: Vec<Part<'_>> = cut(7, &frame, 1_100).unwrap().collect();
        assert_eq!(all.len(), 3);
        assert_eq!(parts.add(now, &all[2]), (None, 0));
        assert_eq!(parts.add(now, &all[2]), (None, 0));
        assert_eq!(parts.add(now, &all[0]), (None, 0));
        assert_eq!(parts.add(now, &all[1]), (Some(frame.clone()), 0));
        for message in 0..100 {
            let all: Vec<Part<'_>> = cut(message, &frame, 1_100).unwrap().collect();
            parts.add(now, &all[0]);
        }
        assert_eq!(parts.queue().length, MAX_MESSAGES);
        let (_, given_up) = parts.add(now + LIFETIME, &all[0]);
        assert_eq!(given_up, MAX_MESSAGES as u64);
        assert!(cut(1, &frame, 700).is_none(), "more than four parts");
    }
}
