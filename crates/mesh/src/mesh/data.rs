//! Data messages: queued, acknowledged, delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use wire::{Content, NodeId, RoomKey, Segment};

use super::{Channel, MAX_MESSAGE, Mesh, ROOM};
use crate::channel::{Receiver, Sender, Taken};
use crate::count::Count;
use crate::link::Link;
use crate::message::Output;
use crate::timers::Timer;

impl Mesh {
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        room: RoomKey,
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
                let channel = channel(&mut self.channels, node, self.epoch);
                let dropped = channel.sender.push(now, message.clone());
                self.counts.add_many(Count::DropDataOverflow, dropped);
                self.timers.at(Timer::Channel(node), now);
            }
        } else {
            for node in others {
                self.say(now, node, &Content::Lossy { room, bytes }, out);
            }
        }
    }

    pub(super) fn on_segment(
        &mut self,
        now: Instant,
        origin: NodeId,
        segment: Segment<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        let channel = channel(&mut self.channels, origin, self.epoch);
        let mut messages = Vec::new();
        let max = ROOM + MAX_MESSAGE;
        let taken = channel
            .receiver
            .on_segment(now, segment, max, &mut messages);
        if let Some(at) = channel.receiver.deadline() {
            self.timers.at(Timer::Channel(origin), at);
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

    pub(super) fn service_channel(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let is_up = |n| self.links.get(&n).is_some_and(Link::is_up);
        let reachable = self.routes.resolve(node, is_up).is_ok();
        let Some(channel) = self.channels.get_mut(&node) else {
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
            self.timers.at(Timer::Channel(node), at);
        }
        for content in contents {
            self.send(now, node, &content, out);
        }
    }
}

fn channel(channels: &mut BTreeMap<NodeId, Channel>, node: NodeId, epoch: u64) -> &mut Channel {
    channels.entry(node).or_insert_with(|| Channel {
        sender: Sender::new(epoch),
        receiver: Receiver::default(),
    })
}
