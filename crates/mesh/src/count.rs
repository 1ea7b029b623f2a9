//! What is counted: work done, and everything that was dropped, by reason.

use std::collections::BTreeMap;

use wire::Class;

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
    /// Those of them that may not be everywhere.
    RelayedTagged = "mesh_relayed_tagged",
    /// Bytes of frames times links that they cross: on first ways, and of copies.
    FirstBytes = "mesh_first_bytes",
    CopyBytes = "mesh_copy_bytes",
    /// Frames that went on more than their first ways, and those whose copies were left out
    /// because the budget was spent; and copies that came before the frame they are of.
    CopiedControl = "mesh_copies_sent_control",
    CopiedAudio = "mesh_copies_sent_audio",
    CopiedBase = "mesh_copies_sent_base",
    CopiedRest = "mesh_copies_sent_rest",
    LeftOutControl = "mesh_copies_left_out_control",
    LeftOutAudio = "mesh_copies_left_out_audio",
    LeftOutBase = "mesh_copies_left_out_base",
    LeftOutRest = "mesh_copies_left_out_rest",
    WonControl = "mesh_copies_won_control",
    WonAudio = "mesh_copies_won_audio",
    WonBase = "mesh_copies_won_base",
    WonRest = "mesh_copies_won_rest",
    /// Frames that a relay sent around a link that fails.
    Detours = "mesh_detours",
    /// Frames sent again another way when the link that they went on failed.
    Replayed = "mesh_replayed",
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
    LinkSuspects = "mesh_link_suspects",
    LinkDowns = "mesh_link_downs",
    /// Times that a link went on over another port pair.
    PairHops = "mesh_pair_hops",
    /// Frames cut because no datagram of the link takes them whole, by part.
    PartsSent = "mesh_parts_sent",
    /// Such frames of which not all parts came.
    DropPart = "mesh_drop_part",
    /// Frames that even parts don't take.
    DropTooBig = "mesh_drop_too_big",
    /// Times that datagrams of the size in use passed no more.
    MtuFalls = "mesh_mtu_falls",
    /// Times from a peer that can't be: its clock or ours jumped.
    OddTimes = "mesh_odd_times",
    DropMalformed = "mesh_drop_malformed",
    DropUnknownKey = "mesh_drop_unknown_key",
    DropUnknownSession = "mesh_drop_unknown_session",
    /// Under a key that was taken from its node.
    DropRevokedKey = "mesh_drop_revoked_key",
    DropForged = "mesh_drop_forged",
    DropReplayed = "mesh_drop_replayed",
    DropHandshakeFlood = "mesh_drop_handshake_flood",
    DropDuplicateFrame = "mesh_drop_duplicate_frame",
    /// A frame whose route does not lead here from the neighbour that sent it.
    DropRoute = "mesh_drop_route",
    DropRelayDown = "mesh_drop_relay_next_hop_down",
    /// Copies that came after the first: what protection costs at the exit.
    DropCopy = "mesh_drop_copy",
    /// Frames too old to tell whether they came before.
    DropFrameAncient = "mesh_drop_frame_ancient",
    /// Frames under a tag that this node has no table for: they go nowhere.
    DropTagUnknown = "mesh_drop_tag_unknown",
    /// Frames that came from, were to go to, or would be at a node outside their tag's set.
    DropTagForbidden = "mesh_drop_tag_forbidden",
    DropNoRoute = "mesh_drop_no_route",
    DropNextHopDown = "mesh_drop_next_hop_down",
    /// Packets of a local stream that was never added, or is removed.
    DropMediaUnknown = "mesh_drop_media_unknown_stream",
    DropMediaUnwanted = "mesh_drop_media_unwanted",
    DropMediaDuplicate = "mesh_drop_media_duplicate",
    DropMediaAncient = "mesh_drop_media_ancient",
    DropWantForeign = "mesh_drop_want_foreign",
    DropWantStale = "mesh_drop_want_stale",
    DropWantFull = "mesh_drop_want_full",
    DropKeyframeUnwanted = "mesh_drop_keyframe_unwanted",
    /// Keyframe requests that another, sent or passed on just before, stands for.
    KeyframesAbsorbed = "mesh_keyframe_requests_absorbed",
    KeyframesAsked = "mesh_keyframe_requests_sent",
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

impl Count {
    pub(crate) fn copied(class: Class) -> Count {
        match class {
            Class::Control => Count::CopiedControl,
            Class::Audio => Count::CopiedAudio,
            Class::Base => Count::CopiedBase,
            Class::Rest => Count::CopiedRest,
        }
    }

    pub(crate) fn left_out(class: Class) -> Count {
        match class {
            Class::Control => Count::LeftOutControl,
            Class::Audio => Count::LeftOutAudio,
            Class::Base => Count::LeftOutBase,
            Class::Rest => Count::LeftOutRest,
        }
    }

    pub(crate) fn won(class: Class) -> Count {
        match class {
            Class::Control => Count::WonControl,
            Class::Audio => Count::WonAudio,
            Class::Base => Count::WonBase,
            Class::Rest => Count::WonRest,
        }
    }
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
