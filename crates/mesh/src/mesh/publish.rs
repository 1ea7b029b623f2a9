//! Streams: local packets out, and who wants what.

use std::sync::Arc;
use std::time::Instant;

use wire::{Content, MAX_WANT, MediaPacket, NodeId, StreamId, put_media_header};

use super::Mesh;
use super::sending::Care;
use crate::count::Count;
use crate::message::Output;
use crate::plan::Plan;
use crate::streams::Said;

impl Mesh {
    pub(super) fn on_media(
        &mut self,
        now: Instant,
        stream: StreamId,
        packet: &MediaPacket,
        out: &mut Vec<Output>,
    ) {
        if packet.keyframe {
            self.keyframes.sent(stream);
        }
        let Some(local) = self.locals.get_mut(&stream) else {
            self.counts.add(Count::DropMediaUnknown);
            return;
        };
        let class = local.class(packet);
        let care = Care {
            class,
            copied_as: local.copies.class(class),
            tag: local.tag,
        };
        let Some(plan) = self.stream_plan(now, stream, care.tag) else {
            return;
        };
        let mut content = std::mem::take(&mut self.scratch);
        content.clear();
        put_media_header(&mut content, stream);
        packet.encode(&mut content);
        if self.send(now, &plan, care, &content, out) {
            self.counts.add_many(Count::MediaSent, plan.reached);
        }
        self.scratch = content;
    }

    /// Where the packets of a stream go; None if nobody wants them.
    fn stream_plan(&mut self, now: Instant, stream: StreamId, tag: u32) -> Option<Arc<Plan>> {
        if let Some(plan) = self.published.plan(stream, self.generation) {
            return Some(plan);
        }
        let mut targets: Vec<NodeId> = self.published.wanting(stream).collect();
        if targets.is_empty() {
            return None;
        }
        targets.sort_unstable();
        let plan = self.plan(now, tag, &targets);
        let generation = self.generation;
        self.published.keep_plan(stream, generation, plan.clone());
        Some(plan)
    }

    pub(super) fn on_want(&mut self, stream: StreamId, said: Said, out: &mut Vec<Output>) {
        if stream.origin() != self.config.node {
            self.counts.add(Count::DropWantForeign);
            return;
        }
        match self.published.on_want(stream, said) {
            Ok(Some(wanted)) => out.push(Output::Wanted { stream, wanted }),
            Ok(None) => {}
            Err(reason) => self.counts.add(reason),
        }
    }

    pub(super) fn repeat_wants(&mut self, now: Instant, out: &mut Vec<Output>) {
        let origins: Vec<(NodeId, Vec<StreamId>)> = self
            .subscribed
            .by_origin()
            .map(|(origin, streams)| (origin, streams.iter().copied().collect()))
            .collect();
        for (origin, streams) in origins {
            for streams in streams.chunks(MAX_WANT) {
                self.say_want(now, origin, true, streams, out);
            }
        }
    }

    pub(super) fn say_want(
        &mut self,
        now: Instant,
        origin: NodeId,
        wanted: bool,
        streams: &[StreamId],
        out: &mut Vec<Output>,
    ) {
        self.want_version = self.want_version.wrapping_add(1);
        let content = Content::Want {
            epoch: self.epoch,
            version: self.want_version,
            wanted,
            streams: streams.to_vec(),
        };
        self.say(now, origin, 0, &content, out);
    }
}
