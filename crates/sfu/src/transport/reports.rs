//! What the client tells of what it got: reports, and requests for what it lacks.

use std::time::{Duration, Instant};

use str0m::net::{Protocol as NetProtocol, Receive};
use str0m::rtp::rtcp::{Nack, NackEntry, Rtcp, Twcc};
use str0m::rtp::{RawPacket, RtpHeader};

use super::{Feedback, Happened, Knock, Transport};
use crate::redundancy::Lost;
use crate::repair::APART;
use crate::values::Transmit;

/// Of the headers around an RTP packet: SRTP's tag, UDP and IP.
const AROUND: usize = 38;
/// Packets between two reports that are taken for lost, at most.
const MAX_BETWEEN: u64 = 1_000;
/// Requests for retransmissions that wait to be heard again.
const MAX_AGAIN: usize = 64;
/// Losses are told this often.
const LOSS_EVERY: Duration = Duration::from_millis(100);

impl Transport {
    /// A packet as it is inside: sent after its datagram was, received before its events come.
    pub(super) fn raw(&mut self, now: Instant, raw: RawPacket, happened: &mut Vec<Happened>) {
        match raw {
            RawPacket::RtpTx(header, bytes) => self.rtp_sent(now, &header, bytes.len()),
            RawPacket::RtpRx(header, payload) => self.rtp_came(now, &header, &payload),
            RawPacket::RtcpRx(Rtcp::Twcc(report)) => self.reported(now, report, happened),
            RawPacket::RtcpRx(Rtcp::Nack(nack)) => {
                self.resending = true;
                if !self.hearing_again {
                    self.nacked(now, &nack);
                }
            }
            _ => {}
        }
    }

    fn rtp_sent(&mut self, now: Instant, header: &RtpHeader, bytes: usize) {
        let number = header.ext_vals.transport_cc;
        let copied = std::mem::take(&mut self.copied);
        if let Some(number) = number {
            self.estimator.sent(now, number, bytes + AROUND);
            if copied {
                self.estimator.repeated(number);
            }
        }
        if !self.repair_types.contains(&header.payload_type) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let class = self.put.take();
        let Some(line) = self.line(class) else { return };
        line.name(number);
        number.inspect(|number| self.estimator.waits(*number));
    }

    fn reported(&mut self, now: Instant, report: Twcc, happened: &mut Vec<Happened>) {
        let zero = self.created;
        let next = self.estimator.next_number();
        let micros = |at: Instant| at.saturating_duration_since(zero).as_micros() as i64;
        let count = report.feedback_count;
        let statuses: Vec<(u64, Option<i64>)> = report
            .into_iter(zero, next.into())
            .map(|(number, _, arrived)| (*number, arrived.map(micros)))
            .collect();
        let (Some(first), Some(last)) = (statuses.first(), statuses.last()) else {
            return;
        };
        // Some clients begin a report with what came next: what is between it and the report just
        // before did not come. If a report was lost, nothing is known of that.
        let before = self.last_report.replace((count, last.0));
        if self.told_up_to.is_none_or(|number| last.0 > number) {
            self.told_up_to = Some(last.0);
            self.proved(now, Knock::Report);
        }
        let follows = before.filter(|(c, _)| c.wrapping_add(1) == count);
        let between = follows.map_or(first.0, |(_, end)| {
            (end + 1).max(first.0.saturating_sub(MAX_BETWEEN))
        });
        let missing = (between..first.0).map(|number| (number, None));
        let statuses = missing.chain(statuses.iter().copied());
        self.estimator.feedback(now, statuses);
        self.reported = Some(now);
        happened.push(Happened::Estimate(self.estimator.usable()));
        if self.loss_told.is_none_or(|at| now >= at + LOSS_EVERY) {
            self.loss_told = Some(now);
            happened.push(Happened::Lost(Lost {
                share: self.estimator.loss() as f32,
                in_bursts: self.estimator.loses_in_bursts(),
            }));
        }
    }

    /// A client asks for packets again. To have them sent more than once, the same is heard again:
    /// str0m has no other way to it.
    fn nacked(&mut self, now: Instant, nack: &Nack) {
        let Some(heard) = self.hearing.as_ref() else {
            return;
        };
        let numbers = nack.reports.iter().flat_map(|entry| lacks(*entry));
        let (loss, rate) = (self.estimator.loss(), self.estimator.repairs());
        let times = self.repeats.asked(now, numbers, loss, rate);
        for time in 1..=times {
            if self.again.len() < MAX_AGAIN {
                self.again.push_back((now + APART * time, heard.clone()));
            }
        }
    }

    pub(super) fn hear_again(
        &mut self,
        now: Instant,
        transmits: &mut Vec<Transmit>,
        happened: &mut Vec<Happened>,
    ) {
        self.hearing_again = true;
        while self.again.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, Feedback { from, to, bytes })) = self.again.pop_front() else {
                break;
            };
            if let Ok(receive) = Receive::new(NetProtocol::Udp, from, to, &bytes) {
                let input = str0m::Input::Receive(self.tick(now), receive);
                // It was taken once already.
                let _ = self.rtc.handle_input(input);
            }
            self.drain(now, transmits, happened);
        }
        self.hearing_again = false;
    }
}

/// The sequence numbers that an entry of a request names (RFC 4585 section 6.2.1).
fn lacks(entry: NackEntry) -> impl Iterator<Item = u16> {
    let more = (0..16).filter(move |bit| entry.blp >> bit & 1 == 1);
    [entry.pid]
        .into_iter()
        .chain(more.map(move |bit| entry.pid.wrapping_add(bit + 1)))
}
