//! Prints what repair and parity leave of a talk over lossy hops: `cargo run --release -p
//! fairlead-mesh --example repair [packets]`. Virtual time, the same figures each time.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/common/chain.rs"]
mod chain;
#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Duration;

use chain::{CHANNELS, Case, Channel};
use wire::Class;

const RANDOM: [f64; 6] = [0.01, 0.03, 0.05, 0.1, 0.2, 0.3];

fn main() {
    let packets = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let packets = packets.unwrap_or(20_000);
    println!("audio each 20 ms, +150 ms over the way's delay, loss both ways; {packets} packets");
    println!("channel              loss  hops  rtt  residual    never   repair   parity  downs");
    let random = RANDOM.map(Channel::random);
    for channel in CHANNELS.into_iter().chain(random) {
        for hops in [1, 3] {
            for rtt in [20, 60, 120, 200] {
                let case = Case {
                    channel,
                    hops,
                    rtt: Duration::from_millis(rtt),
                    class: Class::Audio,
                    patience: Duration::from_millis(150),
                    packets,
                    seed: 7,
                };
                let figures = case.run();
                println!(
                    "{:18} {:5.1}%  {hops}  {rtt:4}  {:7.3}% {:7.3}%  {:6.1}%  {:6.1}%  {:5}",
                    channel.name,
                    100.0 * channel.loss(),
                    100.0 * figures.residual,
                    100.0 * figures.never,
                    100.0 * figures.repair,
                    100.0 * figures.parity,
                    figures.downs,
                );
            }
        }
    }
}
