//! A client's first offer: the m-lines and data channels that the SDKs begin with.

use str0m::Rtc;
use str0m::change::SdpPendingOffer;
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::media::{Direction, Mid, Simulcast, SimulcastLayer};

use crate::media::Kind;
use crate::signal;
use crate::source::Source;
use crate::stage::Stage;

/// Receiving m-lines of a kind in a listener's first offer.
const FIRST_LINES: usize = 3;

const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

pub(super) struct FirstOffer {
    pub(super) sdp: String,
    pub(super) pending: SdpPendingOffer,
    /// The first m-line of media, if there is one.
    pub(super) mid: Option<Mid>,
    pub(super) channels: Vec<ChannelId>,
}

impl FirstOffer {
    /// A publisher's with its source's m-line, a listener's with room for some of whom it hears;
    /// data channels where anyone sends data.
    pub(super) fn make(
        rtc: &mut Rtc,
        source: Option<&mut Source>,
        hears: &[(Kind, usize)],
        data: bool,
        stage: &Stage,
    ) -> Result<FirstOffer, String> {
        let mut api = rtc.sdp_api();
        let mut mids = Vec::new();
        let publishes = source.as_ref().map(|source| source.kind);
        if let Some(kind) = publishes.and_then(Kind::media) {
            let name = || Some(signal::CID.to_owned());
            let layers = stage.shape.layers.iter().filter_map(|layer| layer.rid);
            let send: Vec<_> = layers.map(SimulcastLayer::new).collect();
            let simulcast =
                (kind.is_video() && !send.is_empty()).then_some(Simulcast { send, recv: vec![] });
            mids.push(api.add_media(kind, Direction::SendOnly, name(), name(), simulcast));
        }
        for &(kind, count) in hears {
            if let Some(kind) = kind.media() {
                let lines = 0..count.clamp(1, FIRST_LINES);
                mids.extend(
                    lines.map(|_| api.add_media(kind, Direction::RecvOnly, None, None, None)),
                );
            }
        }
        let mut channels = Vec::new();
        if data {
            channels.push(api.add_channel(RELIABLE.to_owned()));
            channels.push(api.add_channel_with_config(ChannelConfig {
                label: LOSSY.to_owned(),
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                ..Default::default()
            }));
        }
        if let Some(source) = source {
            source.mid = mids.first().copied();
            source.channel = channels.get(usize::from(!stage.shape.reliable)).copied();
        }
        let made = api.apply().ok_or("had no offer to make")?;
        Ok(FirstOffer {
            sdp: made.0.to_sdp_string(),
            pending: made.1,
            mid: mids.first().copied(),
            channels,
        })
    }
}
