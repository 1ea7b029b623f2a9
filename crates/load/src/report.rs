//! What the program prints: a JSON line for each phase, and its one complaint.

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;

/// One line of JSON on standard output, for whoever drives the run.
pub fn line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(std::io::Error::other)?;
    self::text(&format!("{text}\n"))
}

pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

pub fn complain(failure: &Failure) {
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(std::io::stderr(), "fairlead-load: {failure}");
}

/// The value below which `share` of the sorted values lie; 0 for none.
pub fn percentile(sorted: &[u32], share: f64) -> u32 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.clamp(1, sorted.len().max(1)) - 1)
        .copied()
        .unwrap_or(0)
}

/// Microseconds as milliseconds, to the microsecond.
pub fn ms(us: u32) -> f64 {
    f64::from(us) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), 50);
        assert_eq!(percentile(&values, 0.99), 99);
        assert_eq!(percentile(&values, 1.0), 100);
        assert_eq!(percentile(&[7], 0.5), 7);
        assert_eq!(percentile(&[], 0.5), 0);
    }
}
