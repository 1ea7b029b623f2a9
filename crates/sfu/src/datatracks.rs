//! Data tracks: packets from a client to those who subscribe to its track, each under the
//! subscriber's own handle. A track is a stream like any other to workers and nodes; nothing of it
//! waits here, and what a client has no room for is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use wire::{Format, MediaPacket, StreamId};

use crate::interface::Output;
use crate::sfu::Sfu;
use crate::trackpacket::{Bad, handle, readdress};
use crate::transport::Sent;
use crate::values::DataTrackInfo;

/// Every data track that this worker knows of.
#[derive(Debug, Default)]
pub(crate) struct DataTracks {
    tracks: BTreeMap<StreamId, DataTrack>,
    by_sid: HashMap<String, StreamId>,
    /// By publisher and its handle.
    by_handle: HashMap<(u64, u16), StreamId>,
    /// Of the packet that is being sent to subscribers.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct DataTrack {
    publisher: Option<(u64, u16)>,
    /// Other workers or nodes want it.
    exported: bool,
    /// Packets so far: their numbers elsewhere, where a copy must be known from the first.
    sent: u64,
    /// Participants of this worker, with the handle that each knows it by.
    subscribers: BTreeMap<u64, u16>,
}

impl DataTracks {
    pub(crate) fn len(&self) -> usize {
        self.tracks.len()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.tracks.values().map(|t| t.subscribers.len()).sum()
    }

    /// Whether a client of this worker publishes the stream; None if it is no data track's.
    pub(crate) fn published_here(&self, stream: StreamId) -> Option<bool> {
        let track = self.tracks.get(&stream)?;
        Some(track.publisher.is_some())
    }

    pub(crate) fn add(&mut self, info: DataTrackInfo) {
        if self.by_sid.contains_key(&info.sid) {
            return; // told again, under another tag
        }
        self.by_sid.insert(info.sid, info.stream);
        if let Some(publisher) = info.publisher {
            self.by_handle.insert(publisher, info.stream);
        }
        let track = DataTrack {
            publisher: info.publisher,
            exported: false,
            sent: 0,
            subscribers: BTreeMap::new(),
        };
        self.tracks.insert(info.stream, track);
    }

    pub(crate) fn remove(&mut self, sid: &str, out: &mut Vec<Output>) {
        let Some(stream) = self.by_sid.remove(sid) else {
            return;
        };
        let Some(track) = self.tracks.remove(&stream) else {
            return;
        };
        match track.publisher {
            // The handle may be another track's by now.
            Some(publisher) if self.by_handle.get(&publisher) == Some(&stream) => {
                self.by_handle.remove(&publisher);
            }
            Some(_) => {}
            None if track.subscribers.is_empty() => {}
            None => out.push(want(stream, false)),
        }
    }

    /// Others want a stream that is published here, or no longer.
    pub(crate) fn export(&mut self, stream: StreamId, wanted: bool) {
        if let Some(track) = self.tracks.get_mut(&stream) {
            track.exported = wanted;
        }
    }

    pub(crate) fn unsubscribe(&mut self, participant: u64, sid: &str, out: &mut Vec<Output>) {
        if let Some(stream) = self.by_sid.get(sid).copied() {
            self.end(participant, stream, out);
        }
    }

    /// A participant leaves.
    pub(crate) fn unsubscribe_all(&mut self, participant: u64, out: &mut Vec<Output>) {
        let of = |t: &DataTrack| t.subscribers.contains_key(&participant);
        let of = self.tracks.iter().filter(|(_, track)| of(track));
        let streams: Vec<StreamId> = of.map(|(stream, _)| *stream).collect();
        for stream in streams {
            self.end(participant, stream, out);
        }
    }

    fn end(&mut self, participant: u64, stream: StreamId, out: &mut Vec<Output>) {
        let Some(track) = self.tracks.get_mut(&stream) else {
            return;
        };
        let ended = track.subscribers.remove(&participant).is_some();
        if ended && track.publisher.is_none() && track.subscribers.is_empty() {
            out.push(want(stream, false));
        }
    }
}

impl Sfu {
    /// Send a track to a participant under this handle; again to change the handle.
    pub(crate) fn subscribe_data(
        &mut self,
        participant: u64,
        sid: &str,
        handle: u16,
        out: &mut Vec<Output>,
    ) {
        let holder = self.participants.get(&participant);
        if !holder.is_some_and(|p| p.info.can_subscribe) {
            self.count("subscribe_not_permitted");
            return;
        }
        let stream = self.data_tracks.by_sid.get(sid).copied();
        let track = stream.and_then(|s| Some((s, self.data_tracks.tracks.get_mut(&s)?)));
        let Some((stream, track)) = track else {
            self.count("subscribe_unknown_track");
            return;
        };
        let first = track.subscribers.is_empty();
        track.subscribers.insert(participant, handle);
        if first && track.publisher.is_none() {
            out.push(want(stream, true));
        }
    }

    /// A client sent a packet of one of its tracks.
    pub(crate) fn track_packet(
        &mut self,
        now: Instant,
        participant: u64,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let permitted = self
            .participants
            .get(&participant)
            .is_some_and(|p| p.info.can_publish_data);
        if !permitted {
            self.count("data_not_permitted");
            return;
        }
        let handle = match handle(bytes) {
            Ok(handle) => handle,
            Err(bad) => {
                self.count(match bad {
                    Bad::TooLong => "data_track_too_long",
                    Bad::Version => "data_track_unknown_version",
                    Bad::Short | Bad::NoHandle | Bad::Extension => "data_track_malformed",
                });
                return;
            }
        };
        let tracks = &mut self.data_tracks;
        let stream = tracks.by_handle.get(&(participant, handle)).copied();
        let track = stream.and_then(|s| Some((s, tracks.tracks.get_mut(&s)?)));
        let Some((stream, track)) = track else {
            // Of a track that is not there yet, or was there until a moment ago, too.
            self.count("data_track_unknown_handle");
            return;
        };
        track.sent += 1;
        let (sequence, exported) = (track.sent, track.exported);
        self.count("data_track_received");
        self.spread_data(now, stream, bytes);
        if exported {
            let packet = Arc::new(packet(sequence, bytes));
            out.push(Output::Media { stream, packet });
        }
    }

    /// A packet of a track, from here or elsewhere: to whoever here is subscribed to it.
    pub(crate) fn spread_data(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        let Some(track) = self.data_tracks.tracks.get_mut(&stream) else {
            self.count("data_track_unknown_stream");
            return;
        };
        let to = std::mem::take(&mut track.subscribers);
        let mut copy = std::mem::take(&mut self.data_tracks.scratch);
        copy.clear();
        copy.extend_from_slice(bytes);
        for (participant, handle) in &to {
            let Some(p) = self.participants.get_mut(participant) else {
                continue;
            };
            if p.handed_over {
                continue; // another node sends it to this client
            }
            let side = p.data_side();
            readdress(&mut copy, *handle);
            let sent = p.transport(side).map(|t| t.send_track_packet(now, &copy));
            self.count(match sent {
                Some(Sent::Taken) => "data_track_sent",
                Some(Sent::Dropped) => "data_track_dropped",
                None => "data_no_transport",
            });
            self.wake(now, (*participant, side));
        }
        self.data_tracks.scratch = copy;
        if let Some(track) = self.data_tracks.tracks.get_mut(&stream) {
            track.subscribers = to;
        }
    }
}

fn want(stream: StreamId, wanted: bool) -> Output {
    Output::Want { stream, wanted }
}

/// A track's packet as workers and nodes hand it on.
fn packet(sequence: u64, bytes: &[u8]) -> MediaPacket {
    MediaPacket {
        format: Format::Data,
        sequence,
        timestamp: 0,
        marker: false,
        keyframe: false,
        audio_level: None,
        voice_activity: None,
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: bytes.into(),
    }
}
