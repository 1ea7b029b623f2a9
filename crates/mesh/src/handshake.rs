//! Noise IK between two nodes that know each other's static keys.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use snow::{Builder, HandshakeState};
use wire::{Datagram, NodeId};

use crate::session::Agreed;

const PATTERN: &str = "Noise_IK_25519_AESGCM_SHA256";
/// Ends with the version of everything that is said under the keys.
const PROLOGUE: &[u8] = b"fairlead link 1";
/// Node 2, epoch 8.
const PAYLOAD: usize = 10;
const MAX_NOISE: usize = 160;

/// The X25519 public key of a private one.
pub fn public_key(private_key: &[u8; 32]) -> [u8; 32] {
    PrivateKey::from_private_key(&X25519, private_key)
        .ok()
        .and_then(|key| key.compute_public_key().ok())
        .and_then(|key| key.as_ref().try_into().ok())
        .expect("every 32 bytes are an X25519 private key")
}

/// Who takes part: sent inside the handshake, so only the pinned peer reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    pub(crate) epoch: u64,
}

impl Identity {
    fn encode(self) -> [u8; PAYLOAD] {
        let mut bytes = [0; PAYLOAD];
        bytes[..2].copy_from_slice(&self.node.0.to_be_bytes());
        bytes[2..].copy_from_slice(&self.epoch.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Identity> {
        let (node, epoch) = bytes.split_first_chunk::<2>()?;
        Some(Identity {
            node: NodeId(u16::from_be_bytes(*node)),
            epoch: u64::from_be_bytes(epoch.try_into().ok()?),
        })
    }
}

/// A handshake begun here: the datagram to send (again) and the state that reads the answer.
pub(crate) struct Initiator {
    pub(crate) local: u32,
    pub(crate) datagram: Vec<u8>,
    state: HandshakeState,
}

impl Initiator {
    /// None if no handshake can be made with the peer's key.
    pub(crate) fn new(
        private_key: &[u8; 32],
        peer_key: &[u8; 32],
        us: Identity,
        local: u32,
    ) -> Option<Initiator> {
        let mut state = builder(private_key)
            .remote_public_key(peer_key)
            .and_then(Builder::build_initiator)
            .ok()?;
        let mut noise = [0; MAX_NOISE];
        let length = state.write_message(&us.encode(), &mut noise).ok()?;
        let mut datagram = Vec::new();
        Datagram::Initiate {
            sender: local,
            noise: &noise[..length],
        }
        .encode(&mut datagram);
        Some(Initiator {
            local,
            datagram,
            state,
        })
    }

    /// Read the answer; None if it is not from the pinned peer, with the state as it was.
    pub(crate) fn finish(&mut self, sender: u32, noise: &[u8]) -> Option<(Identity, Agreed)> {
        let mut payload = [0; MAX_NOISE];
        if noise.len() > MAX_NOISE {
            return None;
        }
        let length = self.state.read_message(noise, &mut payload).ok()?;
        let identity = Identity::decode(&payload[..length])?;
        let (seal, open) = self.state.dangerously_get_raw_split();
        let agreed = Agreed {
            local: self.local,
            remote: sender,
            epoch: identity.epoch,
            initiated: true,
            seal,
            open,
        };
        Some((identity, agreed))
    }
}

/// A handshake begun by someone else: authentic, whoever it is; still to be answered.
pub(crate) struct Responder {
    pub(crate) peer_key: [u8; 32],
    pub(crate) identity: Identity,
    sender: u32,
    state: HandshakeState,
}

impl Responder {
    /// Read the first message; None if it was not made for our key.
    pub(crate) fn read(private_key: &[u8; 32], sender: u32, noise: &[u8]) -> Option<Responder> {
        let mut state = builder(private_key)
            .build_responder()
            .expect("the key has 32 bytes");
        let mut payload = [0; MAX_NOISE];
        if noise.len() > MAX_NOISE {
            return None;
        }
        let length = state.read_message(noise, &mut payload).ok()?;
        Some(Responder {
            peer_key: state.get_remote_static()?.try_into().ok()?,
            identity: Identity::decode(&payload[..length])?,
            sender,
            state,
        })
    }

    /// The answer, and what is agreed once the peer has used it.
    pub(crate) fn answer(mut self, us: Identity, local: u32) -> Option<(Vec<u8>, Agreed)> {
        let mut noise = [0; MAX_NOISE];
        let length = self.state.write_message(&us.encode(), &mut noise).ok()?;
        let mut datagram = Vec::new();
        Datagram::Respond {
            sender: local,
            receiver: self.sender,
            noise: &noise[..length],
        }
        .encode(&mut datagram);
        let (open, seal) = self.state.dangerously_get_raw_split();
        let agreed = Agreed {
            local,
            remote: self.sender,
            epoch: self.identity.epoch,
            initiated: false,
            seal,
            open,
        };
        Some((datagram, agreed))
    }
}

fn builder(private_key: &[u8; 32]) -> Builder<'_> {
    Builder::new(PATTERN.parse().expect("a pattern that snow knows"))
        .local_private_key(private_key)
        .and_then(|builder| builder.prologue(PROLOGUE))
        .expect("each is set once")
}
