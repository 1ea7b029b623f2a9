//! The keys of a connection, as they come out of its handshake: str0m takes them and keeps them, and what
//! it can't be told to send has to be sealed here (`srtcp.rs` beside this).

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
    SrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider};

/// What the handshake agreed on (RFC 5764).
pub(crate) struct Keying {
    pub(crate) profile: SrtpProfile,
    /// Both sides' keys, then both sides' salts, the DTLS client's first.
    pub(crate) material: Vec<u8>,
    /// This side is the DTLS client.
    pub(crate) client: bool,
}

/// Set once the handshake is done.
pub(crate) type Keys = Arc<OnceLock<Keying>>;

thread_local! {
    /// Of the connection that this thread made last, until it is taken.
    static MADE: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

/// The keys of the connection that was just made, in this thread, with a provider of `kept`.
pub(crate) fn of_made() -> Keys {
    MADE.with_borrow_mut(Option::take).unwrap_or_default()
}

/// The same provider, which also shows each connection's keys.
pub(crate) fn kept(provider: CryptoProvider) -> CryptoProvider {
    static KEPT: OnceLock<Kept> = OnceLock::new();
    let dtls_provider = KEPT.get_or_init(|| Kept(provider.dtls_provider));
    CryptoProvider {
        dtls_provider,
        ..provider
    }
}

#[derive(Debug)]
struct Kept(&'static dyn DtlsProvider);

impl DtlsProvider for Kept {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        dtls_version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = self.0.new_dtls(cert, now, dtls_version, mtu)?;
        let keys = Keys::default();
        MADE.set(Some(Arc::clone(&keys)));
        Ok(Box::new(Shown { inner, keys }))
    }

    fn is_test(&self) -> bool {
        self.0.is_test()
    }
}

struct Shown {
    inner: Box<dyn DtlsInstance>,
    keys: Keys,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl DtlsInstance for Shown {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let keying = Keying {
                profile: *profile,
                material: material.to_vec(),
                client: self.inner.is_active(),
            };
            // A second handshake would be another connection's.
            let _ = self.keys.set(keying);
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
