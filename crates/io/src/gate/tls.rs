//! The certificate, read again when its files change: renewing one needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::config::StartError;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What a client may name as its protocol (RFC 7443); one that names none is told apart by what
/// it sends.
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"stun.turn"];

pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    written: Option<(SystemTime, SystemTime)>,
    look_at: Instant,
}

impl Tls {
    pub(super) fn read(certificate: &str, key: &str, now: Instant) -> Result<Tls, StartError> {
        let (certificate, key) = (PathBuf::from(certificate), PathBuf::from(key));
        Ok(Tls {
            config: load(&certificate, &key).map_err(StartError::Config)?,
            written: written(&certificate, &key),
            look_at: now + LOOK_INTERVAL,
            certificate,
            key,
        })
    }

    /// Reads the files again if they changed. False: they are not usable, and the old ones stay.
    pub(super) fn reload(&mut self, now: Instant) -> bool {
        if now < self.look_at {
            return true;
        }
        self.look_at = now + LOOK_INTERVAL;
        let written = written(&self.certificate, &self.key);
        if written == self.written {
            return true;
        }
        let Ok(config) = load(&self.certificate, &self.key) else {
            return false;
        };
        (self.config, self.written) = (config, written);
        true
    }

    pub(super) fn accept(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let broken = |path: &Path, what: &str, error: &dyn std::fmt::Display| {
        let path = path.display();
        format!("{path} holds no {what} that can be used ({error}): give a file in PEM")
    };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<CertificateDer<'static>> =
        chain.map_err(|error| broken(certificate, "certificate", &error))?;
    if chain.is_empty() {
        return Err(broken(certificate, "certificate", &"it has none"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| broken(key, "key", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map_err(|error| broken(key, "key for the certificate", &error))?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn written(certificate: &Path, key: &Path) -> Option<(SystemTime, SystemTime)> {
    let at = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    };
    Some((at(certificate)?, at(key)?))
}
