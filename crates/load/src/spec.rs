//! What to play: who publishes and who listens, where, and for how long.

use std::time::Duration;

use serde::Deserialize;

use crate::media::{Kind, STAMP_BYTES, Shape};
use crate::peer::Watch;

/// The longest that one phase may last.
const MAX_PHASE_S: f64 = 86_400.0;

/// The most clients of one run: each has two sockets.
const MAX_CLIENTS: usize = 20_000;

const MAX_PAYLOAD: usize = 1_100;
const MAX_THREADS: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) publishers: Vec<Publisher>,
    #[serde(default)]
    pub(crate) subscribers: Vec<Seat>,
    /// Of `join`: one after another.
    #[serde(default)]
    pub(crate) joiners: Vec<Seat>,
    /// Of each video: 1 to 3.
    #[serde(default = "one")]
    pub(crate) layers: usize,
    #[serde(default)]
    pub(crate) watch: Watch,
    /// Of an audio packet, without RTP header.
    #[serde(default = "default_payload_bytes")]
    pub(crate) payload_bytes: usize,
    #[serde(default = "default_data_bytes")]
    pub(crate) data_bytes: usize,
    #[serde(default = "default_data_per_s")]
    pub(crate) data_per_s: f64,
    #[serde(default)]
    pub(crate) reliable: bool,
    /// 0: as fast as the server lets them in.
    #[serde(default)]
    pub(crate) joins_per_s: f64,
    /// What takes longer is counted as late.
    #[serde(default = "default_late_ms")]
    pub(crate) late_ms: f64,
    #[serde(default = "one")]
    pub(crate) threads: usize,
    /// Everyone is connected and nobody speaks.
    #[serde(default)]
    pub(crate) quiet_s: f64,
    /// From the first packets until the measurement.
    #[serde(default = "default_warm_s")]
    pub(crate) warm_s: f64,
    #[serde(default = "default_measure_s")]
    pub(crate) measure_s: f64,
    /// For packets under way when the measurement ends.
    #[serde(default = "default_drain_s")]
    pub(crate) drain_s: f64,
    /// Between one joiner's leave and the next one's join.
    #[serde(default = "default_gap_s")]
    pub(crate) gap_s: f64,
}

/// A place at a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    pub(crate) url: String,
    pub(crate) token: String,
    /// The number of the room that the token names: who is in one hears who is in it.
    #[serde(default)]
    pub(crate) room: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publisher {
    pub(crate) media: Kind,
    pub(crate) url: String,
    pub(crate) token: String,
    #[serde(default)]
    pub(crate) room: u32,
}

fn one() -> usize {
    1
}

fn default_payload_bytes() -> usize {
    100
}

fn default_data_bytes() -> usize {
    200
}

fn default_data_per_s() -> f64 {
    10.0
}

fn default_late_ms() -> f64 {
    150.0
}

fn default_warm_s() -> f64 {
    1.0
}

fn default_measure_s() -> f64 {
    10.0
}

fn default_drain_s() -> f64 {
    1.0
}

fn default_gap_s() -> f64 {
    1.0
}

/// Reads and checks a spec. Err: a sentence.
pub(crate) fn read(json: &[u8]) -> Result<Spec, String> {
    let spec: Spec =
        serde_json::from_slice(json).map_err(|error| format!("the spec can't be read: {error}"))?;
    spec.check()?;
    Ok(spec)
}

impl Spec {
    fn check(&self) -> Result<(), String> {
        let clients = self.publishers.len() + self.subscribers.len();
        if clients == 0 {
            return Err("the spec has no client: name at least one".to_owned());
        }
        if clients > MAX_CLIENTS {
            return Err(format!(
                "{clients} clients are too many for one run: {MAX_CLIENTS} at most"
            ));
        }
        let sizes = STAMP_BYTES as f64;
        let ranges = [
            ("layers", self.layers as f64, 1.0, 3.0),
            ("threads", self.threads as f64, 1.0, MAX_THREADS as f64),
            (
                "payload_bytes",
                self.payload_bytes as f64,
                sizes,
                MAX_PAYLOAD as f64,
            ),
            ("data_bytes", self.data_bytes as f64, sizes, 60_000.0),
            ("data_per_s", self.data_per_s, 0.1, 1_000.0),
            ("joins_per_s", self.joins_per_s, 0.0, 100_000.0),
            ("late_ms", self.late_ms, 0.0, 60_000.0),
            ("quiet_s", self.quiet_s, 0.0, MAX_PHASE_S),
            ("warm_s", self.warm_s, 0.0, MAX_PHASE_S),
            ("measure_s", self.measure_s, 0.0, MAX_PHASE_S),
            ("drain_s", self.drain_s, 0.0, MAX_PHASE_S),
            ("gap_s", self.gap_s, 0.0, MAX_PHASE_S),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} is {value}: choose from {least} to {most}"));
            }
        }
        Ok(())
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape {
            payload_bytes: self.payload_bytes,
            data_bytes: self.data_bytes,
            data_per_s: self.data_per_s,
            reliable: self.reliable,
            layers: Shape::layers(self.layers),
        }
    }

    pub(crate) fn late(&self) -> Duration {
        Duration::from_secs_f64(self.late_ms / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAT: &str = r#""url": "ws://127.0.0.1:1", "token": "t""#;

    #[test]
    fn what_is_left_out_has_its_default() {
        let text = format!(r#"{{"publishers": [{{"media": "video", {SEAT}}}]}}"#);
        let read = read(text.as_bytes()).expect("it is well formed");
        assert_eq!(
            (read.payload_bytes, read.measure_s, read.layers, read.watch),
            (100, 10.0, 1, Watch::High)
        );
    }

    #[test]
    fn unusable_values_are_named() {
        let refused = |rest: &str| {
            let text = format!(r#"{{"publishers": [{{"media": "audio", {SEAT}}}]{rest}}}"#);
            read(text.as_bytes()).expect_err("unusable")
        };
        assert!(refused(r#", "payload_bytes": 3"#).contains("payload_bytes is 3"));
        assert!(refused(r#", "measure_s": 86401"#).contains("measure_s is 86401"));
        assert!(refused(r#", "layers": 4"#).contains("layers is 4"));
        assert!(refused(r#", "seconds": 1"#).contains("unknown field"));
        let empty = read(br#"{"publishers": []}"#).expect_err("unusable");
        assert!(empty.contains("no client"));
    }
}
