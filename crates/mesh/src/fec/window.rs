//! The code itself: parity made of a window of datagrams, and datagrams made of parity.

use std::collections::VecDeque;

use super::MAX_WINDOW;
use super::gf256::{inverse, multiply, multiply_add, scale};

/// Datagrams that the receiver remembers to subtract from parity.
const MAX_SOURCES: usize = 2 * MAX_WINDOW;
/// Parity datagrams that wait for others; beyond it the oldest go.
const MAX_ROWS: usize = 32;
/// Bytes before a datagram's own: its length, so that sizes may differ.
const LENGTH: usize = 2;

/// The coefficient of a datagram in a parity datagram: never 0, the same at both ends.
fn coefficient(parity: u32, sequence: u32) -> u8 {
    // Mixed as by splitmix64, so that neighbours have nothing in common.
    let mut x = u64::from(parity) << 32 | u64::from(sequence);
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    1 + ((x >> 32) % 255) as u8
}

fn add(sum: &mut Vec<u8>, bytes: &[u8], factor: u8) {
    let needed = LENGTH + bytes.len();
    if sum.len() < needed {
        sum.resize(needed, 0);
    }
    let length = (bytes.len() as u16).to_be_bytes();
    multiply_add(&mut sum[..LENGTH], &length, factor);
    multiply_add(&mut sum[LENGTH..], bytes, factor);
}

/// One parity datagram in the making.
pub(crate) struct Encoding {
    number: u32,
    sum: Vec<u8>,
}

impl Encoding {
    /// Into `buffer`, which is emptied first.
    pub(crate) fn new(number: u32, mut buffer: Vec<u8>) -> Encoding {
        buffer.clear();
        Encoding {
            number,
            sum: buffer,
        }
    }

    /// Cover a datagram. All that are covered have consecutive numbers.
    pub(crate) fn add(&mut self, sequence: u32, bytes: &[u8]) {
        add(&mut self.sum, bytes, coefficient(self.number, sequence));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.sum
    }
}

/// A datagram that nobody had to repeat.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) sequence: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A sum of datagrams that are still missing.
struct Row {
    /// Which, and how often each; the first is in no other row, and once in this.
    terms: Vec<(u32, u8)>,
    sum: Vec<u8>,
}

impl Row {
    fn factor(&self, sequence: u32) -> Option<u8> {
        let term = self.terms.iter().find(|(s, _)| *s == sequence);
        term.map(|(_, factor)| *factor)
    }

    /// Add a multiple of another row.
    fn add(&mut self, other: &Row, factor: u8) {
        if self.sum.len() < other.sum.len() {
            self.sum.resize(other.sum.len(), 0);
        }
        multiply_add(&mut self.sum, &other.sum, factor);
        for (sequence, theirs) in &other.terms {
            let more = multiply(*theirs, factor);
            match self.terms.iter().position(|(s, _)| s == sequence) {
                Some(i) if self.terms[i].1 == more => {
                    self.terms.remove(i);
                }
                Some(i) => self.terms[i].1 ^= more,
                None => self.terms.push((*sequence, more)),
            }
        }
    }
}

/// What has come lately, and what it says about what has not.
#[derive(Default)]
pub(crate) struct Decoder {
    /// By number, from `first` on; None is missing.
    sources: VecDeque<Option<Vec<u8>>>,
    first: u32,
    rows: VecDeque<Row>,
    spare: Vec<Vec<u8>>,
}

impl Decoder {
    /// A numbered datagram came, in whatever way; what it was the last missing piece for.
    pub(crate) fn on_source(&mut self, sequence: u32, bytes: &[u8], out: &mut Vec<Recovered>) {
        if !self.make_room(sequence) || self.source(sequence).is_some() {
            return;
        }
        self.remember(sequence, bytes);
        self.substitute(sequence);
        self.solve(out);
    }

    /// A parity datagram over `count` numbers from `first` came. False if it makes no sense.
    pub(crate) fn on_parity(
        &mut self,
        number: u32,
        (first, count): (u32, u8),
        sum: &[u8],
        out: &mut Vec<Recovered>,
    ) -> bool {
        if count == 0 || usize::from(count) > MAX_WINDOW || sum.len() < LENGTH {
            return false;
        }
        let covered = (0..u32::from(count)).map(|i| first.wrapping_add(i));
        let terms = covered.map(|sequence| (sequence, coefficient(number, sequence)));
        self.on_row(terms, sum, out)
    }

    /// The same with any coefficients, over consecutive numbers.
    pub(super) fn on_row(
        &mut self,
        terms: impl DoubleEndedIterator<Item = (u32, u8)> + Clone,
        sum: &[u8],
        out: &mut Vec<Recovered>,
    ) -> bool {
        let last = terms.clone().next_back().map(|(sequence, _)| sequence);
        if !last.is_some_and(|last| self.make_room(last)) {
            return true;
        }
        let known = |(sequence, _): &(u32, u8)| self.source(*sequence).is_some();
        if terms.clone().all(|term| known(&term)) {
            return true;
        }
        // Numbers that have been forgotten can't be solved for, nor around.
        let reach = self.first;
        if terms
            .clone()
            .any(|(s, _)| (s.wrapping_sub(reach) as i32) < 0)
        {
            return true;
        }
        let mut row = Row {
            terms: Vec::new(),
            sum: self.spare.pop().unwrap_or_default(),
        };
        row.sum.clear();
        row.sum.extend_from_slice(sum);
        for (sequence, factor) in terms {
            match self.source(sequence) {
                Some(bytes) if LENGTH + bytes.len() <= row.sum.len() => {
                    add(&mut row.sum, bytes, factor);
                }
                // It covers something longer than itself.
                Some(_) => return false,
                None => row.terms.push((sequence, factor)),
            }
        }
        self.insert(row);
        self.solve(out);
        true
    }

    /// Whether a number may be used; forgets the oldest to make it so.
    fn make_room(&mut self, sequence: u32) -> bool {
        if self.sources.is_empty() {
            self.first = sequence;
        }
        let ahead = sequence.wrapping_sub(self.first) as i32;
        let Ok(index) = usize::try_from(ahead) else {
            return false;
        };
        if index >= 2 * MAX_SOURCES {
            self.sources.clear();
            self.rows.clear();
            self.first = sequence;
            self.sources.push_back(None);
            return true;
        }
        while self.sources.len() <= index {
            self.sources.push_back(None);
        }
        while self.sources.len() > MAX_SOURCES {
            let forgotten = self.sources.pop_front().flatten();
            self.spare.extend(forgotten);
            let gone = self.first;
            self.first = self.first.wrapping_add(1);
            self.rows.retain(|row| row.factor(gone).is_none());
        }
        self.spare.truncate(MAX_ROWS);
        true
    }

    fn source(&self, sequence: u32) -> Option<&Vec<u8>> {
        let index = sequence.wrapping_sub(self.first) as usize;
        self.sources.get(index)?.as_ref()
    }

    fn remember(&mut self, sequence: u32, bytes: &[u8]) {
        let index = sequence.wrapping_sub(self.first) as usize;
        if let Some(source) = self.sources.get_mut(index) {
            let mut kept = self.spare.pop().unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(bytes);
            *source = Some(kept);
        }
    }

    /// Keep the rows in reduced echelon form, so that what can be solved is plain to see.
    fn insert(&mut self, mut row: Row) {
        for other in &self.rows {
            if let Some(factor) = row.factor(other.terms[0].0) {
                row.add(other, factor);
            }
        }
        let Some((pivot, factor)) = row.terms.first().copied() else {
            self.spare.push(row.sum);
            return;
        };
        let inverse = inverse(factor);
        scale(&mut row.sum, inverse);
        for (_, factor) in &mut row.terms {
            *factor = multiply(*factor, inverse);
        }
        for other in &mut self.rows {
            if let Some(factor) = other.factor(pivot) {
                other.add(&row, factor);
            }
        }
        if self.rows.len() == MAX_ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }

    /// Hand out every datagram that is alone in a row.
    fn solve(&mut self, out: &mut Vec<Recovered>) {
        while let Some(i) = self.rows.iter().position(|row| row.terms.len() == 1) {
            let Some(Row { terms, mut sum }) = self.rows.remove(i) else {
                return;
            };
            let sequence = terms[0].0;
            let length = sum.first_chunk().map(|length| u16::from_be_bytes(*length));
            let end = LENGTH + usize::from(length.unwrap_or(u16::MAX));
            // A sum that does not hold together was no sum of what was sent.
            if end > sum.len() || sum[end..].iter().any(|byte| *byte != 0) {
                self.spare.push(sum);
                continue;
            }
            // No other row has it, so there is nothing to substitute.
            self.remember(sequence, &sum[LENGTH..end]);
            sum.truncate(end);
            sum.drain(..LENGTH);
            out.push(Recovered {
                sequence,
                bytes: sum,
            });
        }
    }

    /// A datagram that rows may be waiting for is known now.
    fn substitute(&mut self, sequence: u32) {
        let mut again = Vec::new();
        let mut i = 0;
        while let Some(row) = self.rows.get_mut(i) {
            let Some(at) = row.terms.iter().position(|(s, _)| *s == sequence) else {
                i += 1;
                continue;
            };
            let (_, factor) = row.terms.remove(at);
            let index = sequence.wrapping_sub(self.first) as usize;
            if let Some(Some(bytes)) = self.sources.get(index) {
                add(&mut row.sum, bytes, factor);
            }
            if at > 0 {
                i += 1;
            } else {
                again.extend(self.rows.remove(i));
            }
        }
        for row in again {
            self.insert(row);
        }
    }
}
