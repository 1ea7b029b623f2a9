//! Which packet goes to whom: transports, tracks, subscriptions and data of the clients of one
//! worker. No socket, thread or clock; time and packets come in, packets and events go out.
//!
//! Only `transport.rs` and its modules, with the tables in `codec.rs` and the packets in `packet.rs`,
//! drive str0m.

mod addresses;
mod backlog;
mod base;
mod calls;
#[cfg(test)]
mod chance;
mod choosing;
mod codec;
mod copies;
mod data;
mod datatracks;
mod descriptor;
mod estimate;
mod figures;
mod filter;
mod forwarder;
mod gop;
mod growth;
mod headroom;
mod holes;
mod ids;
mod interface;
mod keyframe;
mod lacking;
mod late;
mod layering;
mod levels;
mod loudest;
mod media;
mod messages;
mod missed;
mod mute;
mod nack;
mod numbering;
mod pace;
mod packet;
mod participant;
mod plateau;
mod protobuf;
mod rates;
mod redundancy;
mod reorder;
mod repair;
mod replay;
mod restart;
mod rhythm;
mod scene;
mod selection;
mod sfu;
mod shed;
mod spare;
mod strangers;
mod stream;
mod track;
mod trackpacket;
mod train;
mod transport;
mod trend;
mod twofold;
mod uplink;
mod values;
mod vp8;
mod vp9;

/// What clients send and this crate reads itself, for the fuzz targets of `crates/io/fuzz`.
#[doc(hidden)]
pub mod fuzzing {
    /// A DataPacket through its stamp: what comes out is readable and has the true sender in it.
    pub fn message(bytes: &[u8]) {
        let sender = crate::data::Sender {
            identity: "ann",
            sid: "PA_1",
            agent: true,
        };
        if let Ok(stamped) = crate::data::stamp(bytes, sender) {
            let to = crate::data::Destinations::read(&stamped);
            assert!(to.is_ok(), "a stamped packet can be read");
            assert_eq!(crate::data::sender_sid(&stamped), Some(&b"PA_1"[..]));
        }
    }

    /// A packet of a data track: one that is taken is still one under another handle.
    pub fn track_packet(bytes: &[u8]) {
        if crate::trackpacket::handle(bytes).is_ok() {
            let mut copy = bytes.to_vec();
            crate::trackpacket::readdress(&mut copy, u16::MAX);
            assert_eq!(crate::trackpacket::handle(&copy), Ok(u16::MAX));
        }
    }

    /// A payload of every format: whether it begins a keyframe.
    pub fn keyframe(bytes: &[u8]) {
        for format in wire::Format::ALL {
            crate::keyframe::starts_keyframe(format, bytes);
        }
    }
}

pub use figures::{Figures, Picture};
pub use interface::{Config, Input, Output};
pub use participant::participant_of_ufrag;
pub use scene::Scene;
pub use sfu::Sfu;
pub use values::{
    DataTrackInfo, Kind, Layer, ParticipantInfo, Protocol, Section, Side, TrackInfo, Transmit,
    TransportState,
};
