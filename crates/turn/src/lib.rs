//! A TURN server (RFC 8656) that relays to its own node's media alone: which message is answered
//! how, and what is passed on. It has no socket, clock or randomness, and opens no relayed one:
//! what a client sends to a peer is for this node, so its shell hands it over in memory.
//!
//! Messages are read and written by `turn-types` and `stun-types`.

mod address;
mod allocation;
mod answer;
mod budget;
mod counts;
mod credentials;
mod nonce;
mod server;
mod stream;

#[cfg(test)]
mod tests;

pub use address::{RELAY_V4, RELAY_V6, is_relayed};
pub use allocation::{
    ALLOCATION_BYTES_PER_S, CHANNEL_LIFETIME, DEFAULT_LIFETIME, MAX_LIFETIME, PERMISSION_LIFETIME,
    REQUESTS_PER_S,
};
pub use budget::{SOURCE_CAPACITY, SOURCE_REQUESTS_PER_S};
pub use counts::Counts;
pub use credentials::{Credentials, password, username};
pub use nonce::NONCE_LIFETIME;
pub use server::{Client, Config, Input, Outputs, Server, ToPeer, Transport};
pub use stream::{BadStream, MAX_MESSAGE, Splitter};
