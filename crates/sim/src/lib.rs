//! A whole world in virtual time from one seed: the shipping node cores over emulated paths.
//!
//! Nodes are real [`node::Node`] cores with the shipping mesh; in place of WebRTC clients there
//! are plain participants, which live on a second worker and so speak over the node's bus: they
//! publish, subscribe and write. A stub controller leases shortest routes, or whoever runs the
//! world hears the nodes' events and answers with commands ([`World::govern`]): the Python
//! controller does, over `crates/python`.
//!
//! While the world runs, checkers look at everything that comes out; [`World::violations`] is
//! what they saw. [`World::trace`] is a hash over all that happened: one seed, one hash.

mod agenda;
mod check;
mod controller;
mod fault;
mod frames;
mod host;
mod measure;
mod sky;
mod storm;
mod trace;
mod traffic;
mod world;

pub use fault::Fault;
pub use measure::Figures;
pub use storm::{Storm, Strike};
pub use traffic::{Kind, LOBBY, PublisherId};
pub use world::{Breakage, Told, World};
