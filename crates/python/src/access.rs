//! Emulated access networks for Python's field lab: `io::access` behind a lock.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use io::access::{Access, AccessError, Lateness, Way};
use netem::{Cross, Loss, MAX_DOWNLOADS, Spread, Weather};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::simulator::{losses, wrong};

/// An hour: more is a mistake of units.
const MAX_MS: f64 = 3_600_000.0;
/// 100 Gb/s.
const MAX_KBPS: u64 = 100_000_000;
const MAX_BURST: f64 = 1_000_000.0;
/// Of outages, which take two figures.
const PAIRED: &str = "a time, both of outage_every_ms and of outage_ms";
/// The queue before a rate where none is named: the default of RFC 8867.
const QUEUE_MS: f64 = 300.0;

/// See `_core.pyi`.
#[pyclass(frozen, module = "fairlead._core")]
pub struct AccessNetwork {
    /// None once closed.
    access: Mutex<Option<Access>>,
}

#[pymethods]
impl AccessNetwork {
    #[new]
    fn new(seed: u64) -> PyResult<AccessNetwork> {
        let access = Access::start(seed).map_err(raised)?;
        Ok(AccessNetwork {
            access: Mutex::new(Some(access)),
        })
    }

    fn add_link(&self, py: Python<'_>, inside: &str, outside: &str) -> PyResult<usize> {
        self.ask(py, |access| access.add_link(inside, outside))
    }

    #[pyo3(signature = (
        link, way, *, delay_ms = 0.0, jitter_ms = 0.0, loss = 0.0, burst = 1.0,
        outage_every_ms = None, outage_ms = None, rate_kbps = None, queue_ms = None, cut = false,
        hold = false, codel = false, cross_kbps = 0, cross_downloads = 0
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn set(
        &self,
        py: Python<'_>,
        link: usize,
        way: &str,
        delay_ms: f64,
        jitter_ms: f64,
        loss: f64,
        burst: f64,
        outage_every_ms: Option<f64>,
        outage_ms: Option<f64>,
        rate_kbps: Option<u64>,
        queue_ms: Option<f64>,
        cut: bool,
        hold: bool,
        codel: bool,
        cross_kbps: u64,
        cross_downloads: u8,
    ) -> PyResult<()> {
        let way = direction(way)?;
        within("burst", burst, 1.0..=MAX_BURST)?;
        let loss = match (outage_every_ms, outage_ms) {
            (None, None) => match losses(loss, burst)? {
                Loss::Random(share) => Loss::Scheduled(share),
                other => other,
            },
            (Some(every), Some(last)) => outages(every, last, loss, burst)?,
            (Some(_), None) => return Err(wrong("outage_ms", "None", PAIRED)),
            (None, Some(_)) => return Err(wrong("outage_every_ms", "None", PAIRED)),
        };
        let rate = rate_kbps.map(rate).transpose()?;
        let queue_bytes = match (rate, queue_ms) {
            (Some(rate), queue) => {
                Weather::queue_of(ms("queue_ms", queue.unwrap_or(QUEUE_MS))?, rate)
            }
            (None, None) => Weather::QUEUE_BYTES,
            (None, Some(queue)) => {
                return Err(wrong("queue_ms", queue, "a time only with rate_kbps"));
            }
        };
        let weather = Weather {
            jitter: ms("jitter_ms", jitter_ms)?,
            spread: Spread::Gaussian,
            loss,
            rate,
            queue_bytes,
            cut,
            hold,
            codel,
            ..Weather::delayed(ms("delay_ms", delay_ms)?)
        };
        let cross = others(cross_kbps, cross_downloads, rate.is_some())?;
        self.ask(py, |access| {
            access.set(link, way, weather)?;
            access.share(link, way, cross)
        })
    }

    fn rebind(&self, py: Python<'_>, link: usize) -> PyResult<()> {
        self.ask(py, |access| access.rebind(link))
    }

    fn tally(
        &self,
        py: Python<'_>,
        link: usize,
        way: &str,
    ) -> PyResult<BTreeMap<&'static str, u64>> {
        let way = direction(way)?;
        let tally = self.ask(py, |access| access.tally(link, way))?;
        Ok(BTreeMap::from([
            ("delivered", tally.delivered),
            ("lost", tally.lost),
            ("dropped", tally.dropped),
            ("marked", tally.marked),
            ("cross", tally.cross),
            ("refused", tally.refused),
            ("not_ipv4", tally.not_ipv4),
            ("under_way", tally.under_way),
            ("gone", tally.gone.into()),
        ]))
    }

    fn lateness(&self, py: Python<'_>) -> PyResult<(f64, f64, f64)> {
        let Lateness { p50, p99, max } = self.ask(py, Access::lateness)?;
        let ms = |micros: u64| micros as f64 / 1e3;
        Ok((ms(p50), ms(p99), ms(max)))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.lock().take()));
    }
}

impl AccessNetwork {
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        question: impl FnOnce(&Access) -> Result<T, AccessError> + Send,
    ) -> PyResult<T> {
        let answer = py.detach(|| self.lock().as_ref().map(question));
        let closed = || PyValueError::new_err("this access network is closed: make a new one");
        answer.ok_or_else(closed)?.map_err(raised)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Access>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn raised(error: AccessError) -> PyErr {
    let text = error.to_string();
    match error {
        AccessError::NoLink(_) | AccessError::Full | AccessError::Name(_) => {
            PyValueError::new_err(text)
        }
        AccessError::Device { .. } | AccessError::System(_) => PyOSError::new_err(text),
        AccessError::Ended => PyRuntimeError::new_err(text),
    }
}

fn direction(way: &str) -> PyResult<Way> {
    match way {
        "up" => Ok(Way::Up),
        "down" => Ok(Way::Down),
        other => Err(wrong("way", other, "up, down")),
    }
}

/// All is lost while one lasts, or the share that is asked for.
fn outages(every_ms: f64, last_ms: f64, share: f64, burst: f64) -> PyResult<Loss> {
    if burst != 1.0 {
        return Err(wrong("burst", burst, "1 where there are outages"));
    }
    within("loss", share, 0.0..=1.0)?;
    Ok(Loss::Outages {
        every: ms("outage_every_ms", every_ms)?,
        last: ms("outage_ms", last_ms)?,
        share: if share == 0.0 { 1.0 } else { share as f32 },
    })
}

/// Traffic of others: only where there is a rate to share.
fn others(kbps: u64, downloads: u8, narrow: bool) -> PyResult<Cross> {
    if kbps > 0 && !narrow {
        return Err(wrong("cross_kbps", kbps, "more than 0 only with rate_kbps"));
    }
    if downloads > 0 && !narrow {
        let allowed = "more than 0 only with rate_kbps";
        return Err(wrong("cross_downloads", downloads, allowed));
    }
    if kbps > MAX_KBPS {
        return Err(wrong("cross_kbps", kbps, &format!("0 to {MAX_KBPS}")));
    }
    if downloads > MAX_DOWNLOADS {
        let allowed = format!("0 to {MAX_DOWNLOADS}");
        return Err(wrong("cross_downloads", downloads, &allowed));
    }
    let paced = kbps * 1_000;
    Ok(Cross { paced, downloads })
}

/// Bits a second.
fn rate(kbps: u64) -> PyResult<u64> {
    match (1..=MAX_KBPS).contains(&kbps) {
        true => Ok(kbps * 1_000),
        false => Err(wrong("rate_kbps", kbps, &format!("1 to {MAX_KBPS}"))),
    }
}

fn ms(name: &str, value: f64) -> PyResult<Duration> {
    within(name, value, 0.0..=MAX_MS)?;
    Ok(Duration::from_secs_f64(value / 1e3))
}

fn within(name: &str, value: f64, range: RangeInclusive<f64>) -> PyResult<()> {
    match range.contains(&value) {
        true => Ok(()),
        false => {
            let allowed = format!("{} to {}", range.start(), range.end());
            Err(wrong(name, value, &allowed))
        }
    }
}
