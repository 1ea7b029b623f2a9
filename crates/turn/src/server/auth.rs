//! Who asks: the long-term credential mechanism (RFC 8489 section 9.2.4).

use std::time::Instant;

use turn_types::message::ALLOCATE;
use turn_types::stun::attribute::{ErrorCode, Nonce, Realm, Username};
use turn_types::stun::message::{IntegrityKey, Message, ValidateError};

use super::{Client, Server};
use crate::answer::Answer;
use crate::credentials::Credentials;

/// A request's sender.
pub(super) struct User {
    pub(super) name: String,
    pub(super) key: IntegrityKey,
}

impl Server {
    /// The authentic sender of a request, or the answer that refuses it.
    ///
    /// An allocation lives on under credentials that expired meanwhile: they are looked at when
    /// one is made, so that a call outlasts them and a new one can't.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Result<User, Vec<u8>> {
        let name = message.attribute::<Username>();
        let realm = message.attribute::<Realm>();
        let nonce = message.attribute::<Nonce>();
        let (name, realm, nonce) = match (name, realm, nonce) {
            (Ok(name), Ok(realm), Ok(nonce)) => (name, realm, nonce),
            (Err(_), Err(_), Err(_)) => {
                // Every client's first request: no fault of its own.
                return Err(self.challenge(client, message, ErrorCode::UNAUTHORIZED));
            }
            _ => {
                self.counts.malformed += 1;
                return Err(Answer::error(message, ErrorCode::BAD_REQUEST).unsigned());
            }
        };
        let nonce = nonce.nonce();
        if !self.nonces.is_fresh(self.unix_s, client.from, nonce) {
            self.counts.stale_nonces += 1;
            return Err(self.challenge(client, message, ErrorCode::STALE_NONCE));
        }
        let own = Credentials::of(name.username(), &self.config.secret, &self.config.realm);
        let authentic = own.filter(|credentials| {
            let checked: Result<_, ValidateError> =
                message.validate_integrity_with_key(&credentials.key);
            realm.realm() == self.config.realm && checked.is_ok()
        });
        let Some(credentials) = authentic else {
            self.counts.unauthorized += 1;
            return Err(self.challenge(client, message, ErrorCode::UNAUTHORIZED));
        };
        let allocation = self.allocations.get(&client);
        let live = allocation.filter(|allocation| now < allocation.expires);
        if live.is_some_and(|allocation| allocation.username != name.username()) {
            self.counts.wrong_user += 1;
            let answer = Answer::error(message, ErrorCode::WRONG_CREDENTIALS);
            return Err(answer.signed(&credentials.key));
        }
        if message.has_method(ALLOCATE) && credentials.expires_unix_s <= self.unix_s {
            self.counts.expired_credentials += 1;
            return Err(self.challenge(client, message, ErrorCode::UNAUTHORIZED));
        }
        Ok(User {
            name: name.username().to_owned(),
            key: credentials.key,
        })
    }

    fn challenge(&self, client: Client, message: &Message<'_>, code: u16) -> Vec<u8> {
        let nonce = self.nonces.make(self.unix_s, client.from);
        Answer::challenge(message, code, &self.config.realm, &nonce).unsigned()
    }
}
