//! What stands between the ends: the node as it ships, or a loop that only receives and sends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use io_shell::{Command, NodeConfig, Shell};
use mesh::public_key;

use super::socket::{MAX_SEGMENTS, Socket};
use super::{RECEIVER, RELAY, SENDER, any_port};
use fairlead_load::Failure;

const BARE_THREAD: &str = "bare-relay";
/// The name of the node's packet thread.
const NODE_THREAD: &str = "fairlead-0";

pub(super) struct Middle {
    pub(super) address: SocketAddr,
    thread: &'static str,
    _running: Running,
}

enum Running {
    Node {
        _shell: Shell,
    },
    Bare {
        ended: Arc<AtomicBool>,
        thread: Option<JoinHandle<io::Result<()>>>,
    },
}

impl Middle {
    /// A whole node, as it ships, that knows both ends.
    pub(super) fn node(key: [u8; 32], ends: (SocketAddr, SocketAddr)) -> Result<Middle, Failure> {
        let config = NodeConfig {
            node: RELAY.0,
            private_key: key.to_vec(),
            ..NodeConfig::default()
        };
        let shell = Shell::start(&config).map_err(io::Error::other)?;
        for (node, address) in [(SENDER, ends.0), (RECEIVER, ends.1)] {
            let peer = Command::AddPeer {
                node: node.0,
                public_key: public_key(&[node.0 as u8; 32]).to_vec().into(),
                addresses: vec![address.to_string()],
            };
            shell.handle(peer).map_err(io::Error::other)?;
        }
        let mut address = any_port();
        address.set_port(shell.mesh_ports()[0]);
        Ok(Middle {
            address,
            thread: NODE_THREAD,
            _running: Running::Node { _shell: shell },
        })
    }

    /// What comes from one end goes to the other.
    pub(super) fn bare(ends: (SocketAddr, SocketAddr)) -> Result<Middle, Failure> {
        let socket = Socket::open()?;
        let address = socket.address()?;
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name(BARE_THREAD.to_owned())
            .spawn({
                let ended = ended.clone();
                move || pass_on(socket, ends, &ended)
            })?;
        Ok(Middle {
            address,
            thread: BARE_THREAD,
            _running: Running::Bare {
                ended,
                thread: Some(thread),
            },
        })
    }

    /// Nanoseconds that the packet thread has run, user and system (proc(5), schedstat).
    pub(super) fn cpu_ns(&self) -> io::Result<u64> {
        for task in std::fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            if std::fs::read_to_string(path.join("comm"))?.trim() != self.thread {
                continue;
            }
            let text = std::fs::read_to_string(path.join("schedstat"))?;
            let first = text.split_whitespace().next();
            return first
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| io::Error::other("schedstat of /proc can't be read"));
        }
        Err(io::Error::other(format!(
            "there is no thread {}",
            self.thread
        )))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Running::Bare { ended, thread } = self {
            ended.store(true, Ordering::Relaxed);
            if let Some(thread) = thread.take() {
                // It only reads and writes a socket, which cannot panic.
                let _ = thread.join();
            }
        }
    }
}

fn pass_on(
    mut socket: Socket,
    ends: (SocketAddr, SocketAddr),
    ended: &AtomicBool,
) -> io::Result<()> {
    while !ended.load(Ordering::Relaxed) {
        socket.receive(Duration::from_millis(50), |outlet, from, bytes, size| {
            let to = if from == ends.0 { ends.1 } else { ends.0 };
            for contents in bytes.chunks(size * MAX_SEGMENTS) {
                outlet.send(to, contents, size)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
