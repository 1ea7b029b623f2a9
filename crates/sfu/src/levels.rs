//! Who speaks, from the audio-level header extension (RFC 6464), as LiveKit decides it: louder
//! than -35 dBov in 40 % of a window of 400 ms, smoothed over two windows.

use std::time::Duration;

/// How often levels are reported.
pub(crate) const WINDOW: Duration = Duration::from_millis(400);
/// Louder than this (in -dBov) counts as speech.
const ACTIVE_LEVEL: u8 = 35;
/// Packets of 20 ms in a window that must be speech: 40 % of 20.
const ACTIVE_PACKETS: u32 = 8;
const SMOOTHING: f32 = 2.0 / 3.0;
/// Levels are told in steps of one eighth, so that a steady voice is no news.
const STEPS: f32 = 8.0;

/// One track's loudness.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    packets: u32,
    loud: u32,
    loudest: Option<u8>,
    smoothed: f32,
    reported: (u8, bool),
}

impl Meter {
    /// Take one packet's level, in -dBov.
    pub(crate) fn observe(&mut self, level: u8) {
        self.packets += 1;
        if level <= ACTIVE_LEVEL {
            self.loud += 1;
            self.loudest = Some(self.loudest.map_or(level, |l| l.min(level)));
        }
    }

    /// Close the window: the level (0 to 1) and activity, if they differ from the last report.
    pub(crate) fn close_window(&mut self) -> Option<(f32, bool)> {
        let speaks = self.loud >= ACTIVE_PACKETS;
        let level = match self.loudest {
            Some(l) if speaks => 10f32.powf(-f32::from(l) / 20.0),
            _ => 0.0,
        };
        self.smoothed += (level - self.smoothed) * SMOOTHING;
        self.packets = 0;
        self.loud = 0;
        self.loudest = None;
        let step = (self.smoothed * STEPS).ceil() as u8;
        // Below half a step of the quietest speech it is silence.
        let active = self.smoothed > 10f32.powf(-f32::from(ACTIVE_LEVEL) / 20.0) / 2.0;
        let now = if active { (step, true) } else { (0, false) };
        if now == self.reported {
            return None;
        }
        self.reported = now;
        Some((f32::from(now.0) / STEPS, now.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_starts_and_ends() {
        let mut meter = Meter::default();
        for _ in 0..20 {
            meter.observe(20);
        }
        assert!(
            meter
                .close_window()
                .is_some_and(|(level, active)| active && level > 0.0)
        );
        let mut quiet = None;
        for _ in 0..10 {
            for _ in 0..20 {
                meter.observe(127);
            }
            quiet = meter.close_window().or(quiet);
        }
        assert_eq!(quiet, Some((0.0, false)));
        assert_eq!(meter.close_window(), None);
    }

    #[test]
    fn a_click_is_no_speech() {
        let mut meter = Meter::default();
        for _ in 0..7 {
            meter.observe(5);
        }
        assert_eq!(meter.close_window(), None);
    }
}
