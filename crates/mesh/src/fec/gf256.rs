//! Arithmetic in GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d, generator 2).

const POLYNOMIAL: u8 = 0x1d;

const fn product(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut sum) = (a, b, 0);
    while b != 0 {
        if b & 1 != 0 {
            sum ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { POLYNOMIAL } else { 0 };
        b >>= 1;
    }
    sum
}

const INVERSES: [u8; 256] = {
    // The inverse of 2^i is 2^(255 - i).
    let mut powers = [1u8; 256];
    let mut i = 1;
    while i < 256 {
        powers[i] = product(powers[i - 1], 2);
        i += 1;
    }
    let mut inverses = [0u8; 256];
    let mut i = 0;
    while i < 255 {
        inverses[powers[i] as usize] = powers[255 - i];
        i += 1;
    }
    inverses
};

pub(super) fn multiply(a: u8, b: u8) -> u8 {
    product(a, b)
}

/// Of a number that is not 0.
pub(super) fn inverse(a: u8) -> u8 {
    assert_ne!(a, 0, "0 has no inverse");
    INVERSES[usize::from(a)]
}

/// Add `factor` times `source` to the front of `sum`, which is at least as long.
///
/// Bit by bit over all bytes at once: the compiler makes vector instructions of it, which beats
/// a look-up per byte.
pub(super) fn multiply_add(sum: &mut [u8], source: &[u8], factor: u8) {
    let sum = &mut sum[..source.len()];
    if factor == 1 {
        for (sum, byte) in sum.iter_mut().zip(source) {
            *sum ^= byte;
        }
        return;
    }
    let masks: [u8; 8] = std::array::from_fn(|bit| 0u8.wrapping_sub(factor >> bit & 1));
    for (sum, byte) in sum.iter_mut().zip(source) {
        let (mut power, mut product) = (*byte, 0);
        for mask in masks {
            product ^= power & mask;
            power = (power << 1) ^ (POLYNOMIAL & ((power as i8) >> 7) as u8);
        }
        *sum ^= product;
    }
}

/// Multiply every byte.
pub(super) fn scale(bytes: &mut [u8], factor: u8) {
    let row: [u8; 256] = std::array::from_fn(|byte| product(byte as u8, factor));
    for byte in bytes {
        *byte = row[usize::from(*byte)];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_number_but_0_has_an_inverse() {
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a)), 1);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_field(a: u8, b: u8, c: u8) {
            prop_assert_eq!(multiply(a, b), multiply(b, a));
            prop_assert_eq!(multiply(a, multiply(b, c)), multiply(multiply(a, b), c));
            prop_assert_eq!(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
        }

        #[test]
        fn slices_are_like_bytes(bytes: Vec<u8>, factor: u8, more in 0usize..40) {
            let mut sum = vec![7; bytes.len() + more];
            multiply_add(&mut sum, &bytes, factor);
            let mut scaled = bytes.clone();
            scale(&mut scaled, factor);
            for (i, sum) in sum.into_iter().enumerate() {
                let product = bytes.get(i).map_or(0, |byte| multiply(*byte, factor));
                prop_assert_eq!(sum, 7 ^ product);
                prop_assert!(scaled.get(i).is_none_or(|scaled| *scaled == product));
            }
        }
    }
}
