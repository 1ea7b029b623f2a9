//! What all connections have in common, and their data channels' settings.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use str0m::bwe::Bitrate;
use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::CryptoProvider;
use str0m::{Rtc, RtcConfig};

use super::RELIABLE;
use super::keying;
use crate::codec;
use crate::estimate;

/// How often losses are looked at.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn channel(label: &str, negotiated: Option<u16>) -> ChannelConfig {
    let reliable = label == RELIABLE;
    ChannelConfig {
        label: label.into(),
        ordered: reliable,
        reliability: match reliable {
            true => Reliability::Reliable,
            false => Reliability::MaxRetransmits { retransmits: 0 },
        },
        negotiated,
        ..Default::default()
    }
}

pub(super) fn crypto() -> &'static CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    PROVIDER.get_or_init(|| keying::kept(str0m::crypto::from_feature_flags()))
}

/// What all transports have in common. One certificate serves the process: making one costs a
/// key pair, and browsers pin the fingerprint of each connection's own SDP.
pub(super) fn config() -> &'static RtcConfig {
    static CONFIG: OnceLock<RtcConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let config = Rtc::builder()
            .set_crypto_provider(Arc::new(crypto().clone()))
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_stats_interval(Some(STATS_INTERVAL))
            // As often as for pictures: the speaker protects what it says by what it hears of losses.
            .set_rtcp_report_interval_audio(Duration::from_secs(1))
            .set_extension_map(codec::extensions())
            .enable_opus(true, true)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .set_sctp_max_message_size(262_144)
            // Of str0m's estimator only the bursts are used: see `Transport::probe`.
            .enable_bwe(Some(Bitrate::from(estimate::INITIAL as u64)))
            .enable_raw_packets(true);
        match crypto().dtls_provider.generate_certificate() {
            Some(cert) => config.set_dtls_cert(cert),
            None => config,
        }
    })
}
