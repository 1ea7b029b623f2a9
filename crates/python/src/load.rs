//! A run of the load client, on threads of its own: a spec goes in, lines of JSON come out.

use std::sync::Mutex;
use std::time::Duration;

use load_client::Run;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// The longest that Python waits in one call: signals are heard in between.
const MAX_WAIT_S: f64 = 3600.0;

/// Many clients that don't decode, on threads of their own.
#[pyclass(frozen, module = "fairlead._core")]
pub(crate) struct Load {
    run: Mutex<Run>,
}

#[pymethods]
impl Load {
    /// Begin. Raises ValueError on a spec that can't be used.
    #[new]
    fn new(spec: &[u8]) -> PyResult<Load> {
        let run = Run::start(spec).map_err(PyValueError::new_err)?;
        Ok(Load {
            run: Mutex::new(run),
        })
    }

    /// The next line, or None if there is none in that time.
    fn next(&self, py: Python<'_>, within_s: f64) -> PyResult<Option<String>> {
        let within = Duration::try_from_secs_f64(within_s.min(MAX_WAIT_S)).map_err(|_| {
            PyValueError::new_err(format!("within_s is {within_s}: give 0 or more"))
        })?;
        py.detach(|| {
            let run = self.run.lock().map_err(|_| ended())?;
            run.next(within).map_err(|_| ended())
        })
    }

    /// End early: the last line follows, with what was counted so far.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| {
            if let Ok(run) = self.run.lock() {
                run.stop();
            }
        });
    }
}

fn ended() -> PyErr {
    PyRuntimeError::new_err("the run has said its last line")
}
