//! Why bytes could not be read.

use thiserror::Error;

/// What is wrong with bytes from outside. A remote's mistake: count it, drop the bytes, go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("{0} is cut short")]
    Short(&'static str),
    #[error("{what} cannot be {value}")]
    Value { what: &'static str, value: u64 },
    #[error("{0} has bytes left over")]
    Trailing(&'static str),
}
