//! Access networks of clients: paths with weather that several may share, also with a download.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netem::{Path, Weather};

use crate::common::Network;

/// Of IP and UDP, on top of each datagram.
const HEADERS: usize = 28;
/// A full segment of the download.
const SEGMENT: usize = 1_500;

enum Load {
    Datagram(usize, Vec<u8>),
    Segment(u64),
}

/// Both directions of an access network.
struct Line {
    down: Path<(Instant, Load)>,
    up: Path<(Instant, Load)>,
    download: Option<Download>,
}

/// A flow that fills the line as TCP does: one segment more a round trip, half after a loss.
struct Download {
    window: f64,
    next: u64,
    under_way: BTreeMap<u64, Instant>,
    acknowledgements: Vec<(Instant, u64)>,
    reduced_at: Option<Instant>,
}

/// What a line has carried toward its clients.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    pub video: u64,
    pub audio: u64,
    /// Retransmissions and padding.
    pub repair: u64,
    pub download: u64,
    /// How much longer than the empty line each datagram took, by when it arrived.
    pub delays: Vec<(Instant, Duration)>,
    /// Datagrams that found the queue full, and those that did before.
    pub overflowed: u64,
    before: u64,
}

/// All of them.
#[derive(Default)]
pub struct Lines {
    lines: Vec<Line>,
    of: BTreeMap<usize, usize>,
    pub carried: Vec<Carried>,
    /// Payload types of retransmissions and of sound.
    pub repairs: Vec<u8>,
    pub sounds: Vec<u8>,
}

impl Lines {
    /// Open a line for these clients.
    pub fn open(&mut self, clients: &[usize], down: Weather, up: Weather, seed: u64) -> usize {
        let line = self.lines.len();
        self.lines.push(Line {
            down: Path::new(down, seed),
            up: Path::new(up, seed ^ 0x5eed),
            download: None,
        });
        self.carried.push(Carried::default());
        self.of.extend(clients.iter().map(|client| (*client, line)));
        line
    }

    pub fn change(&mut self, now: Instant, line: usize, down: Weather, up: Weather) {
        self.lines[line].down.set_at(now, down);
        self.lines[line].up.set_at(now, up);
    }

    pub fn start_download(&mut self, line: usize) {
        self.lines[line].download = Some(Download {
            window: 10.0,
            next: 0,
            under_way: BTreeMap::new(),
            acknowledgements: vec![],
            reduced_at: None,
        });
    }

    pub fn stop_download(&mut self, line: usize) {
        self.lines[line].download = None;
    }

    /// Bytes so far and when each line's queue was how long are told from here on.
    pub fn clear(&mut self) {
        for (line, carried) in self.lines.iter().zip(&mut self.carried) {
            *carried = Carried {
                before: line.down.tally().dropped,
                ..Carried::default()
            };
        }
    }

    fn note(&mut self, line: usize, bytes: &[u8]) {
        let size = bytes.len() as u64;
        let carried = &mut self.carried[line];
        let pt = bytes.get(1).copied().unwrap_or(0);
        if bytes[0] >> 6 != 2 || (192..224).contains(&pt) {
            return;
        }
        let (pt, probe) = (pt & 0x7f, bytes[8..12] == [0; 4]);
        if probe || self.repairs.contains(&pt) {
            carried.repair += size;
        } else if self.sounds.contains(&pt) {
            carried.audio += size;
        } else {
            carried.video += size;
        }
    }
}

impl Network for Lines {
    fn carry(&mut self, now: Instant, client: usize, toward: bool, bytes: &[u8]) -> bool {
        let Some(line) = self.of.get(&client).copied() else {
            return false;
        };
        if toward {
            self.note(line, bytes);
        }
        let load = (now, Load::Datagram(client, bytes.to_vec()));
        let Line { down, up, .. } = &mut self.lines[line];
        let path = if toward { down } else { up };
        path.push(now, load, bytes.len() + HEADERS);
        let carried = &mut self.carried[line];
        carried.overflowed = self.lines[line].down.tally().dropped - carried.before;
        true
    }

    fn arrived(&mut self, now: Instant) -> Vec<(usize, bool, Vec<u8>)> {
        let mut all = vec![];
        for (line, carried) in self.lines.iter_mut().zip(&mut self.carried) {
            if let Some(download) = &mut line.download {
                download.run(now, &mut line.down);
            }
            while let Some(due) = line.down.deadline().filter(|due| *due <= now) {
                let Some((sent, load)) = line.down.pop(due) else {
                    break;
                };
                let waited = (due - sent).saturating_sub(line.down.weather().delay);
                match load {
                    Load::Datagram(client, bytes) => {
                        carried.delays.push((due, waited));
                        all.push((client, true, bytes));
                    }
                    Load::Segment(number) => {
                        carried.download += SEGMENT as u64;
                        if let Some(download) = &mut line.download {
                            let back = due + line.up.weather().delay;
                            download.acknowledgements.push((back, number));
                        }
                    }
                }
            }
            while let Some((_, Load::Datagram(client, bytes))) = line.up.pop(now) {
                all.push((client, false, bytes));
            }
        }
        all
    }
}

impl Download {
    fn run(&mut self, now: Instant, down: &mut Path<(Instant, Load)>) {
        let mut newest = None;
        self.acknowledgements.retain(|(at, number)| {
            let came = *at <= now;
            if came {
                self.under_way.remove(number);
                self.window += 1.0 / self.window;
                newest = newest.max(Some(*number));
            }
            !came
        });
        // Three later ones came: it is lost.
        if let Some(newest) = newest {
            let lost: Vec<u64> = self
                .under_way
                .range(..newest.saturating_sub(2))
                .map(|(number, _)| *number)
                .collect();
            for number in &lost {
                self.under_way.remove(number);
            }
            if !lost.is_empty() {
                self.reduce(now);
            }
        }
        let forgotten =
            |sent: &Instant| now.saturating_duration_since(*sent) > Duration::from_secs(1);
        if self.under_way.values().any(forgotten) {
            self.under_way.clear();
            self.window = 2.0;
        }
        while (self.under_way.len() as f64) < self.window {
            self.under_way.insert(self.next, now);
            down.push(now, (now, Load::Segment(self.next)), SEGMENT);
            self.next += 1;
        }
    }

    /// At most once in a while: one burst of losses is one sign.
    fn reduce(&mut self, now: Instant) {
        let rests = Duration::from_millis(200);
        if self.reduced_at.is_none_or(|at| now > at + rests) {
            self.reduced_at = Some(now);
            self.window = (self.window / 2.0).max(2.0);
        }
    }
}
