//! What became of each wish for a relayed address: granted, refused and why, unanswered, lost.
//!
//! The agent asks, and tells nobody of a refusal. Here its requests and their answers are read as they pass.
//! A server that was started anew knows nothing of what it granted. Over a stream that is seen at once; over UDP it
//! says so when the agent wants to keep it, which it does every few seconds.
//! Time is an argument.

use super::envelope::{ALLOCATE_ERROR, ALLOCATE_REQUEST, ALLOCATE_SUCCESS, Stun, TransactionId};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A server that says nothing for so long is given up. The agent repeats a request for the last time after
/// 6.2 s, and then waits for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// One of the machine's sockets, and the server that it asks.
pub(super) type Way = (SocketAddr, usize);

/// [Allocation Mismatch](https://www.rfc-editor.org/rfc/rfc8656#section-19).
const MISMATCH: u16 = 437;
/// Wishes that concern what was granted, and that may yet be answered: with one every three seconds, and some
/// permissions at once.
const MAX_WISHES: usize = 32;

#[derive(Debug, Clone)]
enum State {
    Asked {
        since: Instant,
        last: TransactionId,
        /// The last request says who asks, so that a refusal is meant.
        with_user: bool,
    },
    Granted {
        relayed: SocketAddr,
        /// Only who saw one of these can know its transaction, and refuse it.
        wishes: VecDeque<TransactionId>,
    },
    /// No request leaves any more.
    Over,
}

/// Why there is no relayed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
}

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The agent shall have it.
    Pass,
    /// The agent shall have it, and the program shall know.
    PassRefusal(Refusal),
    /// The program shall know, and the agent would only wait for ever: its next attempt fails.
    HoldRefusal(Refusal),
    /// The server does not know any more what it granted. The agent has no use for that either.
    Gone(SocketAddr),
}

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Allocations(HashMap<Way, State>);

impl Allocations {
    /// A datagram of the agent's is about to leave.
    ///
    /// # Errors
    /// It must not: there will be no relayed address, for the first time if a reason is given.
    pub(super) fn on_request(
        &mut self,
        way: Way,
        datagram: &[u8],
        now: Instant,
    ) -> Result<(), Option<Refusal>> {
        // The same server may be asked for a reflexive address.
        let Some(message) = Stun::read(datagram).filter(Stun::is_request) else {
            return Ok(());
        };
        if message.kind != ALLOCATE_REQUEST {
            if let Some(State::Granted { wishes, .. }) = self.0.get_mut(&way) {
                wishes.truncate(MAX_WISHES - 1);
                wishes.push_front(message.transaction);
            }
            return Ok(());
        }
        let since = match self.0.get(&way) {
            Some(State::Over) => return Err(None),
            Some(State::Asked { since, last, .. }) if *last == message.transaction => *since,
            _ => now,
        };
        if now.duration_since(since) >= PATIENCE {
            self.0.insert(way, State::Over);
            return Err(Some(Refusal {
                code: super::UNREACHABLE,
                text: "the TURN server does not answer".to_owned(),
            }));
        }
        let asked = State::Asked {
            since,
            last: message.transaction,
            with_user: message.has_user(),
        };
        self.0.insert(way, asked);
        Ok(())
    }

    /// A datagram came from a server.
    pub(super) fn on_answer(&mut self, way: Way, datagram: &[u8]) -> Verdict {
        let Some(message) = Stun::read(datagram) else {
            return Verdict::Pass;
        };
        let (last, with_user) = match self.0.get(&way) {
            Some(State::Asked {
                last, with_user, ..
            }) => (last, with_user),
            Some(State::Granted { relayed, wishes }) => {
                let ours = wishes.contains(&message.transaction) && message.is_refusal();
                let code = message.error().map(|(code, _)| code);
                if !ours || code != Some(MISMATCH) {
                    return Verdict::Pass;
                }
                let relayed = *relayed;
                self.0.insert(way, State::Over);
                return Verdict::Gone(relayed);
            }
            _ => return Verdict::Pass,
        };
        if message.transaction != *last {
            return Verdict::Pass;
        }
        match message.kind {
            ALLOCATE_SUCCESS => {
                if let Some(relayed) = message.relayed_address() {
                    let wishes = VecDeque::new();
                    self.0.insert(way, State::Granted { relayed, wishes });
                }
                Verdict::Pass
            }
            ALLOCATE_ERROR if *with_user || !message.is_challenge() => {
                let (code, text) = message.error().unwrap_or((500, String::new()));
                let refusal = Refusal { code, text };
                let with_user = *with_user;
                self.0.insert(way, State::Over);
                match with_user {
                    true => Verdict::PassRefusal(refusal),
                    false => Verdict::HoldRefusal(refusal),
                }
            }
            _ => Verdict::Pass,
        }
    }

    /// There is no way to the server any more, or never was. The address that it had granted.
    pub(super) fn on_lost(&mut self, way: Way) -> Option<SocketAddr> {
        match self.0.insert(way, State::Over) {
            Some(State::Granted { relayed, .. }) => Some(relayed),
            _ => None,
        }
    }

    /// Whether anything was asked that way.
    pub(super) fn knows(&self, way: Way) -> bool {
        self.0.contains_key(&way)
    }

    /// A socket is gone.
    pub(super) fn forget(&mut self, local: SocketAddr) {
        self.0.retain(|(asking, _), _| *asking != local);
    }

    /// Whether there are relayed addresses, or may still be.
    pub(super) fn is_hopeful(&self) -> bool {
        let over = |state: &State| matches!(state, State::Over);
        !self.0.values().all(over)
    }

    /// The same of one server.
    pub(super) fn is_hopeful_of(&self, server: usize) -> bool {
        let over = |state: &State| matches!(state, State::Over);
        let of_it = self.0.iter().filter(|((_, asked), _)| *asked == server);
        !of_it.map(|(_, state)| state).all(over)
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::samples::{allocate, allocated, mismatch, refresh, refused};
    use super::*;

    fn way() -> Way {
        (SocketAddr::from(([192, 0, 2, 7], 5_000)), 0)
    }

    fn refusal(code: u16, text: &str) -> Refusal {
        let text = text.to_owned();
        Refusal { code, text }
    }

    #[test]
    fn a_challenge_is_no_refusal_and_what_is_granted_can_be_lost() {
        let (mut all, now) = (Allocations::default(), Instant::now());
        assert!(!all.is_hopeful());
        all.on_request(way(), &allocate(1, false), now).unwrap();
        let challenge = refused(1, 401, "Unauthorized", true);
        assert_eq!(all.on_answer(way(), &challenge), Verdict::Pass);
        all.on_request(way(), &allocate(2, true), now).unwrap();
        assert_eq!(all.on_answer(way(), &allocated(2)), Verdict::Pass);
        assert!(all.is_hopeful());
        let relayed = "192.0.2.1:32853".parse().ok();
        assert_eq!(all.on_lost(way()), relayed);
        assert_eq!((all.on_lost(way()), all.is_hopeful()), (None, false));
        let request = allocate(3, false);
        assert_eq!(all.on_request(way(), &request, now), Err(None));
        all.forget(way().0);
        assert_eq!(all.on_request(way(), &request, now), Ok(()));
    }

    #[test]
    fn a_server_that_forgot_what_it_granted_is_believed_if_it_was_asked() {
        let (mut all, now) = (Allocations::default(), Instant::now());
        all.on_request(way(), &allocate(1, true), now).unwrap();
        assert_eq!(all.on_answer(way(), &allocated(1)), Verdict::Pass);
        for transaction in 2..=255 {
            all.on_request(way(), &refresh(transaction), now).unwrap();
        }
        // An answer that was long in coming, and nobody's.
        for stray in [2, 1] {
            assert_eq!(all.on_answer(way(), &mismatch(stray)), Verdict::Pass);
        }
        let stale = refused(254, 438, "Stale Nonce", true);
        assert_eq!(all.on_answer(way(), &stale), Verdict::Pass);
        let relayed = "192.0.2.1:32853".parse().unwrap();
        let gone = Verdict::Gone(relayed);
        assert_eq!(all.on_answer(way(), &mismatch(255)), gone);
        assert!(!all.is_hopeful());
        assert_eq!(all.on_answer(way(), &mismatch(254)), Verdict::Pass);
    }

    #[test]
    fn a_wrong_password_is_told_once() {
        let (mut all, now) = (Allocations::default(), Instant::now());
        all.on_request(way(), &allocate(1, true), now).unwrap();
        let no = refused(1, 401, "Unauthorized", true);
        let told = Verdict::PassRefusal(refusal(401, "Unauthorized"));
        assert_eq!(all.on_answer(way(), &no), told);
        assert_eq!(all.on_answer(way(), &no), Verdict::Pass);
        assert_eq!(all.on_request(way(), &allocate(2, true), now), Err(None));
    }

    #[test]
    fn a_refusal_of_anybody_is_kept_from_an_agent_that_would_wait() {
        let (mut all, now) = (Allocations::default(), Instant::now());
        all.on_request(way(), &allocate(1, false), now).unwrap();
        // Somebody else's answer.
        let stray = refused(7, 403, "Forbidden", false);
        assert_eq!(all.on_answer(way(), &stray), Verdict::Pass);
        let no = refused(1, 403, "Forbidden", false);
        let told = Verdict::HoldRefusal(refusal(403, "Forbidden"));
        assert_eq!(all.on_answer(way(), &no), told);
    }

    #[test]
    fn silence_ends() {
        let (mut all, now) = (Allocations::default(), Instant::now());
        let mut left = 0;
        // As the agent repeats itself.
        let (mut at, mut pause) = (Duration::ZERO, Duration::from_millis(200));
        let over = loop {
            match all.on_request(way(), &allocate(1, false), now + at) {
                Ok(()) => left += 1,
                Err(over) => break over,
            }
            at += pause;
            pause = (pause * 2).min(Duration::from_millis(1_600));
        };
        assert_eq!(left, 6);
        assert_eq!(over.map(|refusal| refusal.code), Some(701));
        assert!(!all.is_hopeful());
    }
}
