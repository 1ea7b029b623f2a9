//! What to play, read from standard input: tokens never stand on a command line.

use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use tungstenite::http::Uri;

use crate::failure::Failure;
use crate::media::Kind;

/// The longest that one phase may last.
const MAX_PHASE_S: f64 = 600.0;

/// The most clients of one run: each has two sockets.
const MAX_CLIENTS: usize = 2_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) media: Kind,
    pub(crate) publishers: Vec<Seat>,
    #[serde(default)]
    pub(crate) subscribers: Vec<Seat>,
    /// Of `join`: one after another.
    #[serde(default)]
    pub(crate) joiners: Vec<Seat>,
    /// Of an audio packet, without RTP header.
    #[serde(default = "default_payload_bytes")]
    pub(crate) payload_bytes: usize,
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
}

fn default_payload_bytes() -> usize {
    100
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

/// Reads and checks the spec on standard input.
pub(crate) fn read() -> Result<Spec, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let spec: Spec = serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("the spec can't be read: {error}")))?;
    spec.check()?;
    Ok(spec)
}

impl Spec {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let refuse = |text: String| Err(Failure::Usage(text));
        if self.publishers.is_empty() {
            return refuse("the spec has no publisher: name at least one".to_owned());
        }
        let clients = self.publishers.len() + self.subscribers.len();
        if clients > MAX_CLIENTS {
            return refuse(format!(
                "{clients} clients are too many for one run: {MAX_CLIENTS} at most"
            ));
        }
        if !(crate::media::STAMP_BYTES..=1_100).contains(&self.payload_bytes) {
            return refuse(format!(
                "payload_bytes is {}: choose from {} to 1100",
                self.payload_bytes,
                crate::media::STAMP_BYTES
            ));
        }
        let phases = [
            ("quiet_s", self.quiet_s),
            ("warm_s", self.warm_s),
            ("measure_s", self.measure_s),
            ("drain_s", self.drain_s),
            ("gap_s", self.gap_s),
        ];
        for (name, seconds) in phases {
            if !(0.0..=MAX_PHASE_S).contains(&seconds) {
                return refuse(format!(
                    "{name} is {seconds}: choose from 0 to {MAX_PHASE_S}"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn measure(&self) -> Duration {
        Duration::from_secs_f64(self.measure_s)
    }
}

impl Seat {
    /// The server's address. Err: the URL can't be used or leads off this machine.
    pub(crate) fn address(&self) -> Result<SocketAddr, Failure> {
        let url = &self.url;
        let bad = |why: &str| Failure::Usage(format!("{url} can't be used: {why}"));
        let uri: Uri = url
            .parse()
            .map_err(|_| bad("write it as ws://127.0.0.1:7880"))?;
        if uri.scheme_str() != Some("ws") {
            return Err(bad("only ws:// is spoken here"));
        }
        let host = uri.host().ok_or_else(|| bad("it names no host"))?;
        let place = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
        let mut found = place
            .to_socket_addrs()
            .map_err(|_| bad("its host is unknown"))?;
        found
            .find(|address| address.ip().is_loopback())
            .ok_or_else(|| bad("this client loads servers on its own machine only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<Spec, String> {
        let spec: Spec = serde_json::from_str(text).map_err(|error| error.to_string())?;
        spec.check().map_err(|failure| failure.to_string())?;
        Ok(spec)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let read = spec(
            r#"{"media": "video", "publishers": [{"url": "ws://127.0.0.1:1", "token": "t"}]}"#,
        )
        .expect("it is well formed");
        assert_eq!(
            (read.payload_bytes, read.measure_s, read.subscribers.len()),
            (100, 10.0, 0)
        );
    }

    #[test]
    fn unusable_values_are_named() {
        let refused = |rest: &str| {
            let seat = r#"{"url": "ws://127.0.0.1:1", "token": "t"}"#;
            spec(&format!(
                r#"{{"media": "audio", "publishers": [{seat}]{rest}}}"#
            ))
            .expect_err("unusable")
        };
        assert!(refused(r#", "payload_bytes": 3"#).contains("payload_bytes is 3"));
        assert!(refused(r#", "measure_s": 601"#).contains("measure_s is 601"));
        assert!(refused(r#", "seconds": 1"#).contains("unknown field"));
        assert!(
            spec(r#"{"media": "audio", "publishers": []}"#)
                .expect_err("unusable")
                .contains("no publisher")
        );
    }

    #[test]
    fn only_this_machine_is_loaded() {
        let seat = |url: &str| Seat {
            url: url.to_owned(),
            token: String::new(),
        };
        let address = seat("ws://127.0.0.1:7880").address().expect("loopback");
        assert_eq!(address, ([127, 0, 0, 1], 7880).into());
        let refused = |url: &str| seat(url).address().expect_err("refused").to_string();
        assert!(refused("ws://192.0.2.1:7880").contains("its own machine only"));
        assert!(refused("wss://127.0.0.1:7880").contains("only ws://"));
    }
}
