//! The server in virtual time, with a client that says what it is told to say.

mod abuse;
mod client;
mod life;
