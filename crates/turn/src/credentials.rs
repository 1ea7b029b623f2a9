//! Credentials that expire: the REST API convention (draft-uberti-behave-turn-rest-00) over the
//! long-term mechanism of RFC 8489 section 9.2.
//!
//! The name is `EXPIRY:NAME`, EXPIRY in seconds since 1970; the password is the base64 of the
//! HMAC-SHA1 of the name under a secret that the signalling side shares.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use turn_types::stun::message::{IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials};

/// What a name says, and what its messages are signed with.
#[derive(Clone)]
pub struct Credentials {
    pub expires_unix_s: u64,
    pub(crate) key: IntegrityKey,
}

impl Credentials {
    /// None if the name isn't of ours.
    pub(crate) fn of(name: &str, secret: &[u8], realm: &str) -> Option<Credentials> {
        let (expiry, who) = name.split_once(':')?;
        let digits = !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit());
        let expires_unix_s = expiry.parse().ok().filter(|_| digits && !who.is_empty())?;
        let credentials =
            LongTermKeyCredentials::new(name.to_owned(), password(name, secret), realm.to_owned());
        let key = credentials.make_key(IntegrityAlgorithm::Sha1);
        Some(Credentials {
            expires_unix_s,
            key,
        })
    }
}

/// The name for `who` until a time.
pub fn username(expires_unix_s: u64, who: &str) -> String {
    format!("{expires_unix_s}:{who}")
}

/// The password that goes with a name.
pub fn password(username: &str, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    BASE64_STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}
