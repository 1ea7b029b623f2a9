//! A load client that does not decode: many LiveKit v1 clients in one process, one clock for all.
//!
//! It plays the people of a call and owns clocks, sockets and threads, as `crates/io` does for
//! the node. It speaks to loopback only.
#![allow(
    clippy::disallowed_methods,
    reason = "a program that plays the clients, with clock and sockets of its own"
)]

mod bare;
mod call;
mod crowd;
mod door;
mod failure;
mod hearing;
mod join;
mod media;
mod peer;
mod relay;
mod report;
mod signal;
mod spec;

use std::process::ExitCode;

use failure::Failure;

const HELP: &str = "\
fairlead-load: clients for measuring a server on this machine

  fairlead-load call < SPEC   a call; a JSON line for each phase, the last with the figures
  fairlead-load join < SPEC   one joins after another while someone speaks: time to first media
  fairlead-load bare [--subscribers 50] [--size 140] [--seconds 5] [--segments 1] [--bursts 0]
                              sendmmsg alone: CPU per packet. `segments` datagrams to each
                              subscriber as one GSO message; `bursts` per second, 0 as many as go
  fairlead-load relay [--rate 100000] [--size 80] [--streams 100] [--seconds 5] [--video]
                      [--direct] [--bare]
                              packets a second through a relay: CPU of its packet thread, delay.
                              `direct` has no relay, `bare` one that only receives and sends

SPEC is JSON: {\"media\": \"audio\" or \"video\", \"publishers\": [SEAT], \"subscribers\": [SEAT],
\"joiners\": [SEAT], and optionally \"payload_bytes\", \"quiet_s\", \"warm_s\", \"measure_s\", \"drain_s\",
\"gap_s\"}, a SEAT {\"url\": \"ws://127.0.0.1:7880\", \"token\": \"...\"}.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("call") => spec::read().and_then(|spec| call::run(&spec)),
        Some("join") => spec::read().and_then(|spec| join::run(&spec)),
        Some("bare") => bare::run(&words[1..]),
        Some("relay") => relay::run(&words[1..]),
        Some("help" | "--help" | "-h") => report::text(HELP),
        _ => Err(Failure::Usage(format!(
            "say what to do: call, join, bare or relay\n\n{HELP}"
        ))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::complain(&failure);
            ExitCode::from(failure.status())
        }
    }
}
