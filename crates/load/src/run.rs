//! A run from its first join to its figures: a thread leads, others play the clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::crowd::{Client, Crowd, Standing};
use crate::door::Place;
use crate::failure::Failure;
use crate::figures::{Figures, Line, Progress};
use crate::media::Kind;
use crate::spec::{self, Spec};
use crate::stage::Stage;
use crate::tally::Tally;

/// How often the leader looks.
const LOOK: Duration = Duration::from_millis(20);
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often a crowd says where it stands.
const SAY_EVERY: Duration = Duration::from_millis(100);
/// Until everyone who speaks has begun to, and the crowds have said so.
const BEGIN_S: f64 = 0.5;
/// For the first packet of everyone to everyone.
const HEAR_PATIENCE: Duration = Duration::from_secs(30);

/// A run under way.
pub struct Run {
    lines: Receiver<String>,
    stop: Arc<AtomicBool>,
}

/// The run has said its last.
#[derive(Debug)]
pub struct Ended;

impl Run {
    /// Begins at once. Err: a sentence about the spec.
    pub fn start(json: &[u8]) -> Result<Run, String> {
        let spec = spec::read(json)?;
        let (said, lines) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn({
                let stop = stop.clone();
                move || lead(&spec, &said, &stop)
            })
            .map_err(|error| format!("the system gives no thread: {error}"))?;
        Ok(Run { lines, stop })
    }

    /// The next line of JSON; None if there is none in that time. The last is `done` or `failed`.
    pub fn next(&self, within: Duration) -> Result<Option<String>, Ended> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }

    /// Ends early: `done` follows, with what was counted so far.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }
}

impl Drop for Run {
    /// Its threads send everyone home and end by themselves.
    fn drop(&mut self) {
        self.stop();
    }
}

fn lead(spec: &Spec, said: &Sender<String>, stop: &AtomicBool) {
    let last = match play(spec, said, stop) {
        Ok(figures) => Line::Done(figures),
        Err(failure) => Line::Failed {
            reason: failure.to_string(),
            status: failure.status(),
        },
    };
    say(said, &last);
}

fn say(said: &Sender<String>, line: &Line) {
    if let Ok(text) = serde_json::to_string(line) {
        // Whoever listened is gone: the run is about to end.
        let _ = said.send(text);
    }
}

/// The servers of a spec, and everyone who joins them in this order: publishers first.
pub(crate) fn clients(spec: &Spec) -> Result<(Vec<Place>, Vec<Client>), Failure> {
    let (mut places, mut numbers) = (Vec::new(), BTreeMap::new());
    let publishers = (0..).zip(&spec.publishers).map(|(number, one)| {
        let publishes = Some((number, one.media));
        (&one.url, &one.token, one.room, publishes)
    });
    let subscribers = spec.subscribers.iter();
    let subscribers = subscribers.map(|one| (&one.url, &one.token, one.room, None));
    let mut clients = Vec::new();
    for (index, (url, token, room, publishes)) in publishers.chain(subscribers).enumerate() {
        let place = match numbers.get(url) {
            Some(&place) => place,
            None => {
                places.push(Place::find(url).map_err(Failure::Usage)?);
                numbers.insert(url, places.len() - 1);
                places.len() - 1
            }
        };
        let apart = match spec.joins_per_s {
            0.0 => 0.0,
            rate => index as f64 / rate,
        };
        clients.push(Client {
            place,
            token: token.clone(),
            room,
            publishes,
            due: (index > 0).then(|| Duration::from_secs_f64(apart)),
        });
    }
    Ok((places, clients))
}

pub(crate) fn stage(spec: &Spec, epoch: Instant) -> Stage {
    let publishers: Vec<(Kind, u32)> = spec
        .publishers
        .iter()
        .map(|one| (one.media, one.room))
        .collect();
    Stage::new(epoch, spec.shape(), &publishers, spec.late())
}

fn play(spec: &Spec, said: &Sender<String>, stop: &AtomicBool) -> Result<Figures, Failure> {
    let (places, clients) = clients(spec)?;
    let total = clients.len();
    let threads = spec.threads.min(total);
    let stage = stage(spec, Instant::now());
    let mut parts = vec![Vec::new(); threads];
    for (index, client) in clients.into_iter().enumerate() {
        parts[index % threads].push(client);
    }
    let standings: Vec<Mutex<Standing>> = parts
        .iter()
        .map(|part| {
            Mutex::new(Standing {
                coming: part.len(),
                ..Standing::default()
            })
        })
        .collect();
    std::thread::scope(|scope| {
        let crowds: Vec<_> = (0..)
            .zip(parts.into_iter().zip(&standings))
            .map(|(number, (part, standing))| {
                let (stage, places) = (&stage, places.as_slice());
                std::thread::Builder::new()
                    .name(format!("load-{number}"))
                    .spawn_scoped(scope, move || crowd(stage, places, spec, part, standing))
            })
            .collect::<Result<_, _>>()?;
        let mut leader = Leader {
            stage: &stage,
            standings: &standings,
            said,
            stop,
            total,
            phase: "joining",
            told: Instant::now(),
            before: Standing::default(),
            broken: false,
        };
        let led = leader.lead(spec);
        stage.finish();
        let mut tally = Tally::default();
        for crowd in crowds {
            let counted = crowd
                .join()
                .map_err(|_| std::io::Error::other("a thread of the load ended in a panic"))?;
            tally.add(counted?);
        }
        let led = led?;
        Ok(Figures::new(total, &led, &tally))
    })
}

/// One thread's clients, until the end.
fn crowd(
    stage: &Stage,
    places: &[Place],
    spec: &Spec,
    clients: Vec<Client>,
    standing: &Mutex<Standing>,
) -> Result<Tally, Failure> {
    let gone = Gone(standing);
    let mut crowd = Crowd::new(stage, places, spec.watch, clients)?;
    let (mut said, mut speaking) = (Instant::now(), false);
    while !stage.finished() {
        crowd.turn(said + SAY_EVERY)?;
        if !speaking && stage.is_speaking() {
            speaking = true;
            crowd.reschedule();
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            *gone.0.lock().unwrap_or_else(PoisonError::into_inner) = crowd.standing();
        }
    }
    std::mem::forget(gone);
    Ok(crowd.finish())
}

/// Marks a crowd as broken when its thread ends before its time.
struct Gone<'a>(&'a Mutex<Standing>);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standing.broken = true;
    }
}

/// Says what comes next, to the crowds and to whoever reads.
struct Leader<'a> {
    stage: &'a Stage,
    standings: &'a [Mutex<Standing>],
    said: &'a Sender<String>,
    stop: &'a AtomicBool,
    total: usize,
    phase: &'static str,
    told: Instant,
    before: Standing,
    /// A thread of the load has ended.
    broken: bool,
}

/// How far a run came.
#[derive(Debug, Default)]
pub(crate) struct Led {
    pub(crate) interrupted: bool,
    pub(crate) measured: Duration,
    /// From when everyone was let in until the last was in or given up.
    pub(crate) joining: Duration,
}

impl Leader<'_> {
    fn lead(&mut self, spec: &Spec) -> Result<Led, Failure> {
        let mut led = Led::default();
        let went_on = self.lead_through(spec, &mut led)?;
        led.interrupted = !went_on && !self.broken;
        if led.measured.is_zero() {
            led.measured = self.stage.cut_short(self.now());
        }
        Ok(led)
    }

    /// False: it was stopped on the way.
    fn lead_through(&mut self, spec: &Spec, led: &mut Led) -> Result<bool, Failure> {
        // One goes first: if it can't come in, nobody can.
        if !self.wait(Duration::MAX, |now| {
            now.joined > 0 || !now.failed.is_empty()
        }) {
            return Ok(false);
        }
        if let Some(reason) = self.standing().failed.into_keys().next() {
            return Err(Failure::Server(format!("the first client {reason}")));
        }
        let admitted = Instant::now();
        self.stage.admit(self.now());
        if !self.wait(Duration::MAX, |now| now.coming == 0) {
            return Ok(false);
        }
        led.joining = admitted.elapsed();
        if !self.go(
            "quiet",
            Line::Quiet {
                clients: self.total,
            },
            spec.quiet_s,
        ) {
            return Ok(false);
        }
        self.stage.speak(self.now());
        self.enter("warming up", Line::Speaking);
        if !self.wait_s(BEGIN_S) {
            return Ok(false);
        }
        // Who hears nothing by then is counted as that.
        self.wait(HEAR_PATIENCE, |now| now.heard >= now.subscriptions);
        if self.stopped() || !self.wait_s(spec.warm_s) {
            return Ok(false);
        }
        let length = Duration::from_secs_f64(spec.measure_s);
        let now = self.now();
        self.stage.count(now, now + length.as_nanos() as u64);
        if !self.go("measuring", Line::Measuring, spec.measure_s) {
            return Ok(false);
        }
        led.measured = length;
        Ok(self.go("draining", Line::Measured, spec.drain_s))
    }

    fn now(&self) -> u64 {
        self.stage.nanos(Instant::now())
    }

    fn stopped(&self) -> bool {
        self.broken || self.stop.load(Relaxed)
    }

    fn enter(&mut self, phase: &'static str, line: Line) {
        self.phase = phase;
        say(self.said, &line);
    }

    /// A phase of that many seconds. False: it was stopped.
    fn go(&mut self, phase: &'static str, line: Line, seconds: f64) -> bool {
        self.enter(phase, line);
        self.wait_s(seconds)
    }

    fn wait_s(&mut self, seconds: f64) -> bool {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        self.wait(Duration::MAX, |_| Instant::now() >= end)
    }

    /// False: it was stopped, or that did not come about in time.
    fn wait(&mut self, patience: Duration, done: impl Fn(&Standing) -> bool) -> bool {
        let begun = Instant::now();
        loop {
            let standing = self.standing();
            self.broken |= standing.broken;
            if self.stopped() {
                return false;
            }
            if done(&standing) {
                return true;
            }
            if begun.elapsed() > patience {
                return false;
            }
            if self.told.elapsed() >= TELL_EVERY {
                self.tell(standing);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn tell(&mut self, standing: Standing) {
        let seconds = self.told.elapsed().as_secs_f64();
        self.told = Instant::now();
        let received = standing.received.saturating_sub(self.before.received);
        say(
            self.said,
            &Line::Progress(Progress {
                stage: self.phase,
                clients: self.total,
                joined: standing.joined,
                failed: standing.failed.values().sum(),
                dropped: standing.dropped,
                subscriptions: standing.subscriptions,
                heard: standing.heard,
                received_per_s: (received as f64 / seconds).round(),
                lost: standing.lost,
                late: standing.late,
            }),
        );
        self.before = standing;
    }

    fn standing(&self) -> Standing {
        let mut sum = Standing::default();
        for one in self.standings {
            sum.add(&one.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }
}
