//! Explicit congestion notification in IPv4 headers (RFC 3168).

const CODEPOINT: u8 = 0b11;
const CONGESTED: u8 = 0b11;
/// Where the type of service stands, and the checksum of the header.
const SERVICE: usize = 1;
const CHECKSUM: usize = 10;
const HEADER: usize = 20;

/// Whether its ends understand a mark.
pub(crate) fn is_capable(packet: &[u8]) -> bool {
    packet.len() >= HEADER && packet[SERVICE] & CODEPOINT != 0
}

/// Says that the packet met congestion, and mends the checksum (RFC 1624).
pub(crate) fn mark(packet: &mut [u8]) {
    if packet.len() < HEADER {
        return;
    }
    let before = u16::from_be_bytes([packet[0], packet[SERVICE]]);
    packet[SERVICE] |= CONGESTED;
    let after = u16::from_be_bytes([packet[0], packet[SERVICE]]);
    let sum = u16::from_be_bytes([packet[CHECKSUM], packet[CHECKSUM + 1]]);
    let mut mended = u32::from(!sum) + u32::from(!before) + u32::from(after);
    while mended > 0xffff {
        mended = (mended & 0xffff) + (mended >> 16);
    }
    packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!(mended as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(header: &[u8]) -> u16 {
        let words = header
            .chunks(2)
            .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    fn header(service: u8) -> Vec<u8> {
        let mut header = vec![0x45, service, 0, 40, 7, 7, 0x40, 0, 64, 17, 0, 0];
        header.extend([10, 98, 1, 2, 10, 98, 0, 1]);
        let checksum = !sum(&header);
        header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    #[test]
    fn only_what_is_capable_is_marked_and_its_checksum_holds() {
        assert!(!is_capable(&header(0b1011_1000)));
        assert!(!is_capable(&[0x45, 2]));
        for service in [0b01, 0b10, 0b1011_1010] {
            let mut packet = header(service);
            assert!(is_capable(&packet));
            mark(&mut packet);
            assert_eq!(packet[SERVICE], service | 0b11);
            assert_eq!(sum(&packet), 0xffff);
        }
    }
}
