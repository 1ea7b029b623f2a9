//! What faults do to the world.

use std::time::Duration;

use super::{What, World};
use crate::fault::Fault;

/// From a node's start until its clients are back.
const CLIENTS_RETURN: Duration = Duration::from_millis(300);

impl World {
    /// Let something go wrong `after` now.
    pub fn fault(&mut self, after: Duration, fault: Fault) {
        self.last_fault = self.last_fault.max(self.now + after);
        self.after(after, What::Fault(fault));
    }

    /// Let a storm's faults come, from `after` now.
    pub fn storm(&mut self, after: Duration, faults: &[(Duration, Fault)]) {
        for (at, fault) in faults {
            self.fault(after + *at, *fault);
        }
    }

    /// End the loss on a path, at once; a cut stays.
    pub fn calm(&mut self, a: u16, b: u16) {
        self.last_fault = self.last_fault.max(self.now);
        for way in [(a, b), (b, a)] {
            self.sky.change(way, |trouble| trouble.loss = None);
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        self.note(&[1, fault.word()]);
        match fault {
            Fault::Weather { a, b, loss, cut } => {
                for way in [(a, b), (b, a)] {
                    self.sky.change(way, |trouble| {
                        trouble.cut = cut;
                        trouble.loss = (loss != netem::Loss::None).then_some(loss);
                    });
                }
            }
            Fault::OneWay { from, to, cut } => {
                self.sky.change((from, to), |trouble| trouble.cut = cut);
            }
            Fault::Pair { a, b, pair, cut } => {
                for way in [(a, b, pair), (b, a, pair)] {
                    self.sky.change_pair(way, |trouble| trouble.pair_cut = cut);
                }
            }
            Fault::Brownout { a, b, loss, delay } => {
                for way in [(a, b), (b, a)] {
                    self.sky.change(way, |trouble| {
                        trouble.delay = delay;
                        trouble.loss = (loss != netem::Loss::None).then_some(loss);
                    });
                }
            }
            Fault::Narrow { a, b, rate } => {
                for way in [(a, b), (b, a)] {
                    self.sky.change(way, |trouble| trouble.rate = rate);
                }
            }
            Fault::Short { a, b, max_bytes } => {
                for way in [(a, b), (b, a)] {
                    self.sky
                        .change(way, |trouble| trouble.max_bytes = Some(max_bytes));
                }
            }
            Fault::Restart { node } => {
                self.kill(node);
                self.start(node);
            }
            Fault::Kill { node } => self.kill(node),
            Fault::Start { node } => self.start(node),
            Fault::Clock { node, by } => {
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.ahead += by;
                }
                self.schedule_timer(node);
            }
            Fault::Grey { node, grey } => {
                let host = self.hosts.get_mut(&node);
                let core = host.and_then(|host| host.core.as_mut());
                if let Some(mesh) = core.and_then(node::Node::mesh_mut) {
                    mesh.set_grey(grey);
                }
            }
            Fault::Lie { node, factor } => {
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.lie = factor;
                }
            }
            Fault::Control { gone } => {
                self.control_gone = gone;
                self.compute_soon();
            }
            Fault::CellCut { node, cut } => {
                if let Some(host) = self.hosts.get_mut(&node) {
                    host.cell_cut = cut;
                }
                self.compute_soon();
            }
        }
    }

    fn kill(&mut self, node: u16) {
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let Some(dead) = host.core.take() else {
            return;
        };
        host.away = true;
        let counts = dead.mesh_ref().map(mesh::Mesh::counts).unwrap_or_default();
        for (name, n) in counts {
            *self.past.entry(name).or_default() += n;
        }
        // What its participants had heard is gone with them.
        for chat in &mut self.chats {
            chat.received.remove(&node);
        }
        for subscription in &mut self.subscriptions {
            let publisher = &self.publishers[subscription.publisher.0];
            if subscription.node == node || publisher.node == node {
                subscription.latest = None;
            }
        }
    }

    fn start(&mut self, node: u16) {
        let life = self.hosts.get(&node).map_or(0, |host| host.life + 1);
        let core = self.new_core(node, life);
        let host = self.hosts.get_mut(&node);
        let Some(host) = host.filter(|host| host.core.is_none()) else {
            return;
        };
        host.core = Some(core);
        host.life = life;
        host.ahead = Duration::ZERO;
        host.scheduled = None;
        self.schedule_timer(node);
        if let Some(controller) = &mut self.controller {
            controller.forget(node);
        }
        self.introduce(node);
        self.compute_soon();
        self.after(CLIENTS_RETURN, What::ClientsReturn(node, life));
    }
}
