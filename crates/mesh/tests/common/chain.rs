//! A talk over a chain of lossy hops, and what of it comes in time.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mesh::Output;
use wire::{Class, Header, NodeId, TreeBuf, put_media_header};

use crate::common::{World, ms, packet, stream};

/// Gilbert-Elliott, datagram by datagram: chances to go from good to bad and back, and losses in
/// each.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    pub name: &'static str,
    pub to_bad: f64,
    pub to_good: f64,
    pub good: f64,
    pub bad: f64,
}

impl Channel {
    pub const fn new(name: &'static str, p: [f64; 4]) -> Channel {
        Channel {
            name,
            to_bad: p[0],
            to_good: p[1],
            good: p[2],
            bad: p[3],
        }
    }

    /// Each datagram by its own.
    pub const fn random(loss: f64) -> Channel {
        Channel::new("random", [0.0, 1.0, loss, loss])
    }

    /// The share lost in the long run.
    pub fn loss(&self) -> f64 {
        let bad = self.to_bad / (self.to_bad + self.to_good);
        self.bad * bad + self.good * (1.0 - bad)
    }
}

/// Measured and constructed channels; those of Tambur (NSDI'23) and Michel's thesis among them.
pub const CHANNELS: [Channel; 10] = [
    Channel::new("tambur_default", [0.068, 0.852, 0.04, 0.5]),
    Channel::new("tambur_range_low", [0.01, 0.90, 0.00, 0.05]),
    Channel::new("tambur_range_high", [0.05, 0.75, 0.05, 1.0]),
    Channel::new("tambur_mid", [0.03, 0.825, 0.025, 0.525]),
    Channel::new("inflight_low", [0.01, 0.08, 0.02, 1.0]),
    Channel::new("inflight_high", [0.08, 0.50, 0.00, 0.90]),
    Channel::new("gilbert_5_b2", [0.026316, 0.5, 0.0, 1.0]),
    Channel::new("gilbert_10_b4", [0.027778, 0.25, 0.0, 1.0]),
    Channel::new("gilbert_20_b4", [0.0625, 0.25, 0.0, 1.0]),
    Channel::new("gilbert_30_b8", [0.053571, 0.125, 0.0, 1.0]),
];

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub channel: Channel,
    pub hops: u16,
    /// Of each hop.
    pub rtt: Duration,
    pub class: Class,
    /// How much later than the way's own delay a packet may come.
    pub patience: Duration,
    /// One each 20 ms.
    pub packets: u64,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Shares of the packets: too late or never, and never.
    pub residual: f64,
    pub never: f64,
    /// Shares of the bytes sent by the nodes on the way, mean of the hops.
    pub repair: f64,
    pub parity: f64,
    /// Times that a link went down.
    pub downs: u64,
}

impl Case {
    pub fn run(&self) -> Figures {
        let last = self.hops + 1;
        let nodes: Vec<u16> = (1..=last).collect();
        let mut world = World::new(&nodes);
        world.delay = self.rtt / 2;
        for pair in nodes.windows(2) {
            world.introduce(pair[0], pair[1]);
            world.introduce(pair[1], pair[0]);
        }
        for node in &nodes {
            let path = |to: u16| -> Vec<u16> {
                if to > *node {
                    (node + 1..to).collect()
                } else {
                    (to + 1..*node).rev().collect()
                }
            };
            let ways: Vec<(u16, Vec<u16>)> = nodes
                .iter()
                .filter(|to| *to != node)
                .map(|to| (*to, path(*to)))
                .collect();
            let routes: Vec<(u16, &[u16])> = ways.iter().map(|(to, via)| (*to, &via[..])).collect();
            world.route(*node, &routes);
        }
        world.run(ms(2_000));
        let talk = stream(1, 1);
        world.want(last, talk);
        world.run(ms(500));
        self.spoil(&mut world);
        // The link is to know its weather before anything is counted.
        self.talk(&mut world, 250);
        self.talk(&mut world, self.packets)
    }

    fn spoil(&self, world: &mut World) {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let bad = Rc::new(RefCell::new(BTreeMap::<(u16, u16), bool>::new()));
        let channel = self.channel;
        world.filter = Box::new(move |from, to, _| {
            let mut bad = bad.borrow_mut();
            let bad = bad.entry((from, to)).or_default();
            let turn = if *bad {
                channel.to_good
            } else {
                channel.to_bad
            };
            *bad ^= rng.f64() < turn;
            rng.f64() >= if *bad { channel.bad } else { channel.good }
        });
    }

    fn talk(&self, world: &mut World, packets: u64) -> Figures {
        let last = self.hops + 1;
        let talk = stream(1, 1);
        let path: Vec<NodeId> = (2..=last).map(NodeId).collect();
        let tree = TreeBuf::chain(&path).unwrap();
        let owd = self.rtt / 2 * u32::from(self.hops);
        let (mut in_time, mut came) = (0, 0);
        let (mut repair, mut parity, mut samples) = (0.0, 0.0, 0.0);
        let downs = |world: &World| -> u64 {
            (1..=last)
                .map(|node| world.count(node, "mesh_link_downs"))
                .sum()
        };
        let downs_before = downs(world);
        let start = world.now;
        let first = (start - world.start).as_millis() as u64;
        let gap = ms(20);
        world.events.clear();
        world.times.clear();
        for i in 0..packets + 100 {
            if i < packets {
                let mut content = Vec::new();
                put_media_header(&mut content, talk);
                packet(first + i, 100).encode(&mut content);
                let header = Header {
                    origin: NodeId(1),
                    epoch: 1,
                    serial: (first + i) as u32 | 1 << 31,
                    class: self.class,
                    hops: 1,
                    detoured: false,
                    tag: 0,
                    tree: tree.as_tree(),
                };
                world.send_raw(1, 2, &header, &content);
            }
            world.run(gap);
            world.sent.clear();
            let events = world.events.drain(..).zip(world.times.drain(..));
            for ((node, output), at) in events {
                let Output::Media { packet, .. } = output else {
                    continue;
                };
                let Some(number) = packet.sequence.checked_sub(first).filter(|_| node == last)
                else {
                    continue;
                };
                let due = start + gap * number as u32 + owd + self.patience;
                came += 1;
                in_time += u64::from(at <= due);
            }
            if i % 50 == 0 && i < packets {
                for node in 1..last {
                    let links = world.nodes[&node].links();
                    let link = links.iter().find(|link| link.node.0 == node + 1).unwrap();
                    repair += f64::from(link.repair_share);
                    parity += f64::from(link.parity_share);
                    samples += 1.0;
                }
            }
        }
        let share = |n: u64| 1.0 - n as f64 / packets as f64;
        Figures {
            residual: share(in_time),
            never: share(came),
            repair: repair / samples,
            parity: parity / samples,
            downs: downs(world) - downs_before,
        }
    }
}
