//! Reliable messages that a client may have missed: what a room heard of late, by publisher and
//! number (livekit.md 1.12), and what of it a client that comes back asks for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::data::{Destinations, Origin, origin};

/// Bytes kept for a room; beyond, the oldest messages go, and who missed those stays without.
const MAX_BYTES: usize = 512 * 1024;
/// How long a message is kept: longer than a session lives without a websocket and in silence.
const MAX_AGE: Duration = Duration::from_secs(60);
/// SDKs forget what they had of a publisher 30 s after its last message. A publisher that a client
/// does not name gets only what is younger: of older ones it may have had everything.
const MEMORY: Duration = Duration::from_secs(25);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    messages: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    at: Instant,
    bytes: Arc<[u8]>,
}

/// Who asks, and since when it is in the room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) identity: &'a str,
    pub(crate) sid: &'a str,
    pub(crate) since: Instant,
}

impl Missed {
    /// Keep a stamped message. One without a number can't be told from a repetition, and is not
    /// kept. The number of messages that had to go for it before their time.
    pub(crate) fn keep(&mut self, now: Instant, bytes: &Arc<[u8]>) -> u64 {
        if origin(bytes).is_none() {
            return 0;
        }
        while let Some(oldest) = self.messages.front() {
            if now.saturating_duration_since(oldest.at) <= MAX_AGE {
                break;
            }
            self.drop_oldest();
        }
        self.bytes += bytes.len();
        let bytes = Arc::clone(bytes);
        self.messages.push_back(Kept { at: now, bytes });
        let mut early = 0;
        while self.bytes > MAX_BYTES {
            self.drop_oldest();
            early += 1;
        }
        early
    }

    /// Whether a message was heard here.
    pub(crate) fn has(&self, of: Origin<'_>) -> bool {
        let mut origins = self.messages.iter().filter_map(|kept| origin(&kept.bytes));
        origins.any(|from| from == of)
    }

    /// The highest number heard of a publisher.
    pub(crate) fn last(&self, publisher: &str) -> u32 {
        let origins = self.messages.iter().filter_map(|kept| origin(&kept.bytes));
        let of_publisher = origins.filter(|from| from.sid == publisher.as_bytes());
        of_publisher.map(|from| from.sequence).max().unwrap_or(0)
    }

    /// What a reader who has each publisher's messages up to `had` lacks, oldest first.
    pub(crate) fn missed(
        &self,
        now: Instant,
        reader: Reader<'_>,
        had: &HashMap<&str, u32>,
    ) -> Vec<Arc<[u8]>> {
        let lacks = |kept: &&Kept| {
            let Some(Origin { sid, sequence }) = origin(&kept.bytes) else {
                return false;
            };
            let has = std::str::from_utf8(sid).ok().and_then(|sid| had.get(sid));
            let new = match has {
                Some(last) => sequence > *last,
                None => kept.at >= reader.since && kept.at + MEMORY >= now,
            };
            let meant = || {
                Destinations::read(&kept.bytes)
                    .is_ok_and(|to| to.include(reader.identity, reader.sid))
            };
            new && sid != reader.sid.as_bytes() && meant()
        };
        in_order(self.messages.iter().filter(lacks))
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.messages.pop_front() {
            self.bytes -= gone.bytes.len();
        }
    }
}

/// Each publisher's messages by number: what another node passed on came later than what followed
/// it, and clients take a lower number for a repetition.
fn in_order<'a>(messages: impl Iterator<Item = &'a Kept> + Clone) -> Vec<Arc<[u8]>> {
    let named = messages.filter_map(|kept| Some((origin(&kept.bytes)?, &kept.bytes)));
    let mut queues: HashMap<&[u8], BTreeMap<u32, &Arc<[u8]>>> = HashMap::new();
    for (from, bytes) in named.clone() {
        queues
            .entry(from.sid)
            .or_default()
            .insert(from.sequence, bytes);
    }
    let next = |(from, _): (Origin<'_>, _)| queues.get_mut(from.sid)?.pop_first();
    named
        .filter_map(next)
        .map(|(_, bytes)| Arc::clone(bytes))
        .collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use super::*;
    use crate::protobuf::{put, put_number};

    fn message(sid: &str, sequence: u32, to: &str, size: usize) -> Arc<[u8]> {
        let mut bytes = vec![];
        put(&mut bytes, 99, &vec![0; size]);
        put_number(&mut bytes, 16, sequence);
        put(&mut bytes, 17, sid.as_bytes());
        if !to.is_empty() {
            put(&mut bytes, 5, to.as_bytes());
        }
        bytes.into()
    }

    fn reader(since: Instant) -> Reader<'static> {
        let (identity, sid) = ("bob", "PA_2");
        Reader {
            identity,
            sid,
            since,
        }
    }

    fn numbers(messages: &[Arc<[u8]>]) -> Vec<u32> {
        let origins = messages.iter().filter_map(|m| origin(m));
        origins.map(|from| from.sequence).collect()
    }

    #[test]
    fn what_came_after_the_last_one_comes_again_in_order() {
        let now = Instant::now();
        let mut replay = Missed::default();
        for sequence in 1..=4 {
            replay.keep(now, &message("PA_1", sequence, "", 10));
        }
        replay.keep(now, &message("PA_3", 9, "", 10));
        let missed = replay.missed(now, reader(now), &HashMap::from([("PA_1", 2)]));
        assert_eq!(numbers(&missed), [3, 4, 9]);
        assert_eq!(replay.last("PA_1"), 4);
        assert_eq!(replay.last("PA_9"), 0);
    }

    #[test]
    fn what_comes_late_takes_its_place() {
        let now = Instant::now();
        let mut replay = Missed::default();
        for (sid, sequence) in [("PA_1", 2), ("PA_3", 7), ("PA_1", 1), ("PA_1", 3)] {
            replay.keep(now, &message(sid, sequence, "", 10));
        }
        let missed = replay.missed(now, reader(now), &HashMap::new());
        assert_eq!(numbers(&missed), [1, 7, 2, 3]);
    }

    #[test]
    fn nothing_of_its_own_nothing_for_others_nothing_from_before_it_came() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut replay = Missed::default();
        replay.keep(start, &message("PA_1", 1, "", 10));
        replay.keep(later, &message("PA_2", 1, "", 10));
        replay.keep(later, &message("PA_1", 2, "eve", 10));
        replay.keep(later, &message("PA_1", 3, "bob", 10));
        replay.keep(later, &message("PA_1", 0, "", 10));
        let missed = replay.missed(later, reader(later), &HashMap::new());
        assert_eq!(numbers(&missed), [3]);
    }

    #[test]
    fn of_a_publisher_that_the_client_forgot_only_the_youngest() {
        let start = Instant::now();
        let mut replay = Missed::default();
        replay.keep(start, &message("PA_1", 1, "", 10));
        let later = start + Duration::from_secs(20);
        replay.keep(later, &message("PA_1", 2, "", 10));
        let now = start + Duration::from_secs(26);
        let missed = replay.missed(now, reader(start), &HashMap::new());
        assert_eq!(numbers(&missed), [2]);
        let missed = replay.missed(now, reader(start), &HashMap::from([("PA_1", 0)]));
        assert_eq!(numbers(&missed), [1, 2]);
    }

    #[test]
    fn the_oldest_go_first_when_it_is_full_or_old() {
        let now = Instant::now();
        let mut replay = Missed::default();
        let many = 20;
        let mut early = 0;
        for sequence in 1..=many {
            early += replay.keep(now, &message("PA_1", sequence, "", MAX_BYTES / 10));
        }
        assert_eq!(early, u64::from(many) - 9);
        assert!(replay.bytes <= MAX_BYTES);
        let later = now + MAX_AGE + Duration::from_secs(1);
        replay.keep(later, &message("PA_1", many + 1, "", 10));
        assert_eq!(replay.messages.len(), 1);
    }
}
