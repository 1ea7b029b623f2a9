//! What happens next: a heap by time, and among equal times by order of entry.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Instant;

struct Entry<T> {
    at: Instant,
    serial: u64,
    what: T,
}

pub(crate) struct Agenda<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    serial: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Agenda<T> {
        Agenda {
            heap: BinaryHeap::new(),
            serial: 0,
        }
    }

    pub(crate) fn add(&mut self, at: Instant, what: T) {
        self.serial += 1;
        let serial = self.serial;
        self.heap.push(Reverse(Entry { at, serial, what }));
    }

    /// The first entry, if it is due by `end`.
    pub(crate) fn pop(&mut self, end: Instant) -> Option<(Instant, T)> {
        self.heap.peek().filter(|first| first.0.at <= end)?;
        self.heap.pop().map(|first| (first.0.at, first.0.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
