//! The one door between Python and the packet path: commands down, events up, no packet.

mod access;
mod load;
mod simulator;

use std::sync::{Mutex, MutexGuard, PoisonError};

use io::{Command, NodeConfig, Shell, StartError};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The Rust half of fairlead. What it holds is written down in `_core.pyi`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::Node;
    #[pymodule_export]
    use super::access::AccessNetwork;
    #[pymodule_export]
    use super::load::Load;
    #[pymodule_export]
    use super::simulator::Simulator;

    /// Of the Rust sources that this library was built from; `fairlead._guard` compares it.
    #[pymodule_export]
    const SOURCE_HASH: &str = env!("FAIRLEAD_SOURCE_HASH");

    /// Built for speed: figures of another library mean nothing.
    #[pymodule_export]
    const OPTIMIZED: bool = cfg!(not(debug_assertions));
}

/// One node's packet threads. Commands go down, events come up; no packet does.
#[pyclass(frozen, module = "fairlead._core")]
struct Node {
    shell: Mutex<Option<Shell>>,
}

#[pymethods]
impl Node {
    /// Start from a msgpack `NodeConfig`. Raises ValueError if it can't be used and OSError if a
    /// port can't be bound.
    #[new]
    fn new(py: Python<'_>, config: &[u8]) -> PyResult<Node> {
        let started =
            NodeConfig::decode(config).and_then(|config| py.detach(|| Shell::start(&config)));
        match started {
            Ok(shell) => Ok(Node {
                shell: Mutex::new(Some(shell)),
            }),
            Err(StartError::Config(text)) => Err(PyValueError::new_err(text)),
            Err(StartError::Io(error)) => Err(PyOSError::new_err(error.to_string())),
        }
    }

    /// Queue a msgpack `Command`. Raises ValueError if it can't be read or the node is closed.
    fn handle(&self, command: &[u8]) -> PyResult<()> {
        let command = Command::decode(command).map_err(PyValueError::new_err)?;
        let shell = self.lock();
        let shell = shell.as_ref().ok_or_else(closed)?;
        shell
            .handle(command)
            .map_err(|refused| PyRuntimeError::new_err(refused.to_string()))
    }

    /// Every msgpack `Event` since the last call; nothing once the node is closed.
    fn drain<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let events = self.lock().as_ref().map(Shell::drain).unwrap_or_default();
        events
            .iter()
            .map(|event| PyBytes::new(py, &event.encode()))
            .collect()
    }

    /// A descriptor that is readable while events wait. Don't read or close it.
    fn fileno(&self) -> PyResult<i32> {
        self.read(Shell::fd)
    }

    /// Stop the threads and close the sockets; a second call does nothing.
    fn close(&self, py: Python<'_>) {
        let shell = self.lock().take();
        py.detach(|| drop(shell));
    }

    #[getter]
    fn udp_port(&self) -> PyResult<u16> {
        self.read(Shell::udp_port)
    }

    #[getter]
    fn tcp_port(&self) -> PyResult<u16> {
        self.read(Shell::tcp_port)
    }

    #[getter]
    fn mesh_ports(&self) -> PyResult<Vec<u16>> {
        self.read(|shell| shell.mesh_ports().to_vec())
    }

    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.read(Shell::public_key)?))
    }
}

impl Node {
    fn read<T>(&self, get: impl FnOnce(&Shell) -> T) -> PyResult<T> {
        self.lock().as_ref().map(get).ok_or_else(closed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Shell>> {
        self.shell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> PyErr {
    PyValueError::new_err("this node is closed: make a new one")
}
