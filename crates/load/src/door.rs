//! Opening signal connections on threads of their own, so that nobody's packets wait for them.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::Waker;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::Uri;
use tungstenite::{ClientRequestBuilder, Error, WebSocket};

/// Joins under way at once.
const THREADS: usize = 4;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(15);

/// Who wants in, and how.
pub(crate) struct Knock {
    pub(crate) client: usize,
    pub(crate) address: SocketAddr,
    pub(crate) uri: Uri,
    pub(crate) token: String,
}

pub(crate) struct Opened {
    pub(crate) client: usize,
    /// Before the first packet of the TCP connection.
    pub(crate) asked_at: Instant,
    /// Err: a sentence without its subject.
    pub(crate) socket: Result<WebSocket<TcpStream>, String>,
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

fn connect(knock: Knock) -> Result<WebSocket<TcpStream>, String> {
    let plain = |error: std::io::Error| format!("can't reach the server: {error}");
    let stream = TcpStream::connect_timeout(&knock.address, CONNECT_PATIENCE).map_err(plain)?;
    stream.set_nodelay(true).map_err(plain)?;
    stream
        .set_read_timeout(Some(HANDSHAKE_PATIENCE))
        .map_err(plain)?;
    let request = ClientRequestBuilder::new(knock.uri)
        .with_header("Authorization", format!("Bearer {}", knock.token));
    let (socket, _) = tungstenite::client(request, stream).map_err(|error| match error {
        HandshakeError::Interrupted(_) => "had no answer to its join in time".to_owned(),
        HandshakeError::Failure(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            format!("was refused with status {}: {text}", response.status())
        }
        HandshakeError::Failure(error) => format!("could not join: {error}"),
    })?;
    socket.get_ref().set_nonblocking(true).map_err(plain)?;
    Ok(socket)
}
