//! A network in virtual time for Python's deciders: `sim::World` behind a lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use io::Command;
use netem::{Loss, Wander, Weather};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sim::{Fault, Kind, LOBBY, PublisherId, World};
use wire::RoomKey;

const MAX_NODES: u16 = 1000;
/// Packets lost in a row where a brown-out is asked for, mean.
const BURST: f64 = 4.0;

/// See `_core.pyi`.
#[pyclass(frozen, module = "fairlead._core")]
pub struct Simulator {
    world: Mutex<World>,
    nodes: u16,
}

/// Published, received, then milliseconds: delay median, p99 and most, and the longest gap.
type Figures = (usize, usize, f64, f64, f64, f64);
type Route = (Vec<u16>, Option<Vec<u16>>);

#[pymethods]
impl Simulator {
    #[new]
    #[pyo3(signature = (seed, nodes, *, pairs = 4, stub = false))]
    fn new(seed: u64, nodes: u16, pairs: u8, stub: bool) -> PyResult<Simulator> {
        if nodes == 0 || nodes > MAX_NODES {
            return Err(wrong("nodes", nodes, "1 to 1000"));
        }
        if pairs == 0 || usize::from(pairs) > mesh::MAX_PAIRS {
            return Err(wrong("pairs", pairs, "1 to 4"));
        }
        let mut world = World::new(seed, io::now());
        if !stub {
            world.govern();
        }
        world.set_pairs(pairs);
        world.add_nodes(nodes);
        let world = Mutex::new(world);
        Ok(Simulator { world, nodes })
    }

    #[pyo3(signature = (
        a, b, *, delay_ms, jitter_ms = 0.0, loss = 0.0, burst = 1.0, rate_kbps = None,
        wander_ms = 0.0
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn add_path(
        &self,
        a: u16,
        b: u16,
        delay_ms: f64,
        jitter_ms: f64,
        loss: f64,
        burst: f64,
        rate_kbps: Option<u64>,
        wander_ms: f64,
    ) -> PyResult<()> {
        self.known(a)?;
        self.known(b)?;
        if a == b {
            return Err(wrong("b", b, "another node than a"));
        }
        let wander = Wander {
            // From one bound to the other in some seconds of going one way.
            step: ms("wander_ms", wander_ms / 20.0)?,
            max: ms("wander_ms", wander_ms)?,
        };
        let weather = Weather {
            jitter: ms("jitter_ms", jitter_ms)?,
            loss: losses(loss, burst)?,
            rate: rate_kbps.map(|kbps| kbps * 1000),
            wander: (wander_ms > 0.0).then_some(wander),
            ..Weather::delayed(ms("delay_ms", delay_ms)?)
        };
        self.lock().add_path(a, b, weather);
        Ok(())
    }

    fn restrict(&self, room: &[u8], tag: u32, nodes: Vec<u16>) -> PyResult<()> {
        self.lock().restrict(room_key(room)?, tag, &nodes);
        Ok(())
    }

    #[pyo3(signature = (node, kind, room = None))]
    fn publish(&self, node: u16, kind: &str, room: Option<&[u8]>) -> PyResult<usize> {
        self.known(node)?;
        let kind = match kind {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            "upper" => Kind::Upper,
            other => return Err(wrong("kind", other, "audio, video, upper")),
        };
        let room = room.map(room_key).transpose()?.unwrap_or(LOBBY);
        Ok(self.lock().publish_in(room, node, kind).0)
    }

    fn subscribe(&self, node: u16, publisher: usize) -> PyResult<()> {
        self.known(node)?;
        self.lock()
            .subscribe(node, PublisherId(publisher))
            .ok_or_else(|| wrong("publisher", publisher, "one that publish() gave"))
    }

    fn chat(&self, room: &[u8], node: u16, to: Vec<u16>, reliable: bool) -> PyResult<()> {
        self.known(node)?;
        self.lock().chat(room_key(room)?, node, &to, reliable);
        Ok(())
    }

    #[pyo3(signature = (at, kind, a, b = 0, value = 0.0))]
    fn fault(&self, at: f64, kind: &str, a: u16, b: u16, value: f64) -> PyResult<()> {
        self.known(a)?;
        let fault = fault(kind, a, b, value)?;
        let mut world = self.lock();
        let after = seconds("at", at)?.checked_sub(world.time());
        let after = after.ok_or_else(|| wrong("at", at, "now or later"))?;
        world.fault(after, fault);
        Ok(())
    }

    fn public_key<'py>(&self, py: Python<'py>, node: u16) -> PyResult<Bound<'py, PyBytes>> {
        self.known(node)?;
        Ok(PyBytes::new(py, &self.lock().public_key(node)))
    }

    fn addresses(&self, node: u16) -> PyResult<Vec<String>> {
        self.known(node)?;
        Ok(self.lock().addresses(node))
    }

    fn handle(&self, node: u16, command: &[u8]) -> PyResult<()> {
        self.known(node)?;
        let command = Command::decode(command).map_err(PyValueError::new_err)?;
        self.lock().command(node, command);
        Ok(())
    }

    fn advance<'py>(
        &self,
        py: Python<'py>,
        until: f64,
    ) -> PyResult<Vec<(f64, u16, Bound<'py, PyBytes>)>> {
        let until = seconds("until", until)?;
        let told = py.detach(|| self.lock().advance(until));
        let told = told.into_iter().map(|told| {
            let event = PyBytes::new(py, &told.event.encode());
            (told.at.as_secs_f64(), told.node, event)
        });
        Ok(told.collect())
    }

    /// Python speaks of f64 seconds: a time that it was told must compare as it is.
    #[getter]
    fn now(&self) -> f64 {
        self.lock().time().as_secs_f64()
    }

    #[getter]
    fn trace(&self) -> u64 {
        self.lock().trace()
    }

    #[getter]
    fn violations(&self) -> Vec<String> {
        self.lock().violations().to_vec()
    }

    #[getter]
    fn datagrams(&self) -> u64 {
        self.lock().datagrams()
    }

    #[getter]
    fn bytes_sent(&self) -> u64 {
        self.lock().bytes_sent()
    }

    #[getter]
    fn route_changes(&self) -> u64 {
        self.lock().route_changes()
    }

    fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts()
    }

    fn subscriptions(&self) -> Vec<(u16, usize)> {
        let subscriptions = self.lock().subscriptions();
        subscriptions.into_iter().map(|(n, p)| (n, p.0)).collect()
    }

    fn figures(&self, node: u16, publisher: usize, begin: f64, end: f64) -> PyResult<Figures> {
        let window = (seconds("begin", begin)?, seconds("end", end)?);
        let figures = self.lock().figures(node, PublisherId(publisher), window);
        let f = figures.ok_or_else(|| wrong("publisher", publisher, "one that publish() gave"))?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (p50, p99, most) = (ms(f.delay_p50), ms(f.delay_p99), ms(f.delay_max));
        Ok((f.published, f.received, p50, p99, most, ms(f.gap)))
    }

    #[pyo3(signature = (node, to, tag = 0))]
    fn route(&self, node: u16, to: u16, tag: u32) -> Option<Route> {
        self.lock().route(node, to, tag)
    }

    #[pyo3(signature = (ms))]
    fn set_gap_budget(&self, ms: Option<f64>) -> PyResult<()> {
        let budget = ms.map(|value| self::ms("ms", value)).transpose()?;
        self.lock().set_gap_budget(budget);
        Ok(())
    }

    fn set_route_budget(&self, changes: usize) {
        self.lock().set_route_budget(changes);
    }

    #[pyo3(signature = (again = false))]
    fn probe(&self, again: bool) {
        self.lock().probe(again);
    }

    fn check_probes(&self) {
        self.lock().check_probes();
    }
}

impl Simulator {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, node: u16) -> PyResult<()> {
        match (1..=self.nodes).contains(&node) {
            true => Ok(()),
            false => Err(wrong("node", node, &format!("1 to {}", self.nodes))),
        }
    }
}

fn fault(kind: &str, a: u16, b: u16, value: f64) -> PyResult<Fault> {
    let cut = !kind.starts_with("mend");
    let none = Loss::None;
    Ok(match kind {
        "cut" | "mend" => Fault::Weather {
            a,
            b,
            loss: none,
            cut,
        },
        "cut_way" | "mend_way" => Fault::OneWay {
            from: a,
            to: b,
            cut,
        },
        "cut_pair" | "mend_pair" => Fault::Pair {
            a,
            b,
            pair: value as u8,
            cut,
        },
        "brownout" => Fault::Brownout {
            a,
            b,
            loss: losses(value, BURST)?,
            delay: Duration::from_millis(20),
        },
        "clear" => Fault::Brownout {
            a,
            b,
            loss: none,
            delay: Duration::ZERO,
        },
        "narrow" => Fault::Narrow {
            a,
            b,
            rate: (value > 0.0).then_some((value * 1e3) as u64),
        },
        "short" => Fault::Short {
            a,
            b,
            max_bytes: if value > 0.0 {
                value as usize
            } else {
                usize::MAX
            },
        },
        "kill" => Fault::Kill { node: a },
        "start" => Fault::Start { node: a },
        "restart" => Fault::Restart { node: a },
        "clock" => Fault::Clock {
            node: a,
            by: seconds("value", value)?,
        },
        "grey" => Fault::Grey {
            node: a,
            grey: value != 0.0,
        },
        "lie" => Fault::Lie {
            node: a,
            factor: value,
        },
        other => {
            return Err(wrong(
                "kind",
                other,
                "cut, mend, cut_way, mend_way, cut_pair, mend_pair, brownout, clear, narrow, \
                 short, kill, start, restart, clock, grey, lie",
            ));
        }
    })
}

pub(crate) fn losses(share: f64, burst: f64) -> PyResult<Loss> {
    if !(0.0..=1.0).contains(&share) {
        return Err(wrong("loss", share, "0.0 to 1.0"));
    }
    if share == 0.0 {
        return Ok(Loss::None);
    }
    if burst <= 1.0 || share == 1.0 {
        return Ok(Loss::Random(share as f32));
    }
    Ok(Loss::Bursts {
        good_packets: (burst * (1.0 - share) / share) as f32,
        bad_packets: burst as f32,
        bad_loss: 1.0,
    })
}

fn room_key(bytes: &[u8]) -> PyResult<RoomKey> {
    let key = bytes.try_into().map(RoomKey);
    key.map_err(|_| wrong("room", format!("{} bytes", bytes.len()), "16 bytes"))
}

fn ms(name: &str, value: f64) -> PyResult<Duration> {
    seconds(name, value / 1e3)
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| wrong(name, value, "0 or more"))
}

pub(crate) fn wrong(name: &str, value: impl std::fmt::Display, allowed: &str) -> PyErr {
    PyValueError::new_err(format!("{name} is {value}; allowed: {allowed}"))
}
