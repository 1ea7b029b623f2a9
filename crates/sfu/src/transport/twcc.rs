//! Transport-wide feedback as it is written (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::{Duration, Instant};

use crate::uplink::Arrivals;

/// RTPFB (RFC 4585 section 6.2) with the feedback's format.
const HEAD: [u8; 2] = [0x80 | 15, 205];
const PADDED: u8 = 0x20;
/// Times are counted so, and the reference time in so many of these.
const TICK: Duration = Duration::from_micros(250);
const REFERENCE: i64 = 256;
/// Packets of one kind in a chunk, at most, and of any in another.
const MAX_RUN: usize = (1 << 13) - 1;
const MIXED: usize = 7;

const MISSING: u8 = 0;
const SOON: u8 = 1;
const LATER: u8 = 2;

/// RTCP packets in a row without such feedback. None: there is none among them.
pub(super) fn without(packets: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(packets.len());
    let mut rest = packets;
    while let [first, kind, high, low, ..] = *rest {
        let words = usize::from(u16::from_be_bytes([high, low]));
        let (packet, others) = rest.split_at_checked(4 * (words + 1))?;
        if [first & !PADDED, kind] != HEAD {
            kept.extend(packet);
        }
        rest = others;
    }
    (rest.is_empty() && kept.len() < packets.len()).then_some(kept)
}

/// Write the report of this SSRC.
pub(super) fn write(sender: u32, arrivals: &Arrivals) -> Vec<u8> {
    let Arrivals {
        about,
        count,
        first,
        zero,
        came,
    } = arrivals;
    let ticks = |at: &Instant| {
        let time = at.saturating_duration_since(*zero);
        (time.as_micros() / TICK.as_micros()) as i64
    };
    let reference = came.iter().flatten().map(ticks).next().unwrap_or(0) / REFERENCE;
    let mut last = reference * REFERENCE;
    let mut symbols = Vec::with_capacity(came.len());
    let mut deltas: Vec<u8> = Vec::with_capacity(came.len());
    for at in came {
        let delta = at.as_ref().map(|at| ticks(at) - last);
        let symbol = match delta {
            Some(delta) if u8::try_from(delta).is_ok() => {
                deltas.push(delta as u8);
                SOON
            }
            Some(delta) if i16::try_from(delta).is_ok() => {
                deltas.extend((delta as i16).to_be_bytes());
                LATER
            }
            _ => MISSING,
        };
        if symbol != MISSING {
            last += delta.unwrap_or(0);
        }
        symbols.push(symbol);
    }
    let mut packet = [HEAD[0], HEAD[1], 0, 0].to_vec();
    packet.extend(sender.to_be_bytes());
    packet.extend(about.to_be_bytes());
    packet.extend(first.to_be_bytes());
    packet.extend((symbols.len() as u16).to_be_bytes());
    packet.extend(&(reference as u32).to_be_bytes()[1..]);
    packet.push(*count);
    packet.extend(chunks(&symbols).into_iter().flat_map(u16::to_be_bytes));
    packet.extend(deltas);
    let padding = packet.len().next_multiple_of(4) - packet.len();
    if padding > 0 {
        packet.resize(packet.len() + padding - 1, 0);
        packet.push(padding as u8);
        packet[0] |= PADDED;
    }
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}

/// Runs of one kind, and seven of any kind (section 3.1.2 to 3.1.4).
fn chunks(symbols: &[u8]) -> Vec<u16> {
    let mut chunks = vec![];
    let mut rest = symbols;
    while let Some(kind) = rest.first() {
        let alike = rest.iter().take_while(|symbol| *symbol == kind).count();
        let (taken, chunk) = if alike >= MIXED || alike == rest.len() {
            let run = alike.min(MAX_RUN);
            (run, u16::from(*kind) << 13 | run as u16)
        } else {
            let some = &rest[..rest.len().min(MIXED)];
            let places = (0..MIXED).rev().map(|place| 2 * place);
            let chunk = some.iter().zip(places).fold(0xc000, |chunk, (symbol, at)| {
                chunk | u16::from(*symbol) << at
            });
            (some.len(), chunk)
        };
        chunks.push(chunk);
        rest = &rest[taken..];
    }
    chunks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]

    use str0m::rtp::rtcp::Twcc;

    use super::*;

    /// What str0m reads in it, in ticks.
    fn read(packet: &[u8], zero: Instant, near: u64) -> Vec<(u64, Option<u128>)> {
        assert_eq!(without(packet), Some(vec![]));
        assert_eq!(packet.len() % 4, 0);
        let words = u16::from_be_bytes([packet[2], packet[3]]);
        assert_eq!(packet.len(), 4 * (usize::from(words) + 1));
        let padded = packet[0] & PADDED != 0;
        let padding = if padded {
            usize::from(packet[packet.len() - 1])
        } else {
            0
        };
        let body = &packet[4..packet.len() - padding];
        let report = Twcc::try_from(body).unwrap();
        report
            .into_iter(zero, near.into())
            .map(|(number, _, at)| (*number, at.map(|at| (at - zero).as_micros() / 250)))
            .collect()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let zero = Instant::now();
        let mut rng = fastrand::Rng::with_seed(7);
        for packets in [1, 2, 6, 7, 8, 20, 400] {
            for lost in [0.0, 0.1, 0.5, 0.9] {
                // Some are late, some come before the one before them.
                let mut at = 70_000 + rng.u64(0..100_000);
                let came: Vec<Option<Instant>> = (0..packets)
                    .map(|n| {
                        at += rng.u64(0..30_000) + if rng.f64() < 0.05 { 200_000 } else { 0 };
                        let jumps = if rng.f64() < 0.1 { 20_000 } else { 0 };
                        let came = n == 0 || rng.f64() >= lost;
                        came.then(|| zero + Duration::from_micros(at - jumps))
                    })
                    .collect();
                let arrivals = Arrivals {
                    about: 2,
                    count: 3,
                    first: 65_500,
                    zero,
                    came,
                };
                let packet = write(1, &arrivals);
                let expected: Vec<(u64, Option<u128>)> = (65_500u64..)
                    .zip(&arrivals.came)
                    .map(|(number, at)| (number, at.map(|at| (at - zero).as_micros() / 250)))
                    .collect();
                assert_eq!(read(&packet, zero, 65_500), expected, "{packets}, {lost}");
                assert!(packet.len() < 1_200);
            }
        }
    }

    #[test]
    fn it_is_taken_out_wherever_it_stands() {
        let arrivals = Arrivals {
            about: 2,
            count: 3,
            first: 9,
            zero: Instant::now(),
            came: vec![Some(Instant::now())],
        };
        let ours = write(1, &arrivals);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 0];
        let both = [&report[..], &nack].concat();
        for all in [
            [&ours, &report[..], &nack].concat(),
            [&report[..], &ours, &nack].concat(),
            [&report[..], &nack, &ours].concat(),
        ] {
            assert_eq!(without(&all), Some(both.clone()));
        }
        assert_eq!(without(&both), None);
        // What ends early is left as it is.
        assert_eq!(without(&ours[..ours.len() - 1]), None);
        assert_eq!(without(&[0x8f, 205, 255, 255]), None);
        assert_eq!(without(&[0x8f]), None);
        assert_eq!(without(&[]), None);
    }

    #[test]
    fn many_of_one_kind_take_little() {
        let zero = Instant::now();
        let mut came = vec![None; 20_000];
        came[0] = Some(zero);
        came.push(Some(zero + Duration::from_millis(10)));
        let arrivals = Arrivals {
            about: 2,
            count: 3,
            first: 9,
            zero,
            came,
        };
        let packet = write(1, &arrivals);
        assert!(packet.len() < 40, "{}", packet.len());
        assert_eq!(read(&packet, zero, 9).len(), 20_001);
    }
}
