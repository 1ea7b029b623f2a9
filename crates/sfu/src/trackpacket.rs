//! A packet of a LiveKit data track on its way through: whether it can be read, and whose handle is
//! in it.
//!
//! ```text
//! version 3 bits, start 1, final 1, extensions 1, reserved 10 | handle 2 | sequence 2 | frame 2
//!     | timestamp 4 | (words 2 | n x (id 1, length 1, bytes) | padding) if extended | payload
//! ```
//! `words`: of 4 bytes, what the extensions take with the two bytes of the count, less one. An id of
//! 0 begins the padding. What is in extensions and payload is between clients.

use std::ops::Range;

/// The longest packet that is taken. SDKs send 16,000 bytes at most; a data channel's message is
/// 64 KiB where nobody says otherwise.
pub(crate) const MAX_PACKET: usize = 60 * 1024;

const HEADER: usize = 12;
const HANDLE: Range<usize> = 2..4;
/// The only version there is.
const VERSION: u8 = 0;
const EXTENDED: u8 = 1 << 2;
const WORDS: Range<usize> = 12..14;
const WORD: usize = 4;
const PADDING: u8 = 0;

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    TooLong,
    /// It ends within its header or its extensions.
    Short,
    /// A version whose header we don't know.
    Version,
    /// Handles are 1 to 65535.
    NoHandle,
    /// An extension that is longer than all of them.
    Extension,
}

/// The handle in a packet that is as it should be.
pub(crate) fn handle(packet: &[u8]) -> Result<u16, Bad> {
    if packet.len() > MAX_PACKET {
        return Err(Bad::TooLong);
    }
    if packet.len() < HEADER {
        return Err(Bad::Short);
    }
    if packet[0] >> 5 != VERSION {
        return Err(Bad::Version);
    }
    if packet[0] & EXTENDED != 0 {
        check(extensions(packet).ok_or(Bad::Short)?)?;
    }
    match number(packet, HANDLE) {
        None | Some(0) => Err(Bad::NoHandle),
        Some(handle) => Ok(handle),
    }
}

/// Put another handle into a packet; one without room for it stays as it is.
pub(crate) fn readdress(packet: &mut [u8], handle: u16) {
    if let Some(place) = packet.get_mut(HANDLE) {
        place.copy_from_slice(&handle.to_be_bytes());
    }
}

fn extensions(packet: &[u8]) -> Option<&[u8]> {
    let words = usize::from(number(packet, WORDS)?);
    let length = (words + 1) * WORD - WORDS.len();
    packet.get(WORDS.end..)?.get(..length)
}

fn check(mut extensions: &[u8]) -> Result<(), Bad> {
    while let [id, rest @ ..] = extensions {
        if *id == PADDING {
            return Ok(());
        }
        let [length, rest @ ..] = rest else {
            return Err(Bad::Extension);
        };
        extensions = rest.get(usize::from(*length)..).ok_or(Bad::Extension)?;
    }
    Ok(())
}

fn number(packet: &[u8], place: Range<usize>) -> Option<u16> {
    let bytes = packet.get(place)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Start and end of a frame in one, sequence 7, frame 3.
    const PLAIN: [u8; 14] = [0x18, 0, 0x12, 0x34, 0, 7, 0, 3, 0, 0, 0, 9, b'h', b'i'];

    fn extended(words: u16, extensions: &[u8]) -> Vec<u8> {
        let mut packet = PLAIN[..HEADER].to_vec();
        packet[0] |= EXTENDED;
        packet.extend(words.to_be_bytes());
        packet.extend_from_slice(extensions);
        packet
    }

    #[test]
    fn the_handle_is_read_and_replaced_and_nothing_else() {
        let mut packet = PLAIN;
        assert_eq!(handle(&packet), Ok(0x1234));
        readdress(&mut packet, 0xabcd);
        assert_eq!(handle(&packet), Ok(0xabcd));
        readdress(&mut packet, 0x1234);
        assert_eq!(packet, PLAIN);
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_refused() {
        for length in 0..HEADER {
            assert_eq!(handle(&PLAIN[..length]), Err(Bad::Short));
        }
        assert_eq!(handle(&PLAIN[..HEADER]), Ok(0x1234));
        for version in 1..8 {
            let mut packet = PLAIN;
            packet[0] |= version << 5;
            assert_eq!(handle(&packet), Err(Bad::Version));
        }
        let mut packet = PLAIN;
        readdress(&mut packet, 0);
        assert_eq!(handle(&packet), Err(Bad::NoHandle));
        let mut long = PLAIN.to_vec();
        long.resize(MAX_PACKET, 0);
        assert_eq!(handle(&long), Ok(0x1234));
        long.push(0);
        assert_eq!(handle(&long), Err(Bad::TooLong));
    }

    #[test]
    fn extensions_fit_into_their_words_and_words_into_the_packet() {
        // A timestamp of 8 bytes, then an unknown one, then padding.
        let fine = [2, 8, 1, 2, 3, 4, 5, 6, 7, 8, 200, 1, 9, 0];
        assert_eq!(handle(&extended(3, &fine)), Ok(0x1234));
        assert_eq!(handle(&extended(3, &fine[..13])), Err(Bad::Short));
        assert_eq!(handle(&extended(u16::MAX, &fine)), Err(Bad::Short));
        assert_eq!(handle(&extended(3, &fine)[..13]), Err(Bad::Short));
        // Its length goes beyond the words, into what would be payload.
        assert_eq!(handle(&extended(0, &[2, 8, 1, 2, 3])), Err(Bad::Extension));
        // An id without a length.
        assert_eq!(handle(&extended(0, &[0, 8])), Ok(0x1234));
        let odd = [5, 3, 1, 2, 3, 9];
        assert_eq!(handle(&extended(1, &odd)), Err(Bad::Extension));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_readable(bytes in prop::collection::vec(any::<u8>(), 0..64), to: u16) {
            let mut bytes = bytes;
            let before = handle(&bytes);
            readdress(&mut bytes, to);
            if before.is_ok() && to > 0 {
                prop_assert_eq!(handle(&bytes), Ok(to));
            }
        }
    }
}
