use super::*;
use NegotiatorAction as Do;
use NegotiatorInput as Is;
use proptest::prelude::*;

type Side = Negotiator<&'static str, u32>;

fn offer(description: &'static str) -> NegotiatorInput<&'static str, u32> {
    Is::RemoteDescription {
        kind: SdpKind::Offer,
        description,
    }
}

fn answer(description: &'static str) -> NegotiatorInput<&'static str, u32> {
    Is::RemoteDescription {
        kind: SdpKind::Answer,
        description,
    }
}

fn polled(side: &mut Side) -> Vec<NegotiatorAction<&'static str, u32>> {
    std::iter::from_fn(|| side.poll()).collect()
}

/// A side whose offer is out.
fn offered(polite: bool) -> Side {
    let mut side = Side::new(polite);
    side.handle(Is::NegotiationNeeded);
    assert_eq!(
        polled(&mut side),
        [Do::MakeOffer {
            after_rollback: false
        }]
    );
    side.handle(Is::Done);
    side
}

/// A side that has answered an offer.
fn answered(polite: bool) -> Side {
    let mut side = Side::new(polite);
    side.handle(offer("first"));
    for _ in 0..2 {
        assert_eq!(polled(&mut side).len(), 1);
        side.handle(Is::Done);
    }
    assert!(side.is_idle());
    side
}

#[test]
fn the_caller_offers_and_takes_the_answer() {
    let mut side = offered(false);
    side.handle(answer("a"));
    let set = Do::SetRemote {
        kind: SdpKind::Answer,
        description: "a",
    };
    assert_eq!(polled(&mut side), [set]);
    assert!(!side.is_idle());
    side.handle(Is::Done);
    assert!(side.is_idle());
    assert_eq!(side.counters().completed, 1);
}

#[test]
fn the_callee_answers_then_offers_what_it_wants() {
    let mut side = Side::new(true);
    side.handle(offer("o"));
    side.handle(Is::NegotiationNeeded);
    assert!(matches!(polled(&mut side)[..], [Do::SetRemote { .. }]));
    side.handle(Is::Done);
    assert_eq!(polled(&mut side), [Do::MakeAnswer]);
    side.handle(Is::Done);
    assert_eq!(
        polled(&mut side),
        [Do::MakeOffer {
            after_rollback: false
        }]
    );
}

#[test]
fn candidates_wait_for_their_description_and_keep_their_order() {
    let mut side = Side::new(true);
    (1..=3).for_each(|n| side.handle(Is::RemoteCandidate(n)));
    assert_eq!(polled(&mut side), []);
    side.handle(offer("o"));
    assert!(matches!(polled(&mut side)[..], [Do::SetRemote { .. }]));
    side.handle(Is::RemoteCandidate(4));
    assert_eq!(polled(&mut side), []);
    side.handle(Is::Done);
    let actions = polled(&mut side);
    assert_eq!(actions, [Do::MakeAnswer]);
    side.handle(Is::Done);
    let added: Vec<u32> = polled(&mut side)
        .into_iter()
        .map(|action| match action {
            Do::AddCandidate {
                candidate,
                lenient: false,
            } => candidate,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(added, [1, 2, 3, 4]);
}

#[test]
fn the_impolite_side_ignores_a_colliding_offer_and_its_candidates() {
    let mut side = offered(false);
    side.handle(offer("theirs"));
    side.handle(Is::RemoteCandidate(1));
    assert_eq!(
        polled(&mut side),
        [Do::Refuse(NegotiationRefused::GlareIgnored)]
    );
    assert_eq!(side.counters().dropped_candidates, 1);
    side.handle(answer("to ours"));
    assert!(matches!(
        polled(&mut side)[..],
        [Do::SetRemote {
            kind: SdpKind::Answer,
            ..
        }]
    ));
    side.handle(Is::Done);
    side.handle(Is::RemoteCandidate(2));
    let add = Do::AddCandidate {
        candidate: 2,
        lenient: false,
    };
    assert_eq!(polled(&mut side), [add]);
}

#[test]
fn in_a_standing_call_candidates_of_an_ignored_offer_are_handed_over_leniently() {
    let mut side = answered(false);
    side.handle(Is::NegotiationNeeded);
    assert_eq!(polled(&mut side).len(), 1);
    side.handle(Is::Done);
    side.handle(offer("theirs"));
    side.handle(Is::RemoteCandidate(1));
    let lenient = Do::AddCandidate {
        candidate: 1,
        lenient: true,
    };
    assert_eq!(polled(&mut side)[1..], [lenient]);
}

#[test]
fn the_polite_side_yields_and_offers_again() {
    let mut side = offered(true);
    side.handle(offer("theirs"));
    assert_eq!(polled(&mut side), [Do::Rollback]);
    side.handle(Is::Done);
    assert!(matches!(
        polled(&mut side)[..],
        [Do::SetRemote {
            description: "theirs",
            ..
        }]
    ));
    side.handle(Is::Done);
    assert_eq!(polled(&mut side), [Do::MakeAnswer]);
    side.handle(Is::Done);
    assert_eq!(
        polled(&mut side),
        [Do::MakeOffer {
            after_rollback: true
        }]
    );
    side.handle(Is::NotNeeded);
    assert!(side.is_idle());
    assert_eq!(side.counters().rolled_back, 1);
}

#[test]
fn an_answer_out_of_place_changes_nothing() {
    let mut side = answered(true);
    side.handle(answer("nobody asked"));
    assert_eq!(
        polled(&mut side),
        [Do::Refuse(NegotiationRefused::UnexpectedAnswer)]
    );
    assert!(side.is_idle());
}

#[test]
fn an_offer_that_cannot_be_taken_leaves_the_call_as_it_was() {
    let mut side = answered(true);
    side.handle(offer("garbage"));
    assert_eq!(polled(&mut side).len(), 1);
    side.handle(Is::Failed);
    side.handle(Is::RemoteCandidate(9));
    let told = Do::Refuse(NegotiationRefused::OfferFailed);
    let lenient = Do::AddCandidate {
        candidate: 9,
        lenient: true,
    };
    assert_eq!(polled(&mut side), [told, lenient]);
    assert!(side.is_idle());
}

#[test]
fn a_round_that_fails_is_rolled_back_on_either_side() {
    let mut side = offered(false);
    side.handle(answer("garbage"));
    assert_eq!(polled(&mut side).len(), 1);
    side.handle(Is::Failed);
    let told = Do::Refuse(NegotiationRefused::AnswerFailed);
    assert_eq!(polled(&mut side), [told, Do::Rollback]);
    side.handle(Is::Done);
    assert!(side.is_idle());

    let mut side = Side::new(true);
    side.handle(offer("fine"));
    assert_eq!(polled(&mut side).len(), 1);
    side.handle(Is::Done);
    assert_eq!(polled(&mut side), [Do::MakeAnswer]);
    side.handle(Is::Failed);
    let told = Do::Refuse(NegotiationRefused::OfferFailed);
    assert_eq!(polled(&mut side), [told, Do::Rollback]);
    side.handle(Is::Done);
    assert!(side.is_idle());
}

#[test]
fn an_offer_nobody_answers_can_be_made_again() {
    let mut side = offered(false);
    side.handle(Is::OfferLapsed);
    side.handle(Is::NegotiationNeeded);
    assert_eq!(polled(&mut side), [Do::Rollback]);
    side.handle(Is::Done);
    assert_eq!(
        polled(&mut side),
        [Do::MakeOffer {
            after_rollback: false
        }]
    );
}

#[test]
fn floods_are_bounded() {
    let mut side = Side::new(false);
    (0..10_000).for_each(|n| side.handle(Is::RemoteCandidate(n)));
    assert_eq!(side.inbox.len(), Side::MAX_CANDIDATES);
    assert_eq!(
        polled(&mut side),
        [Do::Refuse(NegotiationRefused::TooManyCandidates)]
    );
    (0..10_000).for_each(|_| side.handle(offer("o")));
    assert_eq!(
        side.inbox.len(),
        Side::MAX_CANDIDATES + Side::MAX_DESCRIPTIONS
    );
    assert_eq!(
        side.counters().dropped_candidates,
        10_000 - Side::MAX_CANDIDATES as u64
    );
}

proptest! {
    #[test]
    fn no_input_panics_or_grows_it(polite in any::<bool>(), inputs in prop::collection::vec((0u8..9, any::<bool>()), 0..300)) {
        let mut side = Side::new(polite);
        for (input, poll) in inputs {
            side.handle(match input {
                0 => Is::NegotiationNeeded,
                1 => offer("o"),
                2 => answer("a"),
                3 | 4 => Is::RemoteCandidate(0),
                5 | 6 => Is::Done,
                7 => Is::Failed,
                _ => Is::OfferLapsed,
            });
            if poll {
                polled(&mut side);
            }
            let descriptions = side.inbox.iter().filter(|m| matches!(m, Message::Description(..))).count();
            prop_assert_eq!(descriptions, side.descriptions_waiting);
            prop_assert_eq!(side.inbox.len() - descriptions, side.candidates_waiting);
            prop_assert!(descriptions <= Side::MAX_DESCRIPTIONS + 1);
            prop_assert!(side.candidates_waiting <= Side::MAX_CANDIDATES);
            prop_assert!(side.refusals.len() <= 6);
        }
    }
}
