//! A node's core: the SFU for its clients and the mesh to its peers behind one `handle`.
//!
//! A node has one such core per worker. The first worker's has the mesh; the others reach it, and
//! one another, over the bus, which treats another worker like another node.

mod bus;
mod command;
mod dispatch;
mod event;
mod node;
mod report;

pub use bus::{Bus, Target};
pub use command::{Command, Layer, Policy, Route, Section};
pub use event::{Event, Figures, Level, Link, Pair, Picture};
pub use node::{Config, Input, MeshTransmit, Node, Outputs};
pub use sfu::{Protocol, Transmit as ClientTransmit, participant_of_ufrag};
