//! A running hash over what happened, to tell whether two runs were the same.

#[derive(Clone, Copy)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace(0xcbf2_9ce4_8422_2325)
    }

    /// A word at a time, FNV-1a's step and a rotation so that high bits count too.
    pub(crate) fn note(&mut self, words: &[u64]) {
        for word in words {
            let mixed = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
            self.0 = mixed.rotate_left(29);
        }
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}
