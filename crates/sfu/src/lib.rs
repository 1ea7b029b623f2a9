//! Which packet goes to whom: transports, tracks, subscriptions and data of the clients of one
//! worker. No socket, thread or clock; time and packets come in, packets and events go out.
//!
//! `transport.rs`, with its tables in `codec.rs`, is the only file that knows str0m.

mod codec;
mod data;
mod forwarder;
mod keyframe;
mod levels;
mod media;
mod messages;
mod participant;
mod protobuf;
mod selection;
mod sfu;
mod stream;
mod track;
mod transport;
mod vp8;

pub use participant::{ParticipantInfo, participant_of_ufrag};
pub use sfu::{Config, Input, Output, Sfu};
pub use track::{Kind, Layer, TrackInfo};
pub use transport::{Protocol, Section, Side, Transmit, TransportState};
