//! Requests for packets as they are written (generic NACK, RFC 4585 section 6.2.1).

/// RTPFB, one header for all.
const HEAD: [u8; 2] = [0x80 | 1, 205];
/// Packets behind the first that an entry names.
const BEHIND: u64 = 16;

/// Ask the sender of `about` for these packets, in order.
pub(crate) fn write(sender: u32, about: u32, sequences: &[u64]) -> Vec<u8> {
    let mut entries: Vec<(u64, u16)> = vec![];
    for sequence in sequences {
        match entries.last_mut() {
            Some((first, behind)) if (1..=BEHIND).contains(&(sequence - *first)) => {
                *behind |= 1 << (sequence - *first - 1);
            }
            _ => entries.push((*sequence, 0)),
        }
    }
    let words = (2 + entries.len()) as u16;
    let mut packet = [HEAD[0], HEAD[1]].to_vec();
    packet.extend(words.to_be_bytes());
    packet.extend(sender.to_be_bytes());
    packet.extend(about.to_be_bytes());
    for (first, behind) in entries {
        packet.extend((first as u16).to_be_bytes());
        packet.extend(behind.to_be_bytes());
    }
    packet
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_asked_for_is_named_once() {
        let packet = write(1, 2, &[65_535, 65_536, 65_551, 65_552, 70_000]);
        let entries = [0xff, 0xff, 0x80, 0x01, 0, 16, 0, 0, 0x11, 0x70, 0, 0];
        assert_eq!(packet[..12], [0x81, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(packet[12..], entries);
    }
}
