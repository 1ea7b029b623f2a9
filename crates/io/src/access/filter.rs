//! What an access network lets through at all: a firewall that drops without a word.

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Everything passes unless it is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub no_udp: bool,
    /// The only ports of servers outside that TCP reaches; None is any.
    pub tcp_ports: Option<Vec<u16>>,
}

impl Filter {
    /// Whether an IPv4 packet passes; `up`: it is on its way out, to a server. Of a datagram in
    /// fragments only the first has ports, and TCP is never fragmented.
    pub(super) fn passes(&self, packet: &[u8], up: bool) -> bool {
        match (packet.get(9), &self.tcp_ports) {
            (Some(&UDP), _) => !self.no_udp,
            (Some(&TCP), Some(ports)) => {
                server_port(packet, up).is_some_and(|port| ports.contains(&port))
            }
            _ => true,
        }
    }
}

fn server_port(packet: &[u8], up: bool) -> Option<u16> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let at = if up { header + 2 } else { header };
    let port = packet.get(at..at + 2)?;
    Some(u16::from_be_bytes(port.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, from: u16, to: u16, options: u8) -> Vec<u8> {
        let mut packet = vec![0; 20 + usize::from(options) * 4];
        packet[0] = 0x45 + options;
        packet[9] = protocol;
        packet.extend(from.to_be_bytes());
        packet.extend(to.to_be_bytes());
        packet
    }

    #[test]
    fn udp_and_other_ports_are_dropped_where_they_are_told_to_be() {
        let open = Filter::default();
        let strict = Filter {
            no_udp: true,
            tcp_ports: Some(vec![443]),
        };
        let icmp = packet(1, 0, 0, 0);
        for options in [0, 3] {
            let udp = packet(UDP, 50_000, 443, options);
            let out = packet(TCP, 50_000, 443, options);
            let back = packet(TCP, 443, 50_000, options);
            let other = packet(TCP, 50_000, 7_881, options);
            for any in [&udp, &out, &back, &other, &icmp] {
                assert!(open.passes(any, true));
            }
            assert!(!strict.passes(&udp, true));
            assert!(strict.passes(&out, true) && strict.passes(&back, false));
            assert!(!strict.passes(&out, false) && !strict.passes(&back, true));
            assert!(!strict.passes(&other, true));
        }
        assert!(strict.passes(&icmp, true));
        assert!(
            !strict.passes(&packet(TCP, 1, 443, 0)[..21], true),
            "cut off"
        );
    }
}
