//! Who offers, who yields: [perfect negotiation](https://w3c.github.io/webrtc-pc/#perfect-negotiation-example)
//! as a state machine.
//!
//! Not a peer connection: it reads no SDP. It is told what came and what is done, and answers with
//! what to do next, one operation at a time, as the specification's
//! [operations chain](https://w3c.github.io/webrtc-pc/#dfn-operations-chain) does.

use std::collections::VecDeque;

use thiserror::Error;

/// [RTCSdpType](https://w3c.github.io/webrtc-pc/#rtcsdptype), as far as it goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SdpKind {
    /// An offer.
    Offer,
    /// A final answer.
    Answer,
}

/// [RTCSignalingState](https://w3c.github.io/webrtc-pc/#rtcsignalingstate-enum), without the
/// provisional answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalingState {
    /// No offer is open.
    Stable,
    /// We offered and wait for the answer.
    HaveLocalOffer,
    /// They offered and wait for our answer.
    HaveRemoteOffer,
}

/// What the negotiator is told. `D` is a session description, `C` a candidate; it looks into neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NegotiatorInput<D, C> {
    /// [`negotiationneeded`](https://w3c.github.io/webrtc-pc/#event-negotiation) fired, or an ICE
    /// restart is wanted.
    NegotiationNeeded,
    /// Signaling brought a description.
    RemoteDescription {
        /// Offer or answer.
        kind: SdpKind,
        /// The description.
        description: D,
    },
    /// Signaling brought a candidate.
    RemoteCandidate(C),
    /// The operation last asked for is done: the local description is set and sent, the remote one
    /// set, the offer rolled back.
    Done,
    /// The operation last asked for failed; nothing has changed.
    Failed,
    /// The open offer of ours will not be answered: the other side refused it, or too much time has
    /// passed, or signaling was away. It is rolled back, so that another can be made. Means nothing if
    /// none is open.
    OfferLapsed,
    /// Answer to [`NegotiatorAction::MakeOffer`] with `after_rollback`: it turned out that nothing is
    /// left to negotiate.
    NotNeeded,
}

/// What the driver is asked to do.
///
/// Every action but [`AddCandidate`](Self::AddCandidate) and [`Refuse`](Self::Refuse) is an operation:
/// the driver answers it with [`NegotiatorInput::Done`] or [`NegotiatorInput::Failed`], and gets no
/// other before that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NegotiatorAction<D, C> {
    /// Create an offer, set it as the local description, send it.
    MakeOffer {
        /// Our offer gave way to theirs. If their negotiation settled what ours was for, answer
        /// [`NegotiatorInput::NotNeeded`].
        after_rollback: bool,
    },
    /// Roll the open offer back, whoever made it.
    Rollback,
    /// Set the remote description.
    SetRemote {
        /// Offer or answer.
        kind: SdpKind,
        /// The description.
        description: D,
    },
    /// Create an answer, set it as the local description, send it.
    MakeAnswer,
    /// Add a remote candidate.
    AddCandidate {
        /// The candidate.
        candidate: C,
        /// It may belong to an offer that was ignored: if it does not fit the remote description,
        /// drop it in silence.
        lenient: bool,
    },
    /// Nothing to do, but the other side may be told why its message had no effect.
    Refuse(NegotiationRefused),
}

/// Why a message of the other side was passed over; the negotiation stands as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum NegotiationRefused {
    /// An answer, and no offer of ours is open: InvalidStateError, to be reported.
    #[error("an answer came, but no offer is open")]
    UnexpectedAnswer,
    /// Their offer could not be set or answered: to be told, or they wait for an answer for ever
    /// ([`NegotiatorInput::OfferLapsed`] is what they make of it).
    #[error("the offer could not be taken")]
    OfferFailed,
    /// Their answer could not be set; our offer is rolled back.
    #[error("the answer could not be taken")]
    AnswerFailed,
    /// Both offered and we do not yield: part of the protocol, not a fault.
    #[error("an offer collided with ours and was ignored")]
    GlareIgnored,
    /// More descriptions waited than a sane peer sends.
    #[error("too many session descriptions at once")]
    TooManyDescriptions,
    /// More candidates waited for a description than a sane peer has.
    #[error("too many candidates at once")]
    TooManyCandidates,
}

/// Counts what the negotiator has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NegotiatorCounters {
    /// Offer-answer rounds completed, whoever offered.
    pub completed: u64,
    /// Offers of ours that gave way.
    pub rolled_back: u64,
    /// Offers of theirs that were ignored.
    pub ignored_offers: u64,
    /// Candidates dropped with an ignored offer, or because too many came.
    pub dropped_candidates: u64,
    /// Messages refused for another reason than glare.
    pub refused: u64,
}

/// One side of a negotiation. Exactly one of the two sides is polite.
///
/// Messages of the other side must be handed over in the order in which they were sent.
///
/// ```
/// use duet_session::{Negotiator, NegotiatorAction, NegotiatorInput, SdpKind};
/// let mut negotiator: Negotiator<String, String> = Negotiator::new(true);
/// negotiator.handle(NegotiatorInput::NegotiationNeeded);
/// assert_eq!(negotiator.poll(), Some(NegotiatorAction::MakeOffer { after_rollback: false }));
/// // … the driver makes, sets and sends it …
/// negotiator.handle(NegotiatorInput::Done);
/// let answer = NegotiatorInput::RemoteDescription { kind: SdpKind::Answer, description: "v=0".into() };
/// negotiator.handle(answer);
/// assert!(matches!(negotiator.poll(), Some(NegotiatorAction::SetRemote { .. })));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Negotiator<D, C> {
    polite: bool,
    state: SignalingState,
    operation: Option<Operation>,
    /// What has to follow the operation that was done last, before anything else.
    owed: Option<Operation>,
    needed: Need,
    /// Messages that wait for the operation under way, in order of arrival.
    inbox: VecDeque<Message<D, C>>,
    descriptions_waiting: usize,
    candidates_waiting: usize,
    has_remote_description: bool,
    /// The last description from the other side was not taken: nor are the candidates that follow.
    ignoring: bool,
    refusals: VecDeque<NegotiationRefused>,
    counters: NegotiatorCounters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Offer,
    /// Of an offer that collided with theirs, which is first in the inbox.
    Yield,
    /// Of an offer that came to nothing.
    Rollback,
    SetRemote(SdpKind),
    Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Need {
    No,
    AfterRollback,
    Yes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Message<D, C> {
    Description(SdpKind, D),
    Candidate(C),
}

impl<D, C> Negotiator<D, C> {
    /// So many candidates wait for their description; more are dropped.
    pub const MAX_CANDIDATES: usize = 100;
    /// So many descriptions wait for the operation under way; more are refused.
    pub const MAX_DESCRIPTIONS: usize = 4;

    /// A negotiator in the stable state. The `polite` side yields when both offer at once.
    pub fn new(polite: bool) -> Self {
        Negotiator {
            polite,
            state: SignalingState::Stable,
            operation: None,
            owed: None,
            needed: Need::No,
            inbox: VecDeque::new(),
            descriptions_waiting: 0,
            candidates_waiting: 0,
            has_remote_description: false,
            ignoring: false,
            refusals: VecDeque::new(),
            counters: NegotiatorCounters::default(),
        }
    }

    /// Whether this side yields.
    pub fn is_polite(&self) -> bool {
        self.polite
    }

    /// Where the offer-answer exchange stands.
    pub fn signaling_state(&self) -> SignalingState {
        self.state
    }

    /// Whether nothing is under way, waiting or wanted.
    pub fn is_idle(&self) -> bool {
        self.state == SignalingState::Stable
            && self.operation.is_none()
            && self.owed.is_none()
            && self.needed == Need::No
            && self.descriptions_waiting == 0
    }

    /// What was counted so far.
    pub fn counters(&self) -> NegotiatorCounters {
        self.counters
    }

    /// Takes in what happened. Ask [`poll`](Self::poll) afterwards, until it has nothing more.
    pub fn handle(&mut self, input: NegotiatorInput<D, C>) {
        match input {
            NegotiatorInput::NegotiationNeeded => self.needed = Need::Yes,
            NegotiatorInput::RemoteDescription { kind, description } => {
                if self.descriptions_waiting < Self::MAX_DESCRIPTIONS {
                    self.descriptions_waiting += 1;
                    self.inbox
                        .push_back(Message::Description(kind, description));
                } else {
                    self.refuse(NegotiationRefused::TooManyDescriptions);
                }
            }
            NegotiatorInput::RemoteCandidate(candidate) => {
                if self.candidates_waiting < Self::MAX_CANDIDATES {
                    self.candidates_waiting += 1;
                    self.inbox.push_back(Message::Candidate(candidate));
                } else {
                    self.counters.dropped_candidates += 1;
                    self.refuse(NegotiationRefused::TooManyCandidates);
                }
            }
            NegotiatorInput::Done => self.on_done(),
            NegotiatorInput::Failed => self.on_failed(),
            NegotiatorInput::OfferLapsed => {
                if self.operation.is_none() && self.state == SignalingState::HaveLocalOffer {
                    self.owed = Some(Operation::Rollback);
                }
            }
            NegotiatorInput::NotNeeded => {
                self.operation
                    .take_if(|operation| *operation == Operation::Offer);
            }
        }
    }

    /// The next thing to do; `None` if there is nothing, or an operation is under way.
    pub fn poll(&mut self) -> Option<NegotiatorAction<D, C>> {
        if let Some(refusal) = self.refusals.pop_front() {
            return Some(NegotiatorAction::Refuse(refusal));
        }
        if self.operation.is_some() {
            return None;
        }
        match self.owed.take() {
            Some(Operation::Answer) => {
                self.operation = Some(Operation::Answer);
                return Some(NegotiatorAction::MakeAnswer);
            }
            Some(_) => {
                self.operation = Some(Operation::Rollback);
                return Some(NegotiatorAction::Rollback);
            }
            None => {}
        }
        // What the other side sent comes before what we want: an answer made now may spare an offer.
        while let Some(message) = self.next_message() {
            match message {
                Message::Description(kind, description) => {
                    if let Some(action) = self.on_description(kind, description) {
                        return Some(action);
                    }
                }
                Message::Candidate(candidate) if self.has_remote_description => {
                    return Some(NegotiatorAction::AddCandidate {
                        candidate,
                        lenient: self.ignoring,
                    });
                }
                // Of a description that was not taken.
                Message::Candidate(_) => self.counters.dropped_candidates += 1,
            }
        }
        if self.needed != Need::No && self.state == SignalingState::Stable {
            let after_rollback = self.needed == Need::AfterRollback;
            self.needed = Need::No;
            self.operation = Some(Operation::Offer);
            return Some(NegotiatorAction::MakeOffer { after_rollback });
        }
        None
    }

    /// The first message that can be looked at: a candidate that came before every description waits
    /// for the first.
    fn next_message(&mut self) -> Option<Message<D, C>> {
        let early = !self.has_remote_description && !self.ignoring;
        let index = if early {
            let is_description = |m: &Message<D, C>| matches!(m, Message::Description(..));
            self.inbox.iter().position(is_description)?
        } else {
            0
        };
        let message = self.inbox.remove(index)?;
        match message {
            Message::Description(..) => self.descriptions_waiting -= 1,
            Message::Candidate(_) => self.candidates_waiting -= 1,
        }
        Some(message)
    }

    fn on_description(&mut self, kind: SdpKind, description: D) -> Option<NegotiatorAction<D, C>> {
        match (kind, self.state) {
            (SdpKind::Answer, SignalingState::HaveLocalOffer)
            | (SdpKind::Offer, SignalingState::Stable | SignalingState::HaveRemoteOffer) => {
                self.operation = Some(Operation::SetRemote(kind));
                Some(NegotiatorAction::SetRemote { kind, description })
            }
            (SdpKind::Offer, SignalingState::HaveLocalOffer) if self.polite => {
                // Looked at again once ours is out of the way.
                self.descriptions_waiting += 1;
                self.inbox
                    .push_front(Message::Description(kind, description));
                self.operation = Some(Operation::Yield);
                Some(NegotiatorAction::Rollback)
            }
            (SdpKind::Offer, SignalingState::HaveLocalOffer) => {
                self.ignoring = true;
                self.counters.ignored_offers += 1;
                Some(NegotiatorAction::Refuse(NegotiationRefused::GlareIgnored))
            }
            (SdpKind::Answer, SignalingState::Stable | SignalingState::HaveRemoteOffer) => {
                self.ignoring = true;
                self.counters.refused += 1;
                Some(NegotiatorAction::Refuse(
                    NegotiationRefused::UnexpectedAnswer,
                ))
            }
        }
    }

    fn on_done(&mut self) {
        match self.operation.take() {
            Some(Operation::Offer) => self.state = SignalingState::HaveLocalOffer,
            Some(Operation::Yield) => {
                self.state = SignalingState::Stable;
                self.counters.rolled_back += 1;
                if self.needed == Need::No {
                    self.needed = Need::AfterRollback;
                }
            }
            Some(Operation::Rollback) => {
                self.state = SignalingState::Stable;
                self.counters.rolled_back += 1;
            }
            Some(Operation::SetRemote(SdpKind::Offer)) => {
                self.has_remote_description = true;
                self.ignoring = false;
                self.state = SignalingState::HaveRemoteOffer;
                self.owed = Some(Operation::Answer);
            }
            Some(Operation::SetRemote(SdpKind::Answer)) => {
                self.has_remote_description = true;
                self.ignoring = false;
                self.complete();
            }
            Some(Operation::Answer) => self.complete(),
            // Nothing was asked for: nothing is done.
            None => {}
        }
    }

    fn on_failed(&mut self) {
        match self.operation.take() {
            Some(Operation::Offer | Operation::Rollback) | None => {}
            // Their offer cannot be taken while ours stands.
            Some(Operation::Yield) => {
                self.drop_front_description();
                self.ignoring = true;
                self.refuse(NegotiationRefused::OfferFailed);
            }
            Some(Operation::SetRemote(SdpKind::Offer)) => {
                self.ignoring = true;
                self.refuse(NegotiationRefused::OfferFailed);
            }
            // The round is void: an offer left open would keep every other from beginning.
            Some(Operation::SetRemote(SdpKind::Answer)) => {
                self.ignoring = true;
                self.owed = Some(Operation::Rollback);
                self.refuse(NegotiationRefused::AnswerFailed);
            }
            Some(Operation::Answer) => {
                self.owed = Some(Operation::Rollback);
                self.refuse(NegotiationRefused::OfferFailed);
            }
        }
    }

    fn complete(&mut self) {
        self.state = SignalingState::Stable;
        self.counters.completed += 1;
    }

    fn drop_front_description(&mut self) {
        if matches!(self.inbox.front(), Some(Message::Description(..))) {
            self.inbox.pop_front();
            self.descriptions_waiting -= 1;
        }
    }

    fn refuse(&mut self, refusal: NegotiationRefused) {
        self.counters.refused += 1;
        // One of each is enough to tell the sender, and bounds the queue.
        if !self.refusals.contains(&refusal) {
            self.refusals.push_back(refusal);
        }
    }
}

#[cfg(test)]
mod model_check;
#[cfg(test)]
mod tests;
