//! Writing what the server says.

use std::net::SocketAddr;

use turn_types::attribute::{Data, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_types::channel::ChannelData;
use turn_types::message::DATA;
use turn_types::stun::attribute::{
    AttributeType, ErrorCode, Nonce, Realm, Software, UnknownAttributes, XorMappedAddress,
};
use turn_types::stun::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageWriteVec, TransactionId,
};
use turn_types::stun::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};

const SOFTWARE: &str = "Fairlead";

/// An answer on its way: attributes first, a signature last.
pub(crate) struct Answer {
    message: MessageWriteVec,
}

impl Answer {
    pub(crate) fn success(to: &Message<'_>) -> Answer {
        let message = Message::builder_success(to, MessageWriteVec::new());
        Answer { message }
    }

    pub(crate) fn error(to: &Message<'_>, code: u16) -> Answer {
        let message = Message::builder_error(to, MessageWriteVec::new());
        let mut answer = Answer { message };
        let reason = ErrorCode::default_reason_for_code(code);
        if let Ok(error) = ErrorCode::new(code, reason) {
            answer.add(&error);
        }
        answer
    }

    /// With what a client needs to sign its next request.
    pub(crate) fn challenge(to: &Message<'_>, code: u16, realm: &str, nonce: &str) -> Answer {
        let mut answer = Answer::error(to, code);
        if let (Ok(realm), Ok(nonce)) = (Realm::new(realm), Nonce::new(nonce)) {
            answer.add(&realm);
            answer.add(&nonce);
        }
        answer
    }

    pub(crate) fn unknown(to: &Message<'_>, attributes: &[AttributeType]) -> Answer {
        let mut answer = Answer::error(to, ErrorCode::UNKNOWN_ATTRIBUTE);
        answer.add(&UnknownAttributes::new(attributes));
        answer
    }

    pub(crate) fn mapped(mut self, to: &Message<'_>, address: SocketAddr) -> Answer {
        self.add(&XorMappedAddress::new(address, to.transaction_id()));
        self
    }

    pub(crate) fn relayed(mut self, to: &Message<'_>, address: SocketAddr) -> Answer {
        self.add(&XorRelayedAddress::new(address, to.transaction_id()));
        self
    }

    pub(crate) fn lifetime(mut self, seconds: u32) -> Answer {
        self.add(&Lifetime::new(seconds));
        self
    }

    pub(crate) fn signed(mut self, key: &IntegrityKey) -> Vec<u8> {
        self.software();
        // Fails only when a signature is there already.
        let _ = self
            .message
            .add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1);
        self.message.finish()
    }

    pub(crate) fn unsigned(mut self) -> Vec<u8> {
        self.software();
        self.message.finish()
    }

    fn software(&mut self) {
        if let Ok(software) = Software::new(SOFTWARE) {
            self.add(&software);
        }
    }

    fn add(&mut self, attribute: &dyn AttributeWrite) {
        // Fails only past 64 KiB, or after a signature, which comes last.
        let _ = self.message.add_attribute(attribute);
    }
}

/// A peer's data for a client without a channel. None: it is too long to be framed.
pub(crate) fn data_indication(
    peer: SocketAddr,
    bytes: &[u8],
    transaction: TransactionId,
) -> Option<Vec<u8>> {
    if bytes.len() > crate::MAX_MESSAGE {
        return None;
    }
    use turn_types::stun::message::{MessageClass, MessageType};
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    let _ = message.add_attribute(&XorPeerAddress::new(peer, transaction));
    let _ = message.add_attribute(&Data::new(bytes));
    Some(message.finish())
}

/// A peer's data on a channel, padded on a stream.
pub(crate) fn channel_data(number: u16, bytes: &[u8], stream: bool) -> Option<Vec<u8>> {
    if bytes.len() > crate::MAX_MESSAGE {
        return None;
    }
    let mut message = vec![0; bytes.len() + 4];
    ChannelData::new(number, bytes).write_into_unchecked(&mut message);
    if stream {
        message.resize(message.len().next_multiple_of(4), 0);
    }
    Some(message)
}
