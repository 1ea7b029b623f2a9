//! Nonces without state (RFC 8489 section 9.2): a stranger's first request costs no memory.
//!
//! A nonce holds when it was made and a tag over that and the address it was made for. A captured
//! request is of no use from another address, nor once its nonce is stale.

use std::net::SocketAddr;

use aws_lc_rs::{constant_time, hmac};

/// Seconds that a nonce is taken for.
pub const NONCE_LIFETIME: u64 = 600;

const TIME_DIGITS: usize = 16;
const TAG_BYTES: usize = 8;

pub(crate) struct Nonces {
    key: hmac::Key,
}

impl Nonces {
    pub(crate) fn new(secret: &[u8; 32]) -> Nonces {
        Nonces {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    pub(crate) fn make(&self, unix_s: u64, client: SocketAddr) -> String {
        format!("{unix_s:0TIME_DIGITS$x}{}", self.tag(unix_s, client))
    }

    /// Whether it was made for `client` within the last [`NONCE_LIFETIME`].
    pub(crate) fn is_fresh(&self, unix_s: u64, client: SocketAddr, nonce: &str) -> bool {
        let Some((time, tag)) = nonce.split_at_checked(TIME_DIGITS) else {
            return false;
        };
        let Ok(made) = u64::from_str_radix(time, 16) else {
            return false;
        };
        let authentic = self.tag(made, client);
        let matches = constant_time::verify_slices_are_equal(authentic.as_bytes(), tag.as_bytes());
        matches.is_ok() && made <= unix_s && unix_s - made <= NONCE_LIFETIME
    }

    fn tag(&self, unix_s: u64, client: SocketAddr) -> String {
        let signed = hmac::sign(&self.key, format!("{unix_s} {client}").as_bytes());
        signed.as_ref()[..TAG_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
