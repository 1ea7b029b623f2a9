//! `fairlead-load`: what `bench/` needs beside `fairlead bench`: joins step by step, a relay under
//! load, and loops that only send.
#![allow(
    clippy::disallowed_methods,
    reason = "a program of clocks, threads and sockets"
)]

mod bare;
mod relay;

use std::io::Read;
use std::process::ExitCode;

use fairlead_load::{Failure, join, report};

const HELP: &str = "\
fairlead-load: figures of a server on this machine, beside those of `fairlead bench`

  fairlead-load join < SPEC   one joins after another while someone speaks: time to first media
  fairlead-load bare [--subscribers 50] [--size 140] [--seconds 5] [--segments 1] [--bursts 0]
                              sendmmsg alone: CPU per packet. `segments` datagrams to each
                              subscriber as one GSO message; `bursts` per second, 0 as many as go
  fairlead-load relay [--rate 100000] [--size 80] [--streams 100] [--seconds 5] [--video]
                      [--direct] [--bare]
                              packets a second through a relay: CPU of its packet thread, delay.
                              `direct` has no relay, `bare` one that only receives and sends

SPEC is JSON: {\"publishers\": [{\"media\": \"audio\", SEAT}], \"subscribers\": [{SEAT}],
\"joiners\": [{SEAT}], and optionally \"payload_bytes\", \"warm_s\", \"gap_s\"}, a SEAT
\"url\": \"ws://127.0.0.1:7880\", \"token\": \"...\".
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("join") => spec().and_then(|spec| join::run(&spec)),
        Some("bare") => bare::run(&words[1..]),
        Some("relay") => relay::run(&words[1..]),
        Some("help" | "--help" | "-h") => report::text(HELP),
        _ => Err(Failure::Usage(format!(
            "say what to do: join, bare or relay\n\n{HELP}"
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

/// From standard input: tokens never stand on a command line.
fn spec() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}
