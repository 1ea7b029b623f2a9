//! Loss by chance, for tests: of each packet by itself, or in runs (Gilbert's model).

#[derive(Debug, Default)]
pub(crate) struct Chance {
    /// The share that is lost.
    pub(crate) loss: f64,
    /// Packets lost in a row, on average; 0: each by itself.
    pub(crate) run: f64,
    /// Whether the last one was.
    losing: bool,
}

impl Chance {
    pub(crate) fn of(loss: f64) -> Self {
        Self {
            loss,
            ..Self::default()
        }
    }

    pub(crate) fn loses(&mut self, rng: &mut fastrand::Rng) -> bool {
        let chance = match (self.run > 0.0, self.losing) {
            (false, _) => self.loss,
            (true, true) => 1.0 - 1.0 / self.run,
            (true, false) => self.loss / (1.0 - self.loss) / self.run,
        };
        self.losing = rng.f64() < chance;
        self.losing
    }
}
