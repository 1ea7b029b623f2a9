//! What is counted: work done, and everything that was dropped, by reason.

use std::collections::BTreeMap;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[$doc])* $name,)* }

        const NAMES: &[&str] = &[$($text,)*];
    };
}

counts! {
    /// Media packets from local publishers, once for each node that they went to.
    MediaSent = "mesh_media_sent",
    MediaDelivered = "mesh_media_delivered",
    /// Frames that began here.
    FramesSent = "mesh_frames_sent",
    /// Frames passed on for others.
    Relayed = "mesh_relayed",
    DataSent = "mesh_data_sent",
    DataDelivered = "mesh_data_delivered",
    DataRepeated = "mesh_data_repeated",
    Repaired = "mesh_repaired",
    RepairsSent = "mesh_repairs_sent",
    /// Frames lost for good: not repaired before the deadline.
    RepairsMissed = "mesh_repairs_missed",
    /// Repairs not sent because of the token bucket.
    RepairsCapped = "mesh_repairs_capped",
    /// Repairs asked for that this node no longer has, or never sent.
    RepairsUnknown = "mesh_repairs_unknown",
    /// Repairs not sent because they would have come too late.
    RepairsGone = "mesh_repairs_gone",
    ParitySent = "mesh_parity_sent",
    /// Of those repaired: by parity, without a question.
    ParityRecovered = "mesh_parity_recovered",
    /// Frames that waited too long for their turn on a link, by class.
    ShedControl = "mesh_shed_control",
    ShedAudio = "mesh_shed_audio",
    ShedBase = "mesh_shed_base",
    ShedRest = "mesh_shed_rest",
    Handshakes = "mesh_handshakes",
    HandshakeTies = "mesh_handshake_ties",
    LinkDowns = "mesh_link_downs",
    DropMalformed = "mesh_drop_malformed",
    DropUnknownKey = "mesh_drop_unknown_key",
    DropUnknownSession = "mesh_drop_unknown_session",
    DropForged = "mesh_drop_forged",
    DropReplayed = "mesh_drop_replayed",
    DropHandshakeFlood = "mesh_drop_handshake_flood",
    DropDuplicateFrame = "mesh_drop_duplicate_frame",
    /// A frame whose route does not lead here from the neighbour that sent it.
    DropRoute = "mesh_drop_route",
    DropRelayDown = "mesh_drop_relay_next_hop_down",
    DropNoRoute = "mesh_drop_no_route",
    DropNextHopDown = "mesh_drop_next_hop_down",
    DropMediaUnwanted = "mesh_drop_media_unwanted",
    DropMediaDuplicate = "mesh_drop_media_duplicate",
    DropMediaAncient = "mesh_drop_media_ancient",
    DropWantForeign = "mesh_drop_want_foreign",
    DropWantStale = "mesh_drop_want_stale",
    DropWantFull = "mesh_drop_want_full",
    DropKeyframeUnwanted = "mesh_drop_keyframe_unwanted",
    DropDataTooBig = "mesh_drop_data_too_big",
    /// Reliable messages pushed out of a full queue: the oldest go first.
    DropDataOverflow = "mesh_drop_data_overflow",
    /// Reliable messages whose destination stayed unreachable for too long.
    DropDataExpired = "mesh_drop_data_expired",
    /// Segments and acknowledgements of an earlier incarnation.
    DropDataAncient = "mesh_drop_data_ancient",
    DropDataDuplicate = "mesh_drop_data_duplicate",
    DropDataInvalid = "mesh_drop_data_invalid",
    /// Places where the sender gave messages up and the receiver went on after them.
    DataGaps = "mesh_data_gaps",
    DropPartial = "mesh_drop_partial_message",
    InvalidRoutes = "mesh_invalid_routes",
    Stalls = "mesh_stalls",
}

/// The counters of one mesh, from its start.
#[derive(Debug)]
pub(crate) struct Counts([u64; NAMES.len()]);

impl Counts {
    pub(crate) fn new() -> Counts {
        Counts([0; NAMES.len()])
    }

    pub(crate) fn add(&mut self, count: Count) {
        self.add_many(count, 1);
    }

    pub(crate) fn add_many(&mut self, count: Count, n: u64) {
        self.0[count as usize] += n;
    }

    pub(crate) fn map(&self) -> BTreeMap<&'static str, u64> {
        NAMES.iter().copied().zip(self.0).collect()
    }
}
