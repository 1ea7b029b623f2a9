//! Opening signal connections on threads of their own, so that nobody's packets wait for them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::Waker;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::Uri;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{ClientRequestBuilder, Connector, Error, WebSocket};

/// Joins under way at once, on each of the run's threads.
const THREADS: usize = 8;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// The longest reason that a server may give for a refusal.
const MAX_REASON: usize = 200;

pub(crate) type Stream = MaybeTlsStream<TcpStream>;

/// A server, found.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) base: String,
    pub(crate) address: SocketAddr,
    /// From which this machine reaches it.
    pub(crate) from: IpAddr,
    /// Of a wss:// address.
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Place {
    /// Looks a server up. Err: a sentence.
    pub(crate) fn find(url: &str) -> Result<Place, String> {
        let bad = |why: &str| format!("{url} can't be used: {why}");
        let uri: Uri = url
            .parse()
            .map_err(|_| bad("write it as ws://127.0.0.1:7880"))?;
        let (secure, port) = match uri.scheme_str() {
            Some("ws" | "http") => (false, 80),
            Some("wss" | "https") => (true, 443),
            _ => return Err(bad("begin it with ws:// or wss://")),
        };
        let host = uri.host().ok_or_else(|| bad("it names no host"))?;
        let place = (
            host.trim_matches(['[', ']']),
            uri.port_u16().unwrap_or(port),
        );
        let found = place.to_socket_addrs();
        let mut found = found.map_err(|error| bad(&format!("{host} is not found ({error})")))?;
        let address = found
            .next()
            .ok_or_else(|| bad(&format!("{host} has no address")))?;
        let scheme = if secure { "wss" } else { "ws" };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let path = uri.path().trim_end_matches('/');
        Ok(Place {
            base: format!("{scheme}://{authority}{path}"),
            address,
            from: towards(address).map_err(|error| bad(&format!("no way there ({error})")))?,
            tls: secure.then(trust).transpose().map_err(|why| bad(&why))?,
        })
    }
}

/// This machine's address on the way to another.
fn towards(address: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    // Connecting a UDP socket sends nothing.
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}

/// The certificates that this system trusts.
fn trust() -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    let (known, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if known == 0 {
        return Err(
            "this system has no certificates to check it by: install ca-certificates".into(),
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// The socket below, for waiting on it.
pub(crate) fn descriptor(stream: &Stream) -> RawFd {
    match stream {
        MaybeTlsStream::Rustls(stream) => stream.sock.as_raw_fd(),
        MaybeTlsStream::Plain(stream) => stream.as_raw_fd(),
        _ => -1,
    }
}

/// Who wants in, and how.
pub(crate) struct Knock {
    pub(crate) client: usize,
    pub(crate) place: Place,
    pub(crate) uri: Uri,
    pub(crate) token: String,
}

pub(crate) struct Opened {
    pub(crate) client: usize,
    /// Before the first packet of the TCP connection.
    pub(crate) asked_at: Instant,
    /// Err: a sentence without its subject.
    pub(crate) socket: Result<WebSocket<Stream>, String>,
}

/// The threads end when this is dropped.
pub(crate) struct Door {
    knocks: Sender<Knock>,
    opened: Receiver<Opened>,
}

impl Door {
    /// `waker` is called after each connection, opened or refused.
    pub(crate) fn new(waker: Waker) -> Door {
        let (knocks, waiting) = channel::<Knock>();
        let (done, opened) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let waker = Arc::new(waker);
        for _ in 0..THREADS {
            let (waiting, done, waker) = (waiting.clone(), done.clone(), waker.clone());
            std::thread::spawn(move || {
                loop {
                    let knock = {
                        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        waiting.recv()
                    };
                    let Ok(knock) = knock else {
                        return;
                    };
                    if done.send(open(knock)).is_err() {
                        return;
                    }
                    // The run polls anyway, only later, if the wake is lost.
                    let _ = waker.wake();
                }
            });
        }
        Door { knocks, opened }
    }

    pub(crate) fn knock(&self, knock: Knock) {
        // The threads live as long as the sender.
        let _ = self.knocks.send(knock);
    }

    pub(crate) fn opened(&self) -> Option<Opened> {
        self.opened.try_recv().ok()
    }
}

fn open(knock: Knock) -> Opened {
    let asked_at = Instant::now();
    Opened {
        client: knock.client,
        asked_at,
        socket: connect(knock),
    }
}

fn connect(knock: Knock) -> Result<WebSocket<Stream>, String> {
    let plain = |error: std::io::Error| format!("can't reach the server: {error}");
    let stream =
        TcpStream::connect_timeout(&knock.place.address, CONNECT_PATIENCE).map_err(plain)?;
    stream.set_nodelay(true).map_err(plain)?;
    stream
        .set_read_timeout(Some(HANDSHAKE_PATIENCE))
        .map_err(plain)?;
    let request = ClientRequestBuilder::new(knock.uri)
        .with_header("Authorization", format!("Bearer {}", knock.token));
    let connector = knock.place.tls.map_or(Connector::Plain, Connector::Rustls);
    let opened = tungstenite::client_tls_with_config(request, stream, None, Some(connector));
    let (socket, _) = opened.map_err(refusal)?;
    let below = match socket.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => &stream.sock,
        _ => return Err("has a connection of an unknown kind".to_owned()),
    };
    below.set_nonblocking(true).map_err(plain)?;
    Ok(socket)
}

fn refusal<S: Read + Write>(error: HandshakeError<tungstenite::ClientHandshake<S>>) -> String {
    match error {
        HandshakeError::Interrupted(_) => "had no answer to its join in time".to_owned(),
        HandshakeError::Failure(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let text = String::from_utf8_lossy(&body);
            let text: String = text.trim().chars().take(MAX_REASON).collect();
            format!("was refused with status {}: {text}", response.status())
        }
        HandshakeError::Failure(error) => format!("could not join: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_by_its_address() {
        let place = Place::find("ws://127.0.0.1:7880/").expect("loopback");
        assert_eq!(place.address, ([127, 0, 0, 1], 7880).into());
        assert_eq!(place.from, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(place.base, "ws://127.0.0.1:7880");
        let http = Place::find("http://127.0.0.1").expect("loopback");
        assert_eq!(
            (http.base.as_str(), http.address.port()),
            ("ws://127.0.0.1", 80)
        );
    }

    #[test]
    fn an_address_that_cannot_be_used_is_named() {
        let refused = |url| Place::find(url).err().expect("refused");
        assert!(refused("ftp://127.0.0.1").contains("begin it with ws://"));
        assert!(refused("not a url").contains("write it as"));
        assert!(refused("ws://nowhere.invalid").contains("nowhere.invalid is not found"));
    }
}
