//! Why a run ended early: one plain sentence.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the spec can't be used.
    #[error("{0}")]
    Usage(String),
    /// The server refused, sent away or never answered a client.
    #[error("{0}")]
    Server(String),
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

impl Failure {
    pub fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Server(_) | Failure::System(_) => 1,
        }
    }
}
