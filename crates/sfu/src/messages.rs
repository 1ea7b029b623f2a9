//! Data packets: from a client to its room, and to the clients of this worker.

use std::sync::Arc;
use std::time::Instant;

use wire::RoomKey;

use crate::data::{Destinations, Refused, Sender, sender_sid, stamp};
use crate::interface::Output;
use crate::sfu::Sfu;
use crate::transport::Sent;

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
        let Some(p) = self.participants.get(&participant) else {
            return;
        };
        let from = &p.info;
        if !from.can_publish_data {
            self.count("data_not_permitted");
            return;
        }
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
        let Some(members) = self.rooms.get(&room) else {
            return;
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
            .filter(|p| from != Some(p.info.sid.as_bytes()))
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
    }
}
