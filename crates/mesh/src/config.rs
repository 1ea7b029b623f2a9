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
    /// How many mesh ports it has, 1 to `MAX_PAIRS`: a link has at most as many port pairs.
    pub ports: u8,
    pub timing: Timing,
}

impl Config {
    /// With the default thresholds.
    pub fn new(node: NodeId, private_key: [u8; 32], seed: u64) -> Config {
        Config {
            node,
            private_key,
            seed,
            ports: wire::MAX_PAIRS as u8,
            timing: Timing::default(),
        }
    }
}

/// The thresholds; the defaults are DESIGN section 4's.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between heartbeats while the link carries frames, and for a second after.
    pub heartbeat_active: Duration,
    /// While it is somebody's second way, or down.
    pub heartbeat_backup: Duration,
    /// On any other link, and on port pairs that are not in use.
    pub heartbeat_idle: Duration,
    /// Of the peer's intervals, plus the 99th percentile of jitter: silence after which a link is
    /// suspect. Three of 20 ms: no false alarm a day at 0.1 % loss (overlay 2.3).
    pub suspect_misses: u32,
    /// Clean for so long, a link is suspect no more (overlay 2.3).
    pub suspect_for: Duration,
    /// Three suspicions within this make a link down (overlay 2.3).
    pub suspects_within: Duration,
    /// Silence after which a link is down: the longer of this and `missed_heartbeats` of the
    /// peer's intervals, plus the 99th percentile of jitter. With several port pairs, it is also
    /// long enough for word of a hop to another one: 120 ms and 1.25 round trips, at most 400 ms.
    pub down_after: Duration,
    pub missed_heartbeats: u32,
    /// How long a link that was down must be clean before it is used again: at first, and at most
    /// after doubling for each time that it fails anew (Spines; overlay 2.3).
    pub hold: (Duration, Duration),
    /// In use for so long without going down, half of the hold is forgotten.
    pub hold_decay: Duration,
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
            heartbeat_backup: ms(100),
            heartbeat_idle: ms(1_000),
            suspect_misses: 3,
            suspect_for: ms(500),
            suspects_within: ms(10_000),
            down_after: ms(150),
            missed_heartbeats: 5,
            hold: (ms(5_000), ms(300_000)),
            hold_decay: ms(300_000),
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
