//! A relay under load: one sender, the real node in the middle, one receiver, all on loopback.
//!
//! The sender's and the receiver's ends are meshes of their own, each on a thread with a socket.
//! What counts is the CPU of the node's packet thread, so it does not matter that all of them
//! share the machine. `--bare` puts a loop that only receives and sends in the node's place: no
//! keys, no frames, the same datagrams and batches.

mod end;
mod middle;
mod socket;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairlead_load::{Failure, report};
use mesh::{Input, Route, public_key};
use serde::Serialize;
use wire::{Format, MediaPacket, NodeId, StreamId};

use end::{End, Heard};
use middle::Middle;

const SENDER: NodeId = NodeId(1);
const RELAY: NodeId = NodeId(2);
const RECEIVER: NodeId = NodeId(3);
/// Packets are due this often: the burst that a busy neighbour makes.
const TICK: Duration = Duration::from_millis(1);
const CONNECT: Duration = Duration::from_secs(10);
const WARM: Duration = Duration::from_secs(1);

struct Options {
    /// Packets a second.
    rate: f64,
    /// Bytes of each packet's payload.
    size: usize,
    streams: u64,
    seconds: f64,
    audio: bool,
    /// No relay: the delay of the two ends alone.
    direct: bool,
    bare: bool,
}

#[derive(Serialize)]
struct Figures {
    sent: u64,
    received: u64,
    /// Datagrams of the sender's link, all of them.
    datagrams: u64,
    seconds: f64,
    /// Of the packet thread in the middle; none without one.
    cpu_us_per_packet: Option<f64>,
    packets_per_core_second: Option<f64>,
    /// Of a core that the packet thread used.
    load: Option<f64>,
    delay_p50_ms: f64,
    delay_p99_ms: f64,
    delay_max_ms: f64,
}

pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let options = parse(words)?;
    let clock = Instant::now();
    let key = |node: NodeId| [node.0 as u8; 32];
    let mut sender = End::new(SENDER, key(SENDER), clock)?;
    let mut receiver = End::new(RECEIVER, key(RECEIVER), clock)?;
    let ends = (sender.address()?, receiver.address()?);
    let middle = match (options.direct, options.bare) {
        (true, _) => None,
        (false, true) => Some(Middle::bare(ends)?),
        (false, false) => Some(Middle::node(key(RELAY), ends)?),
    };
    // A bare middle only passes on: the ends' link is with each other, through its address.
    let through = middle.as_ref().map(|m| m.address);
    match (&middle, options.bare) {
        (Some(middle), false) => {
            let relay = public_key(&key(RELAY));
            for (end, other) in [(&mut sender, RECEIVER), (&mut receiver, SENDER)] {
                end.meet(RELAY, relay, middle.address);
                end.route(&[route(RELAY, &[]), route(other, &[RELAY])]);
            }
        }
        _ => {
            let to = |direct: SocketAddr| through.unwrap_or(direct);
            sender.meet(RECEIVER, public_key(&key(RECEIVER)), to(ends.1));
            sender.route(&[route(RECEIVER, &[])]);
            receiver.meet(SENDER, public_key(&key(SENDER)), to(ends.0));
            receiver.route(&[route(SENDER, &[])]);
        }
    }
    let streams: Vec<StreamId> = (1..=options.streams)
        .map(|serial| StreamId(u64::from(SENDER.0) << 48 | serial))
        .collect();
    for stream in &streams {
        receiver.give(Input::Want { stream: *stream });
    }
    let ended = Arc::new(AtomicBool::new(false));
    let listening = std::thread::spawn({
        let ended = ended.clone();
        move || receiver.listen(&ended)
    });
    let spoken = speak(&options, &mut sender, &streams, middle.as_ref());
    // What is under way comes in.
    std::thread::sleep(Duration::from_millis(300));
    ended.store(true, Ordering::Relaxed);
    let heard = listening
        .join()
        .map_err(|_| std::io::Error::other("the receiver's thread ended in a panic"))??;
    report::line(&figures(spoken?, heard))
}

fn route(destination: NodeId, via: &[NodeId]) -> Route {
    Route {
        destination,
        via: via.to_vec(),
        ..Route::default()
    }
}

/// What was said in the measured time.
struct Spoken {
    from: Instant,
    to: Instant,
    packets: u64,
    datagrams: u64,
    cpu_ns: Option<u64>,
}

/// Connect, warm up, then speak for the measured time.
fn speak(
    options: &Options,
    sender: &mut End,
    streams: &[StreamId],
    middle: Option<&Middle>,
) -> Result<Spoken, Failure> {
    for stream in streams {
        let (stream, tag, base) = (*stream, 0, true);
        sender.give(Input::AddStream { stream, tag, base });
    }
    let begun = Instant::now();
    while sender.wanted < streams.len() {
        if begun.elapsed() > CONNECT {
            return Err(std::io::Error::other("the ends did not connect within 10 s").into());
        }
        sender.turn(TICK)?;
    }
    let start = Instant::now();
    let from = start + WARM;
    let to = from + Duration::from_secs_f64(options.seconds);
    let cpu = || middle.map(Middle::cpu_ns).transpose();
    let (mut said, mut said_before) = (0_u64, 0);
    let (mut datagrams_before, mut cpu_before) = (0, None);
    let mut measured = false;
    loop {
        let now = Instant::now();
        if now >= to {
            break;
        }
        if now >= from && !measured {
            measured = true;
            said_before = said;
            datagrams_before = sender.sent;
            cpu_before = cpu()?;
        }
        let due = (now.duration_since(start).as_secs_f64() * options.rate) as u64;
        while said < due {
            let stream = (said % options.streams) as usize;
            let packet = packet(options, said / options.streams, sender.clock_ns());
            let stream = streams[stream];
            sender.give(Input::Media {
                stream,
                packet: &Arc::new(packet),
            });
            said += 1;
        }
        sender.turn(TICK)?;
    }
    let cpu_ns = cpu()?.zip(cpu_before).map(|(after, before)| after - before);
    Ok(Spoken {
        from,
        to,
        packets: said - said_before,
        datagrams: sender.sent - datagrams_before,
        cpu_ns,
    })
}

/// Its payload begins with the time at which it was sent.
fn packet(options: &Options, sequence: u64, clock_ns: u64) -> MediaPacket {
    let mut payload = vec![0; options.size.max(8)];
    payload[..8].copy_from_slice(&clock_ns.to_be_bytes());
    MediaPacket {
        format: match options.audio {
            true => Format::Opus,
            false => Format::Vp8,
        },
        sequence,
        timestamp: sequence as u32 * 960,
        marker: true,
        keyframe: false,
        audio_level: None,
        voice_activity: None,
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: payload.into(),
    }
}

fn figures(spoken: Spoken, mut heard: Heard) -> Figures {
    let seconds = (spoken.to - spoken.from).as_secs_f64();
    let delays = heard.delays_between(spoken.from, spoken.to);
    // What came through counts: a packet that a full buffer lost cost the relay next to nothing.
    let packets = spoken.packets.min(delays.len() as u64).max(1) as f64;
    let cpu_us = spoken.cpu_ns.map(|ns| ns as f64 / 1e3);
    let at = |share| report::ms(report::percentile(&delays, share));
    Figures {
        sent: spoken.packets,
        received: delays.len() as u64,
        datagrams: spoken.datagrams,
        seconds,
        cpu_us_per_packet: cpu_us.map(|us| us / packets),
        packets_per_core_second: cpu_us.map(|us| packets / us * 1e6),
        load: cpu_us.map(|us| us / 1e6 / seconds),
        delay_p50_ms: at(0.5),
        delay_p99_ms: at(0.99),
        delay_max_ms: at(1.0),
    }
}

fn parse(words: &[String]) -> Result<Options, Failure> {
    let mut options = Options {
        rate: 100_000.0,
        size: 80,
        streams: 100,
        seconds: 5.0,
        audio: true,
        direct: false,
        bare: false,
    };
    let mut words = words.iter();
    while let Some(name) = words.next() {
        match name.as_str() {
            "--direct" => options.direct = true,
            "--bare" => options.bare = true,
            "--video" => (options.audio, options.size) = (false, 1_150),
            "--rate" | "--size" | "--streams" | "--seconds" => {
                let value = words
                    .next()
                    .ok_or_else(|| Failure::Usage(format!("{name} needs a value")))?;
                let number: f64 = value
                    .parse()
                    .ok()
                    .filter(|number| (1.0..=1e6).contains(number))
                    .ok_or_else(|| {
                        Failure::Usage(format!("{name} is {value:?}: give a number, 1 to 1000000"))
                    })?;
                match name.as_str() {
                    "--rate" => options.rate = number,
                    "--size" => options.size = number.min(1_150.0) as usize,
                    "--streams" => options.streams = number.min(10_000.0) as u64,
                    _ => options.seconds = number.min(60.0),
                }
            }
            _ => {
                let text = format!("{name} is no option of relay: see --help");
                return Err(Failure::Usage(text));
            }
        }
    }
    Ok(options)
}

/// A loopback address on any free port.
fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_checked() {
        let options = parse(&words("--video --rate 5000 --direct")).expect("they are fine");
        assert!(options.direct && !options.audio && !options.bare);
        assert_eq!((options.rate, options.size), (5_000.0, 1_150));
        let refused = |text: &str| match parse(&words(text)) {
            Err(failure) => failure.to_string(),
            Ok(_) => panic!("{text} was taken"),
        };
        assert!(refused("--rate x").contains("--rate is \"x\""));
        assert!(refused("--rate 0").contains("1 to 1000000"));
        assert!(refused("--rate").contains("needs a value"));
        assert!(refused("--rates 3").contains("no option"));
    }

    #[test]
    fn what_is_said_is_heard_through_a_node_and_through_a_loop() {
        for middle in ["", "--bare", "--direct"] {
            let text = format!("--rate 200 --streams 4 --seconds 1 {middle}");
            run(&words(&text)).expect("loopback is up");
        }
    }
}
