//! What a simulated world sees and spoils: frames as they come in, a relay that passes nothing on.

use wire::NodeId;

use super::Mesh;

/// The most frames kept between two calls of [`Mesh::seen`]; what comes on top is not looked at.
const MAX_SEEN: usize = 10_000;

/// A frame that came to a node: the neighbour that sent it, and its header and content as they
/// were sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub from: NodeId,
    pub frame: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Watch {
    seen: Option<Vec<Seen>>,
    pub(super) grey: bool,
}

impl Watch {
    /// Called with every frame that was opened, before anything is decided about it.
    pub(super) fn see(&mut self, from: NodeId, frame: &[u8]) {
        if let Some(seen) = self.seen.as_mut().filter(|seen| seen.len() < MAX_SEEN) {
            let frame = frame.to_vec();
            seen.push(Seen { from, frame });
        }
    }
}

impl Mesh {
    /// Keep every frame that comes from now on for [`Mesh::seen`]: a checker can't open what is
    /// sealed.
    #[doc(hidden)]
    pub fn watch(&mut self) {
        self.watch.seen.get_or_insert_default();
    }

    /// The frames that came since the last call.
    #[doc(hidden)]
    pub fn seen(&mut self) -> Vec<Seen> {
        self.watch
            .seen
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Pass nothing on for others while all else goes on: a failure that no heartbeat shows.
    #[doc(hidden)]
    pub fn set_grey(&mut self, grey: bool) {
        self.watch.grey = grey;
    }
}
