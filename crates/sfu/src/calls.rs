//! Calls that the server makes to a client over its reliable channel (RoomService.PerformRpc): the
//! client answers to the call's id as if it were a participant's identity.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::data::Destinations;
use crate::interface::Output;
use crate::sfu::Sfu;
use crate::transport::Sent;

/// Calls that one client may owe an answer; of more the oldest by name is forgotten.
const MAX_CALLS: usize = 64;
/// Messages that answer one call: the acknowledgement and the response.
const ANSWERS: u8 = 2;

/// The calls that a client has not answered, each with how many messages may still come.
#[derive(Debug, Default)]
pub(crate) struct Calls(BTreeMap<String, u8>);

impl Calls {
    /// The open call that a client's message is for.
    pub(crate) fn named_by(&self, packet: &[u8]) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let to = Destinations::read(packet).ok()?;
        self.0.keys().find(|call| to.names(call)).cloned()
    }

    fn begin(&mut self, call: &str) {
        while self.0.len() >= MAX_CALLS {
            self.0.pop_first();
        }
        self.0.insert(call.into(), ANSWERS);
    }

    fn take_answer(&mut self, call: &str) {
        if let Some(left) = self.0.get_mut(call) {
            *left -= 1;
            if *left == 0 {
                self.0.remove(call);
            }
        }
    }
}

impl Sfu {
    pub(crate) fn call(&mut self, now: Instant, participant: u64, call: &str, packet: &[u8]) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        p.calls.begin(call);
        let key = (participant, p.data_side());
        let bytes: Arc<[u8]> = packet.into();
        let sent = self
            .transport(key)
            .map(|t| t.send_message(now, true, &bytes));
        self.count(match sent {
            Some(Sent::Taken) => "data_sent",
            Some(Sent::Dropped) => "data_slow_reader",
            None => "data_no_transport",
        });
        self.wake(now, key);
    }

    /// A stamped message came for an open call: it goes to the server alone.
    pub(crate) fn answered(
        &mut self,
        participant: u64,
        call: String,
        packet: &[u8],
        out: &mut Vec<Output>,
    ) {
        if let Some(p) = self.participants.get_mut(&participant) {
            p.calls.take_answer(&call);
        }
        out.push(Output::CallAnswered {
            participant,
            call,
            packet: packet.to_vec(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::put;

    fn to(identity: &str) -> Vec<u8> {
        let mut packet = vec![];
        put(&mut packet, 5, identity.as_bytes());
        packet
    }

    #[test]
    fn a_call_takes_two_answers_and_then_is_over() {
        let mut calls = Calls::default();
        assert_eq!(calls.named_by(&to("c1")), None);
        calls.begin("c1");
        assert_eq!(calls.named_by(&to("c2")), None);
        assert_eq!(calls.named_by(&[0xff; 9]), None);
        for _ in 0..ANSWERS {
            assert_eq!(calls.named_by(&to("c1")).as_deref(), Some("c1"));
            calls.take_answer("c1");
        }
        assert_eq!(calls.named_by(&to("c1")), None);
    }

    #[test]
    fn open_calls_are_bounded() {
        let mut calls = Calls::default();
        (0..1000).for_each(|i| calls.begin(&format!("c{i:04}")));
        assert_eq!(calls.0.len(), MAX_CALLS);
        assert!(calls.named_by(&to("c0999")).is_some());
    }
}
