//! Frames as each node opens them: none goes round, none is where its room may not be.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh::Seen;
use wire::{Content, Header, RoomKey, StreamId};

use crate::check::Violations;

/// Copies of one media packet that one node may see: two trees, a detour, a replay, and as many
/// again while an end is sick.
const MAX_COPIES: u8 = 8;
/// Packets remembered by each of the two generations.
const MAX_REMEMBERED: usize = 200_000;

#[derive(Default)]
pub(crate) struct Frames {
    /// Where frames of a room may be; rooms that are not here, everywhere.
    pub(crate) allowed: BTreeMap<RoomKey, BTreeSet<u16>>,
    copies: [HashMap<(u16, StreamId, u64), u8>; 2],
}

impl Frames {
    /// Look at a frame that came to `node`; `room_of` tells the room of a stream.
    pub(crate) fn look(
        &mut self,
        node: u16,
        seen: &Seen,
        room_of: impl Fn(StreamId) -> Option<RoomKey>,
        violations: &mut Violations,
    ) {
        let Ok((header, content)) = Header::decode(&seen.frame) else {
            return; // the mesh counts it
        };
        let (room, media) = match subject(content) {
            Subject::Media(stream, name) => (room_of(stream), Some((stream, name))),
            Subject::Room(room) => (Some(room), None),
            Subject::Other => (None, None),
        };
        let allowed = room.and_then(|room| self.allowed.get(&room));
        if allowed.is_some_and(|nodes| !nodes.contains(&node)) {
            violations.add(|| {
                format!(
                    "node {node} read a frame of node {}, whose room may not be there",
                    header.origin
                )
            });
        }
        let Some((stream, name)) = media else {
            return;
        };
        if self.copies[0].len() >= MAX_REMEMBERED {
            self.turn();
        }
        let key = (node, stream, name);
        let copies = self.copies[0].entry(key).or_default();
        *copies = copies.saturating_add(1);
        let copies = *copies + self.copies[1].get(&key).copied().unwrap_or_default();
        if copies > MAX_COPIES {
            violations.add(|| format!("node {node} saw a packet of {stream} {copies} times"));
        }
    }

    /// Forget what was seen before the last call.
    pub(crate) fn turn(&mut self) {
        self.copies.swap(0, 1);
        self.copies[0].clear();
    }
}

enum Subject {
    /// A stream, and what tells its packet from the others.
    Media(StreamId, u64),
    Room(RoomKey),
    Other,
}

fn subject(content: &[u8]) -> Subject {
    match Content::decode(content) {
        Ok(Content::Media { stream, packet }) => Subject::Media(stream, fingerprint(packet)),
        Ok(Content::Lossy { room, .. }) => Subject::Room(room),
        Ok(Content::Reliable(segment)) if segment.first => {
            let room = segment.bytes.first_chunk::<16>();
            room.map_or(Subject::Other, |room| Subject::Room(RoomKey(*room)))
        }
        // The first piece begins like the whole.
        Ok(Content::Fragment {
            index: 0, bytes, ..
        }) => subject(bytes),
        _ => Subject::Other,
    }
}

/// The packet's format, flags, sequence and timestamp are in its first bytes.
fn fingerprint(packet: &[u8]) -> u64 {
    packet.iter().take(16).fold(0, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
