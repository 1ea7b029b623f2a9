//! A whole world in virtual time from one seed: the shipping mesh over emulated paths.
//!
//! Nodes are real [`mesh::Mesh`] cores; in place of WebRTC clients there are plain participants
//! that publish, subscribe and write to each other. A stub controller leases shortest routes.
//! While the world runs, checkers look at everything that comes out; [`World::violations`] is
//! what they saw. [`World::trace`] is a hash over all that happened: one seed, one hash.

mod check;
mod controller;
mod trace;
mod traffic;
mod world;

pub use traffic::{Kind, PublisherId};
pub use world::{Fault, World};
