//! Data messages: queued, acknowledged, delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use wire::{Content, NodeId, RoomKey, Segment};

use super::sending::Care;
use super::{Channel, MAX_MESSAGE, Mesh, ROOM};
use crate::channel::{Receiver, Sender, Taken};
use crate::count::Count;
use crate::message::Output;
use crate::timers::Timer;

impl Mesh {
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        (room, tag): (RoomKey, u32),
        reliable: bool,
        bytes: &[u8],
        nodes: &[NodeId],
        out: &mut Vec<Output>,
    ) {
        if bytes.len() > MAX_MESSAGE {
            self.counts.add(Count::DropDataTooBig);
            return;
        }
        let others = nodes.iter().copied().filter(|n| *n != self.config.node);
        let others: Vec<NodeId> = others.collect();
        self.counts.add_many(Count::DataSent, others.len() as u64);
        if reliable {
            let message: Arc<[u8]> = room.0.iter().chain(bytes).copied().collect();
            for node in others {
                let channel = channel(&mut self.channels, (node, tag), self.epoch);
                let dropped = channel.sender.push(now, message.clone());
                self.counts.add_many(Count::DropDataOverflow, dropped);
                self.timers.at(Timer::Channel(node, tag), now);
            }
        } else {
            for node in others {
                self.say(now, node, tag, &Content::Lossy { room, bytes }, out);
            }
        }
    }

    pub(super) fn on_segment(
        &mut self,
        now: Instant,
        (origin, tag): (NodeId, u32),
        segment: Segment<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        let channel = channel(&mut self.channels, (origin, tag), self.epoch);
        let mut messages = Vec::new();
        let max = ROOM + MAX_MESSAGE;
        let taken = channel
            .receiver
            .on_segment(now, segment, max, &mut messages);
        if let Some(at) = channel.receiver.deadline() {
            self.timers.at(Timer::Channel(origin, tag), at);
        }
        for message in messages {
            let Some((room, bytes)) = message.split_first_chunk::<ROOM>() else {
                self.counts.add(Count::DropDataInvalid);
                continue;
            };
            self.counts.add(Count::DataDelivered);
            out.push(Output::Data {
                room: RoomKey(*room),
                from: origin,
                reliable: true,
                bytes: bytes.into(),
            });
        }
        match taken {
            Taken::Yes => {}
            Taken::AfterGap => self.counts.add(Count::DataGaps),
            Taken::Duplicate => return Err(Count::DropDataDuplicate),
            Taken::Ancient => return Err(Count::DropDataAncient),
            Taken::Invalid => return Err(Count::DropDataInvalid),
        }
        Ok(())
    }

    pub(super) fn service_channel(
        &mut self,
        now: Instant,
        (node, tag): (NodeId, u32),
        out: &mut Vec<Output>,
    ) {
        let plan = self.plan(now, tag, &[node]);
        let reachable = plan.reached > 0;
        let Some(channel) = self.channels.get_mut(&(node, tag)) else {
            return;
        };
        let mut contents: Vec<Vec<u8>> = Vec::new();
        let mut put = |content: Content<'_>| {
            let mut bytes = Vec::new();
            content.encode(&mut bytes);
            contents.push(bytes);
        };
        if let Some(ack) = channel.receiver.acknowledge(now, self.epoch) {
            put(Content::Acknowledge {
                epoch: ack.epoch,
                receiver: ack.receiver,
                next: ack.next,
                received: ack.received,
            });
        }
        let mut deadline = channel.receiver.deadline();
        if reachable {
            let repeated = channel
                .sender
                .poll(now, |segment| put(Content::Reliable(segment)));
            self.counts.add_many(Count::DataRepeated, repeated);
            // Unreachable, it waits for a way instead: that calls here again.
            let repeat = channel.sender.deadline();
            deadline = [deadline, repeat].into_iter().flatten().min();
        }
        if let Some(at) = deadline {
            self.timers.at(Timer::Channel(node, tag), at);
        }
        for content in contents {
            self.send(now, &plan, Care::control(tag), &content, out);
        }
    }
}

/// Each tag has a channel of its own: what may not go now holds up nothing else.
fn channel(
    channels: &mut BTreeMap<(NodeId, u32), Channel>,
    key: (NodeId, u32),
    epoch: u64,
) -> &mut Channel {
    channels.entry(key).or_insert_with(|| Channel {
        sender: Sender::new(epoch),
        receiver: Receiver::default(),
    })
}
