//! Calls over access networks with weather, in virtual time, and what becomes of them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "a test")]

pub mod access;
pub mod call;
pub mod film;
pub mod viewer;
