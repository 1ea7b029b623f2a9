//! Streams: local packets out, and who wants what.

use std::time::Instant;

use wire::{Content, MAX_WANT, MediaPacket, NodeId, StreamId, put_media_header};

use super::Mesh;
use crate::count::Count;
use crate::message::Output;
use crate::streams::Said;

impl Mesh {
    pub(super) fn on_media(
        &mut self,
        now: Instant,
        stream: StreamId,
        packet: &MediaPacket,
        out: &mut Vec<Output>,
    ) {
        let mut targets = std::mem::take(&mut self.targets);
        targets.extend(self.published.wanting(stream));
        if !targets.is_empty() {
            let mut content = std::mem::take(&mut self.scratch);
            content.clear();
            put_media_header(&mut content, stream);
            packet.encode(&mut content);
            for node in targets.drain(..) {
                if self.send(now, node, &content, out) {
                    self.counts.add(Count::MediaSent);
                }
            }
            self.scratch = content;
        }
        self.targets = targets;
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
        self.say(now, origin, &content, out);
    }
}
