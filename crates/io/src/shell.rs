//! A running node: its threads, and the two queues between them and their owner.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mio::Poll;
use node::{Command, Event};
use wire::NodeId;

use crate::addresses::Addresses;
use crate::clock;
use crate::config::{NodeConfig, StartError};
use crate::gate::{self, Gate, GateInbox};
use crate::queue::{COMMAND_CAPACITY, Events, Inbox};
use crate::socket;
use crate::stun;
use crate::worker::{self, Core, Sockets, Worker};

/// A command that was not queued.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a worker has {COMMAND_CAPACITY} commands waiting: its thread has stopped or the machine is \
     overloaded; read the Fatal event or restart the node"
)]
pub struct Refused;

/// What every worker and the owner share.
pub(crate) struct Shared {
    pub(crate) inboxes: Vec<Inbox>,
    pub(crate) events: Events,
    /// The counters of each worker and, last, of the gate, as of their last ticks.
    pub(crate) figures: Mutex<Vec<BTreeMap<String, u64>>>,
    pub(crate) udp_port: u16,
    pub(crate) tcp_port: u16,
    /// The way to relayed addresses, where there is a gate.
    pub(crate) gate: Option<GateInbox>,
}

impl Shared {
    /// The worker of the participant that a STUN request names.
    pub(crate) fn named_owner(&self, bytes: &[u8]) -> Option<u16> {
        let participant = node::participant_of_ufrag(stun::local_ufrag(bytes)?)?;
        Some((participant % self.inboxes.len() as u64) as u16)
    }
}

/// One node's packet threads. Dropping it stops them and closes every socket.
pub struct Shell {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    mesh_ports: Vec<u16>,
    turn_port: u16,
    front_port: u16,
    public_key: [u8; 32],
}

impl Shell {
    /// Binds the sockets and starts the threads.
    pub fn start(config: &NodeConfig) -> Result<Shell, StartError> {
        config.check()?;
        let private_key = private_key(&config.private_key)?;
        let mut public_key = [0; 32];
        let node = NodeId(config.node);
        let workers = config.workers;
        let core = |worker: u16, addresses: &Addresses, udp_port, tcp_ports: &[u16]| {
            let core = node::Node::new(
                node::Config {
                    worker,
                    workers,
                    node,
                    udp_candidates: addresses.candidates(udp_port),
                    tcp_candidates: tcp_ports
                        .iter()
                        .flat_map(|&port| addresses.candidates(port))
                        .collect(),
                    mesh: (worker == 0).then(|| mesh::Config {
                        ports: config.mesh_ports,
                        ..mesh::Config::new(node, private_key, config.seed)
                    }),
                },
                clock::now(),
            );
            public_key = core.public_key().unwrap_or(public_key);
            core
        };
        let mut shell = Shell::start_with(config, core)?;
        shell.public_key = public_key;
        Ok(shell)
    }

    /// Starts threads around whatever `core` makes for (worker, addresses, UDP port, TCP ports).
    pub(crate) fn start_with<C: Core>(
        config: &NodeConfig,
        mut core: impl FnMut(u16, &Addresses, u16, &[u16]) -> C,
    ) -> Result<Shell, StartError> {
        let bind = address(&config.bind, "bind")?;
        let listed = config
            .addresses
            .iter()
            .map(|text| address(text, "addresses"));
        let listed = listed.collect::<Result<Vec<IpAddr>, StartError>>()?;
        let addresses = Addresses::new(bind, &listed).map_err(StartError::Config)?;

        let clients = socket::udp_group(bind, config.udp_port, config.workers)?;
        let mesh = socket::udp_row(bind, config.mesh_port, config.mesh_ports)?;
        let listener = socket::tcp_listener(bind, config.tcp_port)?;
        let udp_port = clients[0].local_addr()?.port();
        let tcp_port = listener.local_addr()?.port();
        let mesh_ports = mesh.iter().map(|mesh| Ok(mesh.local_addr()?.port()));
        let mesh_ports = mesh_ports.collect::<io::Result<Vec<u16>>>()?;

        let gate_sockets = gate::Sockets::bind(config, bind)?;
        let (turn_port, front_port) = gate_sockets
            .as_ref()
            .map_or((0, 0), |sockets| (sockets.turn_port, sockets.front_port));
        let mut tcp_ports = vec![tcp_port];
        tcp_ports.extend((front_port != 0).then_some(front_port));

        let mut polls = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..config.workers {
            let poll = Poll::new()?;
            inboxes.push(Inbox::new(mio::Waker::new(poll.registry(), worker::WAKE)?));
            polls.push(poll);
        }
        let mut gate = None;
        let mut gate_inbox = None;
        if let Some(sockets) = gate_sockets {
            let poll = Poll::new()?;
            let waker = mio::Waker::new(poll.registry(), gate::WAKE)?;
            gate_inbox = Some(GateInbox::new(waker));
            gate = Some((sockets, poll));
        }
        let figures = Mutex::new(vec![BTreeMap::new(); inboxes.len() + 1]);
        let events = Events::new()?;
        let shared = Arc::new(Shared {
            inboxes,
            events,
            figures,
            udp_port,
            tcp_port,
            gate: gate_inbox,
        });

        let mut shell = Shell {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
            mesh_ports,
            turn_port,
            front_port,
            public_key: [0; 32],
        };
        let (mut mesh, mut listener) = (mesh, Some(listener));
        for ((index, poll), clients) in (0..config.workers).zip(polls).zip(clients) {
            let sockets = Sockets {
                clients,
                mesh: std::mem::take(&mut mesh),
                listener: listener.take(),
            };
            let worker = Worker::new(
                index,
                core(index, &addresses, udp_port, &tcp_ports),
                Arc::clone(&shared),
                poll,
                sockets,
                addresses.clone(),
                config.seed,
            )?;
            let thread = spawn(&index.to_string(), &shared, move || worker.run())?;
            shell.threads.push(thread);
        }
        if let Some((sockets, poll)) = gate {
            let gate = Gate::new(config, Arc::clone(&shared), poll, sockets, addresses)?;
            let thread = spawn("gate", &shared, move || gate.run())?;
            shell.threads.push(thread);
        }
        Ok(shell)
    }

    /// Queues a command for the worker that it concerns, or for all of them.
    pub fn handle(&self, command: Command) -> Result<(), Refused> {
        let inboxes = &self.shared.inboxes;
        let accepted = match command.participant() {
            Some(participant) => {
                inboxes[(participant % inboxes.len() as u64) as usize].command(command)
            }
            None => {
                let mut all = true;
                for inbox in inboxes {
                    all &= inbox.command(command.clone());
                }
                all
            }
        };
        if accepted { Ok(()) } else { Err(Refused) }
    }

    /// Every event since the last call, oldest first.
    pub fn drain(&self) -> Vec<Event> {
        self.shared.events.drain()
    }

    /// A descriptor that is readable while events wait. It is the shell's: don't read or close it.
    pub fn fd(&self) -> RawFd {
        self.shared.events.fd()
    }

    pub fn udp_port(&self) -> u16 {
        self.shared.udp_port
    }

    pub fn tcp_port(&self) -> u16 {
        self.shared.tcp_port
    }

    /// TURN over UDP and TCP; 0 without.
    pub fn turn_port(&self) -> u16 {
        self.turn_port
    }

    /// The one TCP port for everything; 0 without.
    pub fn front_port(&self) -> u16 {
        self.front_port
    }

    /// Of the mesh, by number.
    pub fn mesh_ports(&self) -> &[u16] {
        &self.mesh_ports
    }

    /// X25519: what peers pin this node by.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// Stops the threads, waits for them and closes every socket.
    pub fn close(self) {}
}

impl Drop for Shell {
    fn drop(&mut self) {
        for inbox in &self.shared.inboxes {
            inbox.stop();
        }
        if let Some(gate) = &self.shared.gate {
            gate.stop();
        }
        for thread in self.threads.drain(..) {
            // A panic was caught and reported within the thread.
            let _ = thread.join();
        }
    }
}

fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (thread, shared) = (name.to_owned(), Arc::clone(shared));
    let name = format!("fairlead-{name}");
    std::thread::Builder::new().name(name).spawn(move || {
        let reason = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("packet thread {thread} lost a socket: {error}"),
            Err(panic) => format!(
                "packet thread {thread} panicked: {}",
                text_of(panic.as_ref())
            ),
        };
        shared.events.push([Event::Fatal { reason }]);
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn address(text: &str, field: &str) -> Result<IpAddr, StartError> {
    text.parse().map_err(|_| {
        StartError::Config(format!(
            "{field} has {text:?}, which is no IP address: write one as 192.0.2.1"
        ))
    })
}

fn private_key(given: &[u8]) -> Result<[u8; 32], StartError> {
    if let Ok(key) = <[u8; 32]>::try_from(given) {
        return Ok(key);
    }
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| {
        StartError::Io(io::Error::other(
            "the system gave no random bytes for a new private key",
        ))
    })?;
    Ok(key)
}
