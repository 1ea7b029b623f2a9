//! Data packets: from a client to its room, and to the clients of this worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::RoomKey;

use crate::data::{Destinations, Refused, Sender, origin, readdress, sender_sid, sequence, stamp};
use crate::interface::Output;
use crate::missed::Reader;
use crate::sfu::Sfu;
use crate::transport::{Sent, Transport};

/// For so long after a client came from another node, that node may pass on what waited for it
/// there, some of which was heard here.
const PASSED_ON: Duration = Duration::from_secs(10);

impl Sfu {
    /// A client said something on a data channel.
    pub(crate) fn message(
        &mut self,
        now: Instant,
        participant: u64,
        reliable: bool,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        if !p.info.can_publish_data {
            self.count("data_not_permitted");
            return;
        }
        let number = if reliable { sequence(bytes) } else { 0 };
        if number > 0 && number <= p.last_sequence {
            // Sent again by a client that came back: it could not know that this one arrived.
            self.count("data_repeated");
            return;
        }
        p.last_sequence = p.last_sequence.max(number);
        let from = &p.info;
        let room = from.room;
        let sender = Sender {
            identity: &from.identity,
            sid: &from.sid,
            agent: from.agent,
        };
        let answered = p.calls.named_by(bytes);
        let bytes: Arc<[u8]> = match stamp(bytes, sender) {
            Ok(bytes) => bytes.into(),
            Err(refused) => {
                self.count(match refused {
                    Refused::Malformed => "data_malformed",
                    Refused::TooLong => "data_too_long",
                    Refused::Transcription => "data_transcription_refused",
                    Refused::Metrics => "data_metrics",
                });
                return;
            }
        };
        if let Some(call) = answered {
            self.answered(participant, call, &bytes, out);
            return;
        }
        self.deliver(now, room, reliable, &bytes, Some(participant));
        out.push(Output::Data {
            room,
            reliable,
            bytes,
        });
    }

    /// Hand a stamped packet to the room's participants on this worker, never to its sender.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        room: RoomKey,
        reliable: bool,
        bytes: &Arc<[u8]>,
        sender: Option<u64>,
    ) {
        if sender.is_none() && reliable && self.heard_before(now, room, bytes) {
            self.count("data_repeated");
            return;
        }
        let Some(members) = self.rooms.get(&room) else {
            return;
        };
        let forgotten = match reliable {
            true => self.missed.entry(room).or_default().keep(now, bytes),
            false => 0,
        };
        let Ok(to) = Destinations::read(bytes) else {
            self.count("data_malformed");
            return;
        };
        let from = sender_sid(bytes);
        let keys: Vec<_> = members
            .iter()
            .filter(|id| Some(**id) != sender)
            .filter_map(|id| self.participants.get(id))
            .filter(|p| !p.handed_over && from != Some(p.info.sid.as_bytes()))
            .filter(|p| to.include(&p.info.identity, &p.info.sid))
            .map(|p| (p.info.participant, p.data_side()))
            .collect();
        for key in keys {
            let Some(transport) = self.transport(key) else {
                self.count("data_no_transport");
                continue;
            };
            match transport.send_message(now, reliable, bytes) {
                Sent::Taken => self.count("data_sent"),
                Sent::Dropped if reliable => self.count("data_slow_reader"),
                Sent::Dropped => self.count("data_lossy_dropped"),
            }
            self.wake(now, key);
        }
        if forgotten > 0 {
            self.count_many("replay_forgotten", forgotten);
        }
    }

    /// Whether a message from elsewhere was heard here, where a session is in two places while it
    /// moves: its client may say a thing at both, and what waits for it comes from its old place.
    fn heard_before(&mut self, now: Instant, room: RoomKey, bytes: &[u8]) -> bool {
        let (Some(of), Some(members)) = (origin(bytes), self.rooms.get(&room)) else {
            return false;
        };
        for id in members {
            let Some(p) = self.participants.get_mut(id) else {
                continue;
            };
            if p.info.sid.as_bytes() == of.sid {
                if of.sequence <= p.last_sequence {
                    return true;
                }
                p.last_sequence = of.sequence;
            }
            let passed_on = p.adopted_at.is_some_and(|at| now < at + PASSED_ON)
                && Destinations::read(bytes).is_ok_and(|to| to.names(&p.info.identity));
            let kept = self.missed.get(&room).filter(|_| passed_on);
            if kept.is_some_and(|kept| kept.has(of)) {
                return true;
            }
        }
        false
    }

    /// Keep messages for a client back that is about to say what it has.
    pub(crate) fn hold(&mut self, participant: u64, until: Instant) {
        let Some(side) = self.participants.get(&participant).map(|p| p.data_side()) else {
            return;
        };
        if let Some(transport) = self.transport((participant, side)) {
            transport.hold(until);
        }
        self.touched((participant, side));
    }

    /// Another node has the session now: it gets what waits for its client.
    pub(crate) fn hand_over(&mut self, participant: u64, out: &mut Vec<Output>) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        p.handed_over = true;
        let (room, identity, side) = (p.info.room, p.info.identity.clone(), p.data_side());
        let transport = p.transport(side);
        let waiting = transport.map(Transport::take_backlog).unwrap_or_default();
        for bytes in waiting {
            let Ok(bytes) = readdress(&bytes, &identity) else {
                continue;
            };
            out.push(Output::Data {
                room,
                reliable: true,
                bytes: bytes.into(),
            });
            self.count("data_handed_over");
        }
    }

    /// The number of the last reliable message of a client that the room heard: by this node, or
    /// by another that served it before.
    pub(crate) fn resume(&mut self, participant: u64) -> u32 {
        let Some(p) = self.participants.get_mut(&participant) else {
            return 0;
        };
        let kept = self.missed.get(&p.info.room);
        let heard = kept.map_or(0, |kept| kept.last(&p.info.sid));
        p.last_sequence = p.last_sequence.max(heard);
        p.last_sequence
    }

    /// Send a client again what it missed. `had`: of each publisher, the last message that it got.
    pub(crate) fn send_missed(&mut self, now: Instant, participant: u64, had: &[(String, u32)]) {
        let Some(p) = self.participants.get(&participant) else {
            return;
        };
        let reader = Reader {
            identity: &p.info.identity,
            sid: &p.info.sid,
            since: p.added,
        };
        let had: HashMap<&str, u32> = had.iter().map(|(sid, last)| (&**sid, *last)).collect();
        let kept = self.missed.get(&p.info.room);
        let missed = kept.map_or_else(Vec::new, |kept| kept.missed(now, reader, &had));
        let key = (participant, p.data_side());
        // What is only here nobody numbered, or it is older than what is kept.
        let mut waiting = self
            .transport(key)
            .map(Transport::take_backlog)
            .unwrap_or_default();
        waiting.retain(|bytes| !missed.iter().any(|m| Arc::ptr_eq(m, bytes)));
        for bytes in waiting.into_iter().chain(missed) {
            let sent = self
                .transport(key)
                .map(|t| t.send_message(now, true, &bytes));
            self.count(match sent {
                Some(Sent::Taken) => "data_replayed",
                _ => "data_slow_reader",
            });
        }
        self.wake(now, key);
    }
}
