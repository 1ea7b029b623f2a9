//! Copies on second paths: what travels twice, and what that may cost.

/// What copies may cost; both limits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Protection {
    /// Of the bytes that go on first paths, 0 to 1.
    pub share: Option<f32>,
    /// Bits per second.
    pub rate: Option<u64>,
}
