//! How many simulated seconds pass in one of the clock's: a full mesh with streams on every node.
//!
//! `cargo run --release -p fairlead-sim --example speed -- [nodes] [streams a node] [seconds]`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and prints"
)]

use std::time::{Duration, Instant};

use netem::{Loss, Weather};
use sim::{Kind, World};

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse().unwrap_or(0));
    let nodes = args.next().unwrap_or(100) as u16;
    let streams = args.next().unwrap_or(3);
    let seconds = args.next().unwrap_or(10);
    let began = Instant::now();
    let mut world = World::new(1, began);
    world.add_nodes(nodes);
    for a in 1..=nodes {
        for b in a + 1..=nodes {
            let weather = Weather {
                jitter: Duration::from_millis(1),
                loss: Loss::Random(0.001),
                ..Weather::delayed(Duration::from_millis(5 + u64::from(a * 7 + b * 13) % 140))
            };
            world.add_path(a, b, weather);
        }
    }
    world.run(Duration::from_secs(3));
    println!("{nodes} nodes connected: {:?}", began.elapsed());
    for node in 1..=nodes {
        for i in 0..streams {
            let publisher = world.publish(node, if i == 0 { Kind::Video } else { Kind::Audio });
            let to = (u64::from(node) + i * 17) % u64::from(nodes) + 1;
            world.subscribe(to as u16, publisher);
        }
    }
    let (began, sent) = (Instant::now(), world.datagrams());
    world.run(Duration::from_secs(seconds));
    let took = began.elapsed().as_secs_f64();
    let sent = world.datagrams() - sent;
    println!(
        "{seconds} s simulated in {took:.2} s: {:.2} a second; {sent} datagrams, {:.0} a second",
        seconds as f64 / took,
        sent as f64 / took
    );
    println!("trace {:x}, {:?}", world.trace(), world.violations());
}
