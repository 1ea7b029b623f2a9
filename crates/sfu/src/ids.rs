//! A map by ids that this node's own control plane gives out. Nobody outside chooses them, so that
//! no hash has to stand against collisions made on purpose; each packet asks several times.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type ById<V> = HashMap<u64, V, BuildHasherDefault<Spread>>;

/// Multiplies by 2^64 over the golden ratio, which spreads ids that count up (Knuth, TAOCP 6.4), and
/// folds the halves of the product: the map takes a place from the low bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread(u64);

const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Spread {
    fn write_u64(&mut self, id: u64) {
        let product = u128::from(self.0 ^ id) * GOLDEN;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn ids_that_count_up_or_differ_high_are_spread() {
        let hash = |id: u64| BuildHasherDefault::<Spread>::default().hash_one(id);
        for step in [1, 16, 1 << 32, 1 << 48] {
            let low: HashSet<u64> = (0..256).map(|n| hash(n * step) % 1_024).collect();
            assert!(low.len() > 150, "{} places with steps of {step}", low.len());
        }
    }

    #[test]
    fn what_was_put_is_found() {
        let mut map = ById::default();
        map.extend((0..1_000).map(|id| (id << 20, id)));
        assert!((0..1_000).all(|id| map.get(&(id << 20)) == Some(&id)));
    }
}
