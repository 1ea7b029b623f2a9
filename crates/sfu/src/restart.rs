//! ICE restarts under names of ours (RFC 8445 section 9): str0m makes its own user fragment for a
//! restart, by which no worker could tell whose a stranger's first packet is.

use str0m::{IceCreds, Rtc};

/// How a transport is named, and the credentials that an open offer of ours promises.
#[derive(Debug)]
pub(crate) struct Names {
    prefix: String,
    promised: Option<IceCreds>,
}

impl Names {
    /// `prefix` begins every user fragment.
    pub(crate) fn new(prefix: String) -> Self {
        let promised = None;
        Self { prefix, promised }
    }

    /// New credentials with a name of ours.
    pub(crate) fn credentials(&self) -> IceCreds {
        self.named(IceCreds::new())
    }

    /// The user fragment by which a client that took our open offer will name the transport.
    pub(crate) fn promised(&self) -> Option<&str> {
        self.promised.as_ref().map(|creds| creds.ufrag.as_str())
    }

    /// An answer as it leaves: if the offer restarted ICE, `before` are credentials of the past.
    /// True with it if so.
    pub(crate) fn answer(&self, rtc: &mut Rtc, before: &IceCreds, sdp: &str) -> (String, bool) {
        let made = rtc.direct_api().local_ice_credentials();
        if made == *before {
            return (sdp.to_owned(), false);
        }
        let named = self.named(made.clone());
        let sdp = replaced(sdp, &made, &named);
        rtc.direct_api().set_local_ice_credentials(named);
        (sdp, true)
    }

    /// An offer as it leaves, which restarts ICE with `made` unless that is None.
    pub(crate) fn offer(&mut self, made: Option<IceCreds>, sdp: String) -> String {
        self.promised = made.as_ref().map(|creds| self.named(creds.clone()));
        match (made, &self.promised) {
            (Some(made), Some(named)) => replaced(&sdp, &made, named),
            _ => sdp,
        }
    }

    /// Our offer was answered; true if the answer took its restart.
    pub(crate) fn answered(&mut self, rtc: &mut Rtc, before: &IceCreds) -> bool {
        let promised = self.promised.take();
        let restarted = rtc.direct_api().local_ice_credentials() != *before;
        if let Some(named) = promised.filter(|_| restarted) {
            rtc.direct_api().set_local_ice_credentials(named);
        }
        restarted
    }

    fn named(&self, creds: IceCreds) -> IceCreds {
        IceCreds {
            ufrag: format!("{}{}", self.prefix, creds.ufrag),
            pass: creds.pass,
        }
    }
}

/// An offer on a connection that was another node's, read so that the node has to open DTLS, and with
/// it SCTP. The client sees a new fingerprint and begins DTLS anew, but takes its SCTP association to
/// live on: only an INIT from here makes it a restart (RFC 9260 section 5.2.2).
pub(crate) fn as_client(offer: &str) -> String {
    offer.replace("a=setup:actpass", "a=setup:passive")
}

/// Both are random: nothing else in a description is equal to one of them.
fn replaced(sdp: &str, old: &IceCreds, new: &IceCreds) -> String {
    sdp.replace(&old.ufrag, &new.ufrag)
}
