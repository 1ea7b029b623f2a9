//! How fast a stream comes, each of its layers for itself.

use std::time::{Duration, Instant};

use crate::layering::{LayerId, MAX_LAYERS};

const WINDOW: Duration = Duration::from_secs(1);
/// Of the way to what the last window measured: encoders vary from second to second.
const STEP: f64 = 0.5;
/// A layer that brings less than this share of the stream is none.
const LEAST_SHARE: f64 = 0.01;

type Layers<T> = [[T; MAX_LAYERS]; MAX_LAYERS];

/// See the module.
#[derive(Debug)]
pub(crate) struct Rates {
    since: Instant,
    bytes: Layers<u64>,
    /// Bits per second; None before the first whole window.
    rates: Option<Layers<f64>>,
}

impl Rates {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: Layers::default(),
            rates: None,
        }
    }

    /// Count a packet of a layer.
    pub(crate) fn observe(&mut self, now: Instant, layer: LayerId, bytes: usize) {
        let LayerId { spatial, temporal } = layer;
        self.bytes[usize::from(spatial)][usize::from(temporal)] += bytes as u64;
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < WINDOW {
            return;
        }
        // After a pause the old figures say nothing, and the window too little.
        let known = self.rates.filter(|_| elapsed < 2 * WINDOW);
        let bytes = std::mem::take(&mut self.bytes);
        let measured = bytes.map(|row| row.map(|b| b as f64 * 8.0 / elapsed.as_secs_f64()));
        self.since = now;
        self.rates = Some(match known {
            None => measured,
            Some(mut rates) => {
                for (old, new) in rates.iter_mut().flatten().zip(measured.iter().flatten()) {
                    *old += (new - *old) * STEP;
                }
                rates
            }
        });
    }

    /// Each layer that comes, with the bits per second of it and all below, the temporal ones of
    /// the lowest spatial layer first. Empty before anything was measured.
    pub(crate) fn layers(&self) -> Vec<(LayerId, u64)> {
        let Some(rates) = &self.rates else {
            return Vec::new();
        };
        let total: f64 = rates.iter().flatten().sum();
        let comes = |rate: f64| rate > 0.0 && rate >= total * LEAST_SHARE;
        let mut layers = Vec::new();
        for (spatial, row) in rates.iter().enumerate() {
            for (temporal, _) in row.iter().enumerate().filter(|(_, rate)| comes(**rate)) {
                let below = rates.iter().take(spatial + 1);
                let bits: f64 = below.flat_map(|row| &row[..=temporal]).sum();
                let layer = LayerId {
                    spatial: spatial as u8,
                    temporal: temporal as u8,
                };
                layers.push((layer, bits as u64));
            }
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn a_layer_needs_what_is_below_it_too() {
        let from = Instant::now();
        let mut rates = Rates::new(from);
        assert!(rates.layers().is_empty());
        for n in 0..=100u64 {
            let now = from + Duration::from_millis(20 * n);
            for (spatial, bytes) in [(0, 100), (1, 300)] {
                let temporal = [0, 1][n as usize % 2];
                rates.observe(now, LayerId { spatial, temporal }, bytes);
            }
        }
        let layers = rates.layers();
        let found: Vec<_> = layers
            .iter()
            .map(|(l, _)| (l.spatial, l.temporal))
            .collect();
        assert_eq!(found, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        let near = |bits: u64, expected: u64| bits.abs_diff(expected) < expected / 10;
        assert!(
            near(layers[0].1, 20_000) && near(layers[1].1, 40_000),
            "{layers:?}"
        );
        assert!(
            near(layers[2].1, 80_000) && near(layers[3].1, 160_000),
            "{layers:?}"
        );
    }
}
