//! A network address translator on an access network: it gives UDP flows other ports, and others
//! again when it is told to, as cheap routers and carriers do in the middle of a call.
//!
//! Addresses stay as they are: what a server sees of a rebinding is the port. TCP is left alone.

use std::collections::VecDeque;

/// Flows that it knows; the oldest is forgotten.
const MAX_FLOWS: usize = 64;
/// By how much a rebinding moves every port; odd, so that many follow before one comes again.
const STEP: u16 = 1_009;
/// Never given out: services listen below.
const FIRST_PORT: u16 = 1_024;

const UDP: u8 = 17;
const FRAGMENT: u16 = 0x3fff;

#[derive(Default)]
pub(crate) struct Nat {
    /// How often it rebound; 0: ports are as they were.
    rebound: u16,
    /// Port inside, port outside; the latest last.
    flows: VecDeque<(u16, u16)>,
}

impl Nat {
    /// Forgets all flows: from now on each has another port outside.
    pub(crate) fn rebind(&mut self) {
        self.rebound = self.rebound.wrapping_add(1);
        self.flows.clear();
    }

    /// A packet goes out: its source gets a port outside.
    pub(crate) fn outward(&mut self, packet: &mut [u8]) {
        if self.rebound == 0 {
            return;
        }
        let Some(at) = ports(packet) else {
            return;
        };
        let inside = read(packet, at);
        let outside = match self.flows.iter().find(|flow| flow.0 == inside) {
            Some(flow) => flow.1,
            None => self.open(inside),
        };
        rewrite(packet, at, at + 6, outside);
    }

    /// A packet comes in: its target gets the port inside. False where nobody has that port: such
    /// a packet is dropped without a word.
    pub(crate) fn inward(&mut self, packet: &mut [u8]) -> bool {
        if self.rebound == 0 {
            return true;
        }
        let Some(at) = ports(packet) else {
            return true;
        };
        let outside = read(packet, at + 2);
        let Some(flow) = self.flows.iter().find(|flow| flow.1 == outside) else {
            return false;
        };
        rewrite(packet, at + 2, at + 6, flow.0);
        true
    }

    fn open(&mut self, inside: u16) -> u16 {
        let span = u32::from(u16::MAX - FIRST_PORT) + 1;
        let moved = u32::from(inside) + u32::from(self.rebound) * u32::from(STEP);
        let mut outside = FIRST_PORT + (moved % span) as u16;
        while self.flows.iter().any(|flow| flow.1 == outside) {
            outside = outside.checked_add(1).unwrap_or(FIRST_PORT);
        }
        if self.flows.len() == MAX_FLOWS {
            self.flows.pop_front();
        }
        self.flows.push_back((inside, outside));
        outside
    }
}

/// Where the ports of a UDP packet stand; None for others and for fragments, which have none.
fn ports(packet: &[u8]) -> Option<usize> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let long = header >= 20 && packet.len() >= header + 8;
    (long && packet[9] == UDP && read(packet, 6) & FRAGMENT == 0).then_some(header)
}

fn read(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// Writes a port and mends the checksum over it (RFC 1624); none stays none.
fn rewrite(packet: &mut [u8], at: usize, checksum: usize, port: u16) {
    let (before, sum) = (read(packet, at), read(packet, checksum));
    packet[at..at + 2].copy_from_slice(&port.to_be_bytes());
    if sum != 0 {
        let mut mended = u32::from(!sum) + u32::from(!before) + u32::from(port);
        while mended > 0xffff {
            mended = (mended & 0xffff) + (mended >> 16);
        }
        let mended = match !(mended as u16) {
            0 => 0xffff,
            other => other,
        };
        packet[checksum..checksum + 2].copy_from_slice(&mended.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(source: u16, target: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0];
        packet.extend([10, 98, 1, 2, 10, 98, 0, 1]);
        packet.extend(source.to_be_bytes());
        packet.extend(target.to_be_bytes());
        packet.extend((8 + payload.len() as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        let sum = checksum(&packet);
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// Of RFC 768, over the pseudo header as well.
    fn checksum(packet: &[u8]) -> u16 {
        let mut bytes = packet[12..].to_vec();
        bytes[14] = 0;
        bytes[15] = 0;
        bytes.extend([0, UDP]);
        bytes.extend((packet.len() as u16 - 20).to_be_bytes());
        let mut sum: u32 = bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn a_rebinding_moves_the_port_and_leads_the_answer_back() {
        let mut nat = Nat::default();
        let mut sent = udp(40_000, 7_882, b"hello!");
        let before = sent.clone();
        nat.outward(&mut sent);
        assert_eq!(sent, before);
        let mut seen = Vec::new();
        for _ in 0..3 {
            nat.rebind();
            let mut sent = before.clone();
            nat.outward(&mut sent);
            let outside = read(&sent, 20);
            assert!(outside >= FIRST_PORT && outside != 40_000 && !seen.contains(&outside));
            assert_eq!(read(&sent, 26), checksum(&sent));
            let mut answer = udp(7_882, outside, b"hello yourself");
            assert!(nat.inward(&mut answer));
            assert_eq!(read(&answer, 22), 40_000);
            assert_eq!(read(&answer, 26), checksum(&answer));
            seen.push(outside);
        }
        for outside in [40_000, seen[0], seen[1]] {
            assert!(!nat.inward(&mut udp(7_882, outside, b"late")));
        }
    }

    #[test]
    fn two_flows_never_share_a_port_and_the_oldest_is_forgotten() {
        let mut nat = Nat::default();
        nat.rebind();
        let mut outside = Vec::new();
        for inside in 0..=MAX_FLOWS as u16 {
            let mut sent = udp(50_000 + inside, 7_882, b"x");
            nat.outward(&mut sent);
            assert!(!outside.contains(&read(&sent, 20)));
            outside.push(read(&sent, 20));
        }
        assert!(!nat.inward(&mut udp(7_882, outside[0], b"x")));
        assert!(nat.inward(&mut udp(7_882, outside[1], b"x")));
    }

    #[test]
    fn what_is_no_udp_is_left_alone_and_what_is_cut_short_does_no_harm() {
        let mut nat = Nat::default();
        nat.rebind();
        let whole = udp(40_000, 7_882, b"x");
        let mut tcp = whole.clone();
        tcp[9] = 6;
        let mut fragment = whole.clone();
        fragment[7] = 1;
        for before in [tcp, fragment] {
            let mut after = before.clone();
            nat.outward(&mut after);
            assert!(nat.inward(&mut after));
            assert_eq!(after, before);
        }
        for length in 0..whole.len() {
            let mut short = whole[..length].to_vec();
            nat.outward(&mut short);
            let _ = nat.inward(&mut short);
        }
        let mut unsummed = whole;
        unsummed[26..28].copy_from_slice(&[0, 0]);
        nat.outward(&mut unsummed);
        assert_eq!(read(&unsummed, 26), 0);
    }
}
