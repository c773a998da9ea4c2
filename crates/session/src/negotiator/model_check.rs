//! Every order in which two negotiators can act and hear of each other, up to a bound.
//!
//! The peer connections under them are modelled by what webrtc-pc lets them do: an operation in a
//! state that does not allow it fails the check.

use std::collections::{HashSet, VecDeque};

use super::*;

/// A description, by its maker (0 or 1) and number; an answer names the offer it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sdp {
    maker: usize,
    number: u8,
    answers: Option<(usize, u8)>,
    /// How many of its maker's wishes it carries. An answer carries none.
    wishes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Wire {
    Description(SdpKind, Sdp),
    /// Of its maker's description of this number.
    Candidate(u8),
    Refused(NegotiationRefused),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    negotiator: Negotiator<Sdp, u8>,
    running: Option<NegotiatorAction<Sdp, u8>>,
    state: SignalingState,
    local_offer: Option<Sdp>,
    remote_offer: Option<Sdp>,
    /// Offer and answer of the round that stands.
    agreed: Option<(Sdp, Sdp)>,
    remote: Option<u8>,
    made: u8,
    wishes: u8,
    granted: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    peers: [Peer; 2],
    /// What is on its way to each.
    wires: [VecDeque<Wire>; 2],
    wishes_left: [u8; 2],
    failures_left: u8,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wish(usize),
    Deliver(usize),
    Finish(usize),
    Fail(usize),
}

impl Peer {
    fn new(polite: bool) -> Self {
        Peer {
            negotiator: Negotiator::new(polite),
            running: None,
            state: SignalingState::Stable,
            local_offer: None,
            remote_offer: None,
            agreed: None,
            remote: None,
            made: 0,
            wishes: 0,
            granted: 0,
        }
    }
}

impl World {
    fn new(wishes: [u8; 2], failures: u8) -> Self {
        World {
            peers: [Peer::new(true), Peer::new(false)],
            wires: [VecDeque::new(), VecDeque::new()],
            wishes_left: wishes,
            failures_left: failures,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for side in 0..2 {
            if self.wishes_left[side] > 0 {
                steps.push(Step::Wish(side));
            }
            if !self.wires[side].is_empty() {
                steps.push(Step::Deliver(side));
            }
            if let Some(running) = &self.peers[side].running {
                steps.push(Step::Finish(side));
                if self.failures_left > 0 && *running != NegotiatorAction::Rollback {
                    steps.push(Step::Fail(side));
                }
            }
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Wish(side) => {
                self.wishes_left[side] -= 1;
                self.peers[side].wishes += 1;
                self.peers[side]
                    .negotiator
                    .handle(NegotiatorInput::NegotiationNeeded);
                self.poll(side);
            }
            Step::Deliver(side) => {
                let input = match self.wires[side].pop_front().unwrap() {
                    Wire::Description(kind, description) => {
                        NegotiatorInput::RemoteDescription { kind, description }
                    }
                    Wire::Candidate(of) => NegotiatorInput::RemoteCandidate(of),
                    Wire::Refused(NegotiationRefused::OfferFailed) => NegotiatorInput::OfferLapsed,
                    Wire::Refused(_) => return,
                };
                self.peers[side].negotiator.handle(input);
                self.poll(side);
            }
            Step::Finish(side) => {
                let action = self.peers[side].running.take().unwrap();
                self.execute(side, &action);
                self.peers[side].negotiator.handle(NegotiatorInput::Done);
                assert_eq!(
                    self.peers[side].negotiator.signaling_state(),
                    self.peers[side].state
                );
                self.poll(side);
            }
            Step::Fail(side) => {
                self.failures_left -= 1;
                self.peers[side].running = None;
                self.peers[side].negotiator.handle(NegotiatorInput::Failed);
                self.poll(side);
            }
        }
    }

    fn poll(&mut self, side: usize) {
        while let Some(action) = self.peers[side].negotiator.poll() {
            let peer = &mut self.peers[side];
            match action {
                NegotiatorAction::Refuse(refusal) => {
                    self.wires[1 - side].push_back(Wire::Refused(refusal));
                }
                NegotiatorAction::AddCandidate { candidate, lenient } => {
                    assert!(
                        lenient || peer.remote == Some(candidate),
                        "a candidate of another description"
                    );
                }
                operation => {
                    assert!(peer.running.is_none(), "two operations at once");
                    peer.running = Some(operation);
                }
            }
        }
    }

    fn make(&mut self, side: usize, answers: Option<(usize, u8)>) -> Sdp {
        let peer = &mut self.peers[side];
        peer.made += 1;
        let sdp = Sdp {
            maker: side,
            number: peer.made,
            answers,
            wishes: if answers.is_none() { peer.wishes } else { 0 },
        };
        let kind = if answers.is_none() {
            SdpKind::Offer
        } else {
            SdpKind::Answer
        };
        self.wires[1 - side].push_back(Wire::Description(kind, sdp));
        self.wires[1 - side].push_back(Wire::Candidate(sdp.number));
        sdp
    }

    fn execute(&mut self, side: usize, action: &NegotiatorAction<Sdp, u8>) {
        let state = self.peers[side].state;
        match *action {
            NegotiatorAction::MakeOffer { .. } => {
                assert_eq!(state, SignalingState::Stable);
                let sdp = self.make(side, None);
                self.peers[side].local_offer = Some(sdp);
                self.peers[side].state = SignalingState::HaveLocalOffer;
            }
            NegotiatorAction::Rollback => {
                assert_ne!(state, SignalingState::Stable);
                let peer = &mut self.peers[side];
                (peer.local_offer, peer.remote_offer) = (None, None);
                peer.state = SignalingState::Stable;
            }
            NegotiatorAction::SetRemote {
                kind: SdpKind::Offer,
                description,
            } => {
                assert_ne!(state, SignalingState::HaveLocalOffer);
                let peer = &mut self.peers[side];
                peer.remote_offer = Some(description);
                peer.remote = Some(description.number);
                peer.state = SignalingState::HaveRemoteOffer;
            }
            NegotiatorAction::SetRemote {
                kind: SdpKind::Answer,
                description,
            } => {
                assert_eq!(state, SignalingState::HaveLocalOffer);
                let peer = &mut self.peers[side];
                let offer = peer.local_offer.take().unwrap();
                assert_eq!(
                    description.answers,
                    Some((side, offer.number)),
                    "the answer to another offer"
                );
                peer.remote = Some(description.number);
                peer.granted = peer.granted.max(offer.wishes);
                peer.agreed = Some((offer, description));
                peer.state = SignalingState::Stable;
            }
            NegotiatorAction::MakeAnswer => {
                assert_eq!(state, SignalingState::HaveRemoteOffer);
                let offer = self.peers[side].remote_offer.take().unwrap();
                let answer = self.make(side, Some((offer.maker, offer.number)));
                let peer = &mut self.peers[side];
                peer.agreed = Some((offer, answer));
                peer.state = SignalingState::Stable;
            }
            NegotiatorAction::AddCandidate { .. } | NegotiatorAction::Refuse(_) => {
                unreachable!("not operations")
            }
        }
    }

    fn check_at_rest(&self) {
        for peer in &self.peers {
            assert_eq!(peer.state, SignalingState::Stable, "an offer is left open");
            assert!(peer.negotiator.is_idle());
            assert_eq!(peer.negotiator.candidates_waiting, 0);
        }
    }

    fn check_agreement(&self) {
        let [a, b] = &self.peers;
        assert_eq!(a.agreed, b.agreed);
        for peer in &self.peers {
            assert_eq!(peer.granted, peer.wishes, "a wish was lost");
        }
    }
}

/// Walks through every state that can be reached. Returns how many there are, and how many at rest.
fn explore(start: World, at_rest: impl Fn(&World)) -> (usize, usize) {
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    let mut rests = 0;
    while let Some(world) = open.pop() {
        let steps = world.steps();
        if steps.is_empty() {
            rests += 1;
            at_rest(&world);
        }
        for step in steps {
            let mut next = world.clone();
            next.take(step);
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    (seen.len(), rests)
}

#[test]
fn both_sides_always_agree() {
    for wishes in [
        [1, 0],
        [0, 1],
        [1, 1],
        [2, 1],
        [1, 2],
        [2, 2],
        [3, 2],
        [3, 3],
    ] {
        let (states, rests) = explore(World::new(wishes, 0), |world| {
            world.check_at_rest();
            world.check_agreement();
        });
        assert!(rests > 0);
        println!("wishes {wishes:?}: {states} states, {rests} at rest");
    }
}

#[test]
fn a_failure_anywhere_leaves_no_offer_open() {
    for wishes in [[1, 0], [0, 1], [1, 1], [2, 1], [1, 2]] {
        let (states, rests) = explore(World::new(wishes, 1), World::check_at_rest);
        assert!(rests > 0);
        println!("wishes {wishes:?}: {states} states, {rests} at rest");
    }
}

#[test]
fn two_who_never_yield_would_be_found_out() {
    let mut start = World::new([1, 1], 0);
    start.peers[0] = Peer::new(false);
    let stuck = std::cell::Cell::new(0);
    explore(start, |world| {
        let open = world
            .peers
            .iter()
            .any(|peer| peer.state != SignalingState::Stable);
        stuck.set(stuck.get() + usize::from(open));
    });
    assert!(stuck.get() > 0);
}
