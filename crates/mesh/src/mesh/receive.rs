//! What comes from other nodes: datagrams, handshakes, frames.

use std::net::SocketAddr;
use std::time::Instant;

use wire::{Content, Datagram, Frames, Header, MediaPacket, NodeId, Part};

use super::{Mesh, PEER_HANDSHAKES, STRANGER_HANDSHAKES};
use crate::assembly::Piece;
use crate::channel::{Acknowledged, Acknowledgement};
use crate::count::Count;
use crate::dedup::Verdict;
use crate::handshake::Responder;
use crate::link::Link;
use crate::message::Output;
use crate::streams::Said;
use crate::timers::Timer;

impl Mesh {
    pub(super) fn on_datagram(
        &mut self,
        now: Instant,
        from: (SocketAddr, u8),
        bytes: &mut [u8],
        out: &mut Vec<Output>,
    ) {
        let Ok(datagram) = Datagram::decode(bytes) else {
            self.counts.add(Count::DropMalformed);
            return;
        };
        match datagram {
            Datagram::Initiate { sender, noise } => {
                if let Err(reason) = self.on_initiate(now, from, sender, noise, out) {
                    self.counts.add(reason);
                }
            }
            Datagram::Respond {
                sender,
                receiver,
                noise,
            } => {
                let Some(node) = self.by_key_id.get(&receiver).copied() else {
                    self.counts.add(Count::DropUnknownSession);
                    return;
                };
                let ids = (sender, receiver);
                let answered = self.with_link(now, node, out, |link, ctx| {
                    link.on_respond(ctx, from, ids, noise)
                });
                if let Some(Err(reason)) = answered {
                    self.counts.add(reason);
                }
            }
            Datagram::Sealed { receiver, counter } => {
                let Some(node) = self.by_key_id.get(&receiver).copied() else {
                    let revoked = self.revoked.has_id(receiver);
                    self.counts.add(if revoked {
                        Count::DropRevokedKey
                    } else {
                        Count::DropUnknownSession
                    });
                    return;
                };
                let frames = self.with_link(now, node, out, |link, ctx| {
                    link.on_sealed(ctx, from, (receiver, counter), bytes)
                });
                if let Some(frames) = frames.flatten() {
                    self.on_frames(now, node, frames, out);
                }
                if self.links.get(&node).is_some_and(Link::has_recovered) {
                    let recovered = self.with_link(now, node, out, Link::recovered);
                    for frames in recovered.into_iter().flatten() {
                        self.on_frames(now, node, &frames, out);
                    }
                }
            }
        }
    }

    /// The frames of one datagram.
    fn on_frames(&mut self, now: Instant, from: NodeId, frames: &[u8], out: &mut Vec<Output>) {
        for frame in Frames::new(frames) {
            let taken = match frame {
                Ok(frame) => self.on_frame(now, from, frame, out),
                Err(_) => Err(Count::DropMalformed),
            };
            if let Err(reason) = taken {
                self.counts.add(reason);
            }
        }
    }

    pub(super) fn on_initiate(
        &mut self,
        now: Instant,
        (from, port): (SocketAddr, u8),
        sender: u32,
        noise: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        let is_peer = self.links.values().any(|link| link.has_address(from));
        let (bucket, (burst, rate)) = if is_peer {
            (&mut self.peers, PEER_HANDSHAKES)
        } else {
            (&mut self.strangers, STRANGER_HANDSHAKES)
        };
        if !bucket.take(now, burst, rate) {
            return Err(Count::DropHandshakeFlood);
        }
        let again = |link: &Link| link.answered(noise).map(|bytes| (link.node, bytes));
        if let Some((peer, bytes)) = self.links.values().find_map(again) {
            out.push(Output::Transmit {
                to: from,
                port,
                peer,
                bytes,
            });
            return Ok(());
        }
        let responder =
            Responder::read(&self.config.private_key, sender, noise).ok_or(Count::DropForged)?;
        let node = responder.identity.node;
        if self.by_key.get(&responder.peer_key) != Some(&node) {
            return Err(if self.revoked.has_key(&responder.peer_key) {
                Count::DropRevokedKey
            } else {
                Count::DropUnknownKey
            });
        }
        let tie = self.with_link(now, node, out, |link, ctx| link.wins_tie(ctx));
        if tie == Some(true) {
            return Err(Count::HandshakeTies);
        }
        let local = self.new_key_id(node);
        let Some(answer) = responder.answer(self.identity(), local) else {
            self.by_key_id.remove(&local);
            return Err(Count::DropForged);
        };
        self.with_link(now, node, out, |link, ctx| {
            link.answer(ctx, (from, port), noise, answer);
        });
        Ok(())
    }

    /// A frame from a neighbour: for this node, or to be passed on.
    pub(super) fn on_frame(
        &mut self,
        now: Instant,
        from: NodeId,
        frame: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        if let Some(part) = Part::decode(frame) {
            let part = part.map_err(|_| Count::DropMalformed)?;
            let whole = self.with_link(now, from, out, |link, ctx| link.on_part(ctx, &part));
            return match whole.flatten() {
                // A part in parts there is not.
                Some(whole) if whole.starts_with(&[0, 0]) => Err(Count::DropMalformed),
                Some(whole) => self.on_frame(now, from, &whole, out),
                None => Ok(()),
            };
        }
        self.watch.see(from, frame);
        let (header, content) = Header::decode(frame).map_err(|_| Count::DropMalformed)?;
        let passed = header.hops == 1 && header.origin != from;
        if header.receiver() != self.config.node || header.origin == self.config.node || passed {
            return Err(Count::DropRoute);
        }
        let tag = header.tag;
        if !self.policies.knows(tag) {
            return Err(Count::DropTagUnknown);
        }
        let been = [self.config.node, header.origin, from];
        if !self.policies.allow_all(tag, &been) {
            return Err(Count::DropTagForbidden);
        }
        if !self.watch.grey {
            for branch in header.tree.branches() {
                self.forward(now, &header, branch, content, out);
            }
        }
        let root = header.tree.root();
        if !root.delivers {
            return Ok(());
        }
        match self.exit.check(header.origin, header.epoch, header.serial) {
            Verdict::First if root.copy || header.detoured => {
                self.counts.add(Count::won(header.class));
            }
            Verdict::First => {}
            Verdict::Duplicate => return Err(Count::DropCopy),
            Verdict::Ancient => return Err(Count::DropFrameAncient),
        }
        let content = Content::decode(content).map_err(|_| Count::DropMalformed)?;
        if let Content::Fragment {
            message,
            index,
            count,
            bytes,
        } = content
        {
            let piece = Piece {
                origin: header.origin,
                message,
                index,
                count,
                bytes,
            };
            let whole = self.assembly.add(now, piece);
            let Some(whole) = whole.map_err(|_| Count::DropPartial)? else {
                return Ok(());
            };
            let content = Content::decode(&whole).map_err(|_| Count::DropMalformed)?;
            return self.deliver(now, (header.origin, tag), content, out);
        }
        self.deliver(now, (header.origin, tag), content, out)
    }

    pub(super) fn deliver(
        &mut self,
        now: Instant,
        (origin, tag): (NodeId, u32),
        content: Content<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        match content {
            Content::Media { stream, packet } => {
                if stream.origin() != origin {
                    return Err(Count::DropRoute);
                }
                if !self.subscribed.contains(stream) {
                    return Err(Count::DropMediaUnwanted);
                }
                let packet = MediaPacket::decode(packet).map_err(|_| Count::DropMalformed)?;
                self.subscribed
                    .check(stream, packet.format, packet.sequence)?;
                self.counts.add(Count::MediaDelivered);
                if packet.keyframe {
                    self.keyframes.settle(stream);
                }
                out.push(Output::Media { stream, packet });
            }
            Content::Want {
                epoch,
                version,
                wanted,
                streams,
            } => {
                let expires = now + self.config.timing.want_lifetime;
                for stream in streams {
                    let said = Said {
                        node: origin,
                        epoch,
                        version,
                        wanted,
                        expires,
                    };
                    self.on_want(stream, said, out);
                }
            }
            Content::Keyframe { stream } => {
                let wanted = self.published.wanting(stream).any(|node| node == origin);
                if !wanted {
                    return Err(Count::DropKeyframeUnwanted);
                }
                let due = self.keyframes.tell(now, stream);
                self.timers.at(Timer::Keyframes, due);
            }
            Content::Reliable(segment) => self.on_segment(now, (origin, tag), segment, out)?,
            Content::Acknowledge {
                epoch,
                receiver,
                next,
                received,
            } => {
                let ack = Acknowledgement {
                    epoch,
                    receiver,
                    next,
                    received,
                };
                let channel = self
                    .channels
                    .get_mut(&(origin, tag))
                    .ok_or(Count::DropDataInvalid)?;
                match channel.sender.on_acknowledge(now, ack) {
                    Acknowledged::Taken => self.timers.at(Timer::Channel(origin, tag), now),
                    Acknowledged::Ancient => return Err(Count::DropDataAncient),
                    Acknowledged::Invalid => return Err(Count::DropDataInvalid),
                }
            }
            Content::Lossy { room, bytes } => {
                self.counts.add(Count::DataDelivered);
                out.push(Output::Data {
                    room,
                    from: origin,
                    reliable: false,
                    bytes: bytes.into(),
                });
            }
            Content::Fragment { .. } => return Err(Count::DropMalformed),
        }
        Ok(())
    }
}
