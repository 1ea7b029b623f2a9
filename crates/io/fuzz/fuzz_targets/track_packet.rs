#![no_main]

#[path = "../parsers.rs"]
#[allow(dead_code, unreachable_pub)]
mod parsers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::track_packet(data));
