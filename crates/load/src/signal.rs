//! LiveKit v1 signalling of one client: a join request with its offer, then protobuf messages.

use std::io::ErrorKind;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL;
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use prost::Message as _;
use tungstenite::http::Uri;
use tungstenite::{Error, Message, WebSocket};

use crate::door::{Stream, descriptor};
use crate::media::{Kind, Layer};

/// The client protocol that we speak: JS 2.23 sends the same.
const PROTOCOL: i32 = 17;

/// Until the server names its own interval.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The client's id of its one published track: `msid` of the offer names it.
pub(crate) const CID: &str = "fairlead-load";

pub(crate) struct Signal {
    socket: WebSocket<Stream>,
    unsent: bool,
    ping_interval: Duration,
    next_ping: Instant,
}

/// Where and with what to join. `publishes` is what the offer sends, None for a listener.
pub(crate) fn join_uri(
    base: &str,
    offer: &str,
    publishes: Option<Kind>,
    layers: &[Layer],
) -> Result<Uri, String> {
    let request = proto::JoinRequest {
        client_info: Some(proto::ClientInfo {
            sdk: proto::client_info::Sdk::Rust as i32,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            os: "linux".to_owned(),
            ..Default::default()
        }),
        connection_settings: Some(proto::ConnectionSettings {
            auto_subscribe: publishes.is_none(),
            ..Default::default()
        }),
        add_track_requests: publishes
            .and_then(|kind| add_track(kind, layers))
            .into_iter()
            .collect(),
        publisher_offer: Some(description(offer, 1)),
        ..Default::default()
    };
    let wrapped = proto::WrappedJoinRequest {
        compression: proto::wrapped_join_request::Compression::None as i32,
        join_request: request.encode_to_vec(),
    };
    let query = BASE64URL.encode(&wrapped.encode_to_vec());
    format!("{base}/rtc/v1?join_request={query}")
        .parse()
        .map_err(|error| format!("{base} can't be used: {error}"))
}

/// None: data has no track.
fn add_track(kind: Kind, layers: &[Layer]) -> Option<proto::AddTrackRequest> {
    let named = proto::AddTrackRequest {
        cid: CID.to_owned(),
        name: "load".to_owned(),
        ..Default::default()
    };
    match kind {
        Kind::Data => None,
        Kind::Audio => Some(proto::AddTrackRequest {
            r#type: proto::TrackType::Audio as i32,
            source: proto::TrackSource::Microphone as i32,
            disable_red: true,
            ..named
        }),
        Kind::Video => {
            let top = layers.last()?;
            let described: Vec<_> = (0..).zip(layers).map(|(at, one)| video(at, one)).collect();
            Some(proto::AddTrackRequest {
                r#type: proto::TrackType::Video as i32,
                source: proto::TrackSource::Camera as i32,
                width: top.width.into(),
                height: top.height.into(),
                layers: described.clone(),
                simulcast_codecs: vec![proto::SimulcastCodec {
                    codec: "vp8".to_owned(),
                    cid: CID.to_owned(),
                    layers: described,
                    ..Default::default()
                }],
                ..named
            })
        }
    }
}

fn video(at: i32, layer: &Layer) -> proto::VideoLayer {
    let quality = match layer.rid {
        Some("q") => proto::VideoQuality::Low,
        Some("h") => proto::VideoQuality::Medium,
        _ => proto::VideoQuality::High,
    };
    proto::VideoLayer {
        quality: quality as i32,
        width: layer.width.into(),
        height: layer.height.into(),
        bitrate: layer.bits_per_s(),
        spatial_layer: at,
        rid: layer.rid.unwrap_or_default().to_owned(),
        ..Default::default()
    }
}

pub(crate) fn description(sdp: &str, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp: sdp.to_owned(),
        id,
        ..Default::default()
    }
}

impl Signal {
    pub(crate) fn new(socket: WebSocket<Stream>, now: Instant) -> Signal {
        Signal {
            socket,
            unsent: false,
            ping_interval: PING_INTERVAL,
            next_ping: now + PING_INTERVAL,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        descriptor(self.socket.get_ref())
    }

    pub(crate) fn next_ping(&self) -> Instant {
        self.next_ping
    }

    pub(crate) fn pings_every(&mut self, seconds: i32) {
        if let Ok(seconds @ 1..) = u64::try_from(seconds) {
            self.ping_interval = Duration::from_secs(seconds);
        }
    }

    /// Sends the ping that is due and what the system did not take before.
    pub(crate) fn keep(&mut self, now: Instant) -> Result<(), String> {
        if now >= self.next_ping {
            self.next_ping = now + self.ping_interval;
            self.send(Request::PingReq(proto::Ping::default()))?;
        }
        if self.unsent {
            self.flushed(Ok(()))?;
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, request: Request) -> Result<(), String> {
        let message = Some(request);
        let bytes = proto::SignalRequest { message }.encode_to_vec();
        let written = self.socket.write(Message::Binary(bytes.into()));
        self.flushed(written)
    }

    fn flushed(&mut self, written: Result<(), Error>) -> Result<(), String> {
        match written.and_then(|()| self.socket.flush()) {
            Ok(()) => self.unsent = false,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.unsent = true,
            Err(error) => return Err(format!("lost its signal connection: {error}")),
        }
        Ok(())
    }

    /// Everything that has arrived.
    pub(crate) fn read(&mut self) -> Result<Vec<Response>, String> {
        let mut messages = Vec::new();
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    let message = proto::SignalResponse::decode(bytes.as_ref())
                        .map_err(|error| format!("was sent no signal message: {error}"))?;
                    messages.extend(message.message);
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                // What was said before the close still counts: the reason is in it.
                Err(_) if !messages.is_empty() => break,
                Err(error) => return Err(format!("lost its signal connection: {error}")),
            }
        }
        Ok(messages)
    }

    /// Leaves in good order; the server need not answer.
    pub(crate) fn leave(&mut self) {
        let reason = proto::DisconnectReason::ClientInitiated as i32;
        let leave = proto::LeaveRequest {
            reason,
            ..Default::default()
        };
        let _ = self.send(Request::Leave(leave));
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_request_carries_offer_and_track() {
        let uri = join_uri("ws://127.0.0.1:7880", "v=0", Some(Kind::Audio), &[]).expect("a URI");
        assert_eq!(uri.path(), "/rtc/v1");
        let query = uri.query().expect("a query");
        let text = query.strip_prefix("join_request=").expect("its one field");
        let bytes = BASE64URL.decode(text.as_bytes()).expect("base64url");
        let wrapped = proto::WrappedJoinRequest::decode(bytes.as_slice()).expect("protobuf");
        let request =
            proto::JoinRequest::decode(wrapped.join_request.as_slice()).expect("protobuf");
        assert_eq!(request.publisher_offer.expect("an offer").sdp, "v=0");
        assert_eq!(request.add_track_requests[0].cid, CID);
        assert!(
            !request
                .connection_settings
                .expect("settings")
                .auto_subscribe
        );
    }
}
