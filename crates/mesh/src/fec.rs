//! Parity on one hop: what was lost is computed from what came, without asking for it.
//!
//! A sliding window of random linear combinations (the idea of RFC 8681, not its format): each
//! parity datagram is a sum over GF(256) of the latest numbered datagrams, with coefficients
//! that both ends derive from its number. Decision 7 has the figures that chose it over blocks.

mod gf256;
mod rate;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use rate::{Hop, Rate};
pub(crate) use window::{Decoder, Encoding, Recovered};

/// The most numbered datagrams that one parity datagram covers.
pub(crate) const MAX_WINDOW: usize = 128;
