//! What a mesh is told at its start.

use std::time::Duration;

use wire::NodeId;

/// Who this node is, and its thresholds.
#[derive(Clone)]
pub struct Config {
    pub node: NodeId,
    /// X25519.
    pub private_key: [u8; 32],
    /// Of every random choice but keys.
    pub seed: u64,
    pub timing: Timing,
}

impl Config {
    /// With the default thresholds.
    pub fn new(node: NodeId, private_key: [u8; 32], seed: u64) -> Config {
        Config {
            node,
            private_key,
            seed,
            timing: Timing::default(),
        }
    }
}

/// The thresholds; the defaults are DESIGN section 4's.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between heartbeats while the link carries frames, and for a second after.
    pub heartbeat_active: Duration,
    /// Between heartbeats on any other link.
    pub heartbeat_idle: Duration,
    /// Silence after which a link is down: the longer of this and `missed_heartbeats` of the
    /// peer's intervals, plus four times the measured jitter.
    pub down_after: Duration,
    pub missed_heartbeats: u32,
    /// The least wait between seeing a hole and asking for a repair; grows with reordering.
    pub reorder_guard: Duration,
    /// How long after a hole was seen a repair is still worth having.
    pub repair_budget: Duration,
    /// How long sent frames are kept for repair (longer where the round trip is).
    pub repair_memory: Duration,
    /// The first wait for an answer to a handshake; doubles up to `handshake_retry_max`.
    pub handshake_retry: Duration,
    pub handshake_retry_max: Duration,
    /// Age at which a session's keys are replaced.
    pub rekey_after: Duration,
    /// How long the origin believes a want that is not repeated.
    pub want_lifetime: Duration,
    /// How long a reliable message waits for its destination before it is given up.
    pub message_lifetime: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Timing {
            heartbeat_active: ms(20),
            heartbeat_idle: ms(100),
            down_after: ms(200),
            missed_heartbeats: 5,
            reorder_guard: ms(2),
            repair_budget: ms(250),
            repair_memory: ms(300),
            handshake_retry: ms(250),
            handshake_retry_max: ms(2_000),
            rekey_after: ms(120_000),
            want_lifetime: ms(5_000),
            message_lifetime: ms(60_000),
        }
    }
}
