//! The rooms as a pure state machine: stories, and a seeded crowd that must not break their rules.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};

use duet_signaling::message::{
    ClientMessage, ErrorCode, IceCandidate, LeaveReason, PeerId, ServerMessage,
};
use duet_signaling::room::{ConnectionId, Output, Refusal, RoomConfig, Rooms};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);
const C: ConnectionId = ConnectionId(3);

fn rooms() -> Rooms {
    rooms_of(2, 3)
}

fn rooms_of(seats: usize, rooms: usize) -> Rooms {
    let config = RoomConfig {
        seats,
        rooms,
        candidates_per_leg: 3,
        ice_servers: Vec::new(),
        heartbeat_seconds: 10,
    };
    Rooms::new(config, StdRng::seed_from_u64(7))
}

fn join(room: &str, resume_token: Option<String>) -> ClientMessage {
    ClientMessage::Join {
        version: 1,
        room: room.into(),
        name: Some(" Ada ".into()),
        resume_token,
    }
}

fn outputs(rooms: &mut Rooms) -> Vec<Output> {
    std::iter::from_fn(|| rooms.poll_output()).collect()
}

fn sent(rooms: &mut Rooms, to: ConnectionId) -> Vec<ServerMessage> {
    let only = |output| match output {
        Output::Send {
            to: receiver,
            message,
        } if receiver == to => Some(message),
        _ => None,
    };
    outputs(rooms).into_iter().filter_map(only).collect()
}

/// Joins, and returns the id and the token; the rest of the outputs is dropped.
fn seat(rooms: &mut Rooms, connection: ConnectionId, room: &str) -> (PeerId, String) {
    rooms.handle(connection, join(room, None)).unwrap();
    match sent(rooms, connection).remove(0) {
        ServerMessage::Joined {
            id, resume_token, ..
        } => (id, resume_token),
        other => panic!("{other:?}"),
    }
}

fn code(result: Result<(), Refusal>) -> ErrorCode {
    result.unwrap_err().code
}

fn candidate(to: &PeerId, text: &str) -> ClientMessage {
    let candidate = IceCandidate {
        candidate: text.into(),
        ..IceCandidate::default()
    };
    ClientMessage::Candidate {
        to: to.clone(),
        candidate,
    }
}

#[test]
fn the_newcomer_is_polite_and_hears_of_the_others() {
    let mut rooms = rooms();
    let (a, _) = seat(&mut rooms, A, "demo");
    rooms.handle(B, join("demo", None)).unwrap();
    let messages = outputs(&mut rooms);
    let [
        Output::Send {
            to: B,
            message: ServerMessage::Joined {
                id: b, peers, room, ..
            },
        },
        Output::Send {
            to: A,
            message: ServerMessage::PeerJoined { peer },
        },
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!(room, "demo");
    assert_eq!((&peers[0].id, peers[0].polite, peers.len()), (&a, true, 1));
    assert_eq!(
        (&peer.id, peer.polite, peer.name.as_deref()),
        (b, false, Some("Ada"))
    );
    assert_ne!(a, *b);
}

#[test]
fn a_third_stands_before_a_full_room_until_somebody_leaves() {
    let mut rooms = rooms();
    let (a, _) = seat(&mut rooms, A, "demo");
    seat(&mut rooms, B, "demo");
    assert_eq!(
        code(rooms.handle(C, join("demo", None))),
        ErrorCode::RoomFull
    );
    assert_eq!(outputs(&mut rooms), [], "nobody hears of it");

    rooms.handle(A, ClientMessage::Leave).unwrap();
    assert_eq!(
        sent(&mut rooms, B),
        [ServerMessage::PeerLeft {
            id: a,
            reason: LeaveReason::Left
        }]
    );
    seat(&mut rooms, C, "demo");
}

#[test]
fn what_is_said_reaches_one_peer_under_the_senders_own_id() {
    let mut rooms = rooms_of(3, 1);
    let (a, _) = seat(&mut rooms, A, "demo");
    let (b, _) = seat(&mut rooms, B, "demo");
    seat(&mut rooms, C, "demo");
    rooms
        .handle(
            B,
            ClientMessage::Offer {
                to: a.clone(),
                sdp: "v=0".into(),
            },
        )
        .unwrap();
    let message = ServerMessage::Offer {
        from: b.clone(),
        sdp: "v=0".into(),
    };
    assert_eq!(outputs(&mut rooms), [Output::Send { to: A, message }]);
    let reject = ClientMessage::Reject { to: b.clone() };
    rooms.handle(A, reject).unwrap();
    let message = ServerMessage::Reject { from: a.clone() };
    assert_eq!(outputs(&mut rooms), [Output::Send { to: B, message }]);
    rooms.handle(A, ClientMessage::Bye { to: b }).unwrap();
    assert_eq!(
        outputs(&mut rooms),
        [Output::Send {
            to: B,
            message: ServerMessage::Bye { from: a }
        }]
    );
}

#[test]
fn nothing_passes_between_rooms_nor_from_outside_nor_to_oneself() {
    let mut rooms = rooms();
    let (a, _) = seat(&mut rooms, A, "one");
    let (b, _) = seat(&mut rooms, B, "two");
    let offer = |to: &PeerId| ClientMessage::Offer {
        to: to.clone(),
        sdp: "v=0".into(),
    };
    assert_eq!(code(rooms.handle(A, offer(&b))), ErrorCode::NoSuchPeer);
    assert_eq!(code(rooms.handle(A, offer(&a))), ErrorCode::NoSuchPeer);
    assert_eq!(
        code(rooms.handle(A, offer(&PeerId::new("' OR 1=1 --")))),
        ErrorCode::NoSuchPeer
    );
    assert_eq!(code(rooms.handle(C, offer(&a))), ErrorCode::NotInRoom);
    assert_eq!(
        code(rooms.handle(C, ClientMessage::Leave)),
        ErrorCode::NotInRoom
    );
    assert_eq!(outputs(&mut rooms), []);
}

#[test]
fn a_join_that_makes_no_sense_changes_nothing() {
    let mut rooms = rooms();
    seat(&mut rooms, A, "demo");
    let version = ClientMessage::Join {
        version: 2,
        room: "demo".into(),
        name: None,
        resume_token: None,
    };
    assert_eq!(code(rooms.handle(B, version)), ErrorCode::Version);
    for name in ["", "a b", "ä", "a/b", "..", &"a".repeat(65)] {
        assert_eq!(
            code(rooms.handle(B, join(name, None))),
            ErrorCode::BadRoomName,
            "{name:?}"
        );
    }
    assert_eq!(
        code(rooms.handle(A, join("other", None))),
        ErrorCode::AlreadyJoined
    );
    seat(&mut rooms, B, &"a".repeat(64));
    seat(&mut rooms, C, "third");
    assert_eq!(
        code(rooms.handle(ConnectionId(4), join("fourth", None))),
        ErrorCode::RoomLimit
    );
    assert_eq!((rooms.room_count(), rooms.member_count()), (3, 3));
    assert_eq!(outputs(&mut rooms), []);
}

#[test]
fn who_comes_back_with_the_token_replaces_the_ghost_even_in_a_full_room() {
    let mut rooms = rooms();
    let (ghost, token) = seat(&mut rooms, A, "demo");
    seat(&mut rooms, B, "demo");
    rooms.handle(C, join("demo", Some(token.clone()))).unwrap();
    let messages = outputs(&mut rooms);
    let [
        Output::Send {
            to: B,
            message:
                ServerMessage::PeerLeft {
                    id,
                    reason: LeaveReason::Replaced,
                },
        },
        Output::Replaced { connection: A },
        Output::Send {
            to: C,
            message:
                ServerMessage::Joined {
                    peers,
                    resume_token,
                    ..
                },
        },
        Output::Send {
            to: B,
            message: ServerMessage::PeerJoined { peer },
        },
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!(*id, ghost);
    assert_eq!(peers.len(), 1, "the ghost is not there to be called");
    assert_ne!(peer.id, ghost);
    assert_ne!(*resume_token, token);

    rooms.disconnected(A);
    assert_eq!(outputs(&mut rooms), [], "the ghost's own end is no news");
    let again = rooms.handle(ConnectionId(4), join("demo", Some(token)));
    assert_eq!(code(again), ErrorCode::RoomFull, "a token works once");
}

#[test]
fn a_token_of_another_room_or_of_nobody_is_worth_nothing() {
    let mut rooms = rooms();
    let (_, token) = seat(&mut rooms, A, "one");
    seat(&mut rooms, B, "two");
    rooms.handle(C, join("two", Some(token))).unwrap();
    assert!(rooms.is_seated(A));
    let made_up = rooms.handle(ConnectionId(4), join("two", Some(String::new())));
    assert_eq!(code(made_up), ErrorCode::RoomFull);
}

#[test]
fn candidates_are_capped_until_the_next_description() {
    let mut rooms = rooms();
    let (a, _) = seat(&mut rooms, A, "demo");
    let (b, _) = seat(&mut rooms, B, "demo");
    for _ in 0..3 {
        rooms.handle(A, candidate(&b, "candidate:1")).unwrap();
    }
    assert_eq!(sent(&mut rooms, B).len(), 3);
    assert_eq!(
        code(rooms.handle(A, candidate(&b, "candidate:4"))),
        ErrorCode::TooFast
    );
    rooms.handle(A, candidate(&b, "candidate:5")).unwrap();
    assert_eq!(outputs(&mut rooms), [], "told once, dropped ever after");

    rooms.handle(B, candidate(&a, "candidate:1")).unwrap();
    assert_eq!(
        sent(&mut rooms, A).len(),
        1,
        "the other direction has its own count"
    );

    rooms
        .handle(
            A,
            ClientMessage::Offer {
                to: b.clone(),
                sdp: "v=0".into(),
            },
        )
        .unwrap();
    rooms.handle(A, candidate(&b, "candidate:1")).unwrap();
    assert_eq!(
        sent(&mut rooms, B).len(),
        2,
        "an ICE restart starts from nothing"
    );
}

/// Two thousand steps of people who join, leave, vanish, come back and shout at ids of all kinds.
#[test]
fn a_crowd_never_breaks_the_rules() {
    for seed in 0..40 {
        crowd(seed);
    }
}

fn crowd(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rooms = rooms_of(2, 4);
    // What each client knows from what it was sent: its room, its id, and who else is there.
    let mut seen: BTreeMap<ConnectionId, (String, PeerId, BTreeSet<PeerId>)> = BTreeMap::new();
    let mut tokens = vec![String::from("made up")];
    let mut ids = vec![PeerId::new("made up")];
    for step in 0..2_000 {
        let who = ConnectionId(rng.random_range(0..12));
        let to = ids.choose(&mut rng).unwrap().clone();
        let message = match rng.random_range(0..11) {
            0..4 => {
                let token = rng
                    .random_bool(0.5)
                    .then(|| tokens.choose(&mut rng).unwrap().clone());
                join(["a", "b", "c", "d", "e"].choose(&mut rng).unwrap(), token)
            }
            4 => ClientMessage::Leave,
            5 => ClientMessage::Offer {
                to,
                sdp: "v=0".into(),
            },
            6 => candidate(&to, ""),
            7 => ClientMessage::Bye { to },
            8 => ClientMessage::Reject { to },
            _ => {
                rooms.disconnected(who);
                seen.remove(&who);
                ClientMessage::Ping
            }
        };
        let leaving = message == ClientMessage::Leave;
        let done = rooms.handle(who, message);
        if leaving && done.is_ok() {
            seen.remove(&who);
        }
        while let Some(output) = rooms.poll_output() {
            match output {
                Output::Replaced { connection } => {
                    seen.remove(&connection).expect("only a member is replaced");
                }
                Output::Send {
                    to,
                    message:
                        ServerMessage::Joined {
                            id,
                            room,
                            peers,
                            resume_token,
                            ..
                        },
                } => {
                    tokens.push(resume_token);
                    ids.push(id.clone());
                    let peers = peers.into_iter().map(|peer| peer.id).collect();
                    assert!(
                        seen.insert(to, (room, id, peers)).is_none(),
                        "seed {seed} step {step}"
                    );
                }
                Output::Send { to, message } => {
                    let member = seen.get_mut(&to);
                    match message {
                        ServerMessage::PeerJoined { peer } => {
                            assert!(member.unwrap().2.insert(peer.id));
                        }
                        ServerMessage::PeerLeft { id, .. } => {
                            assert!(member.unwrap().2.remove(&id));
                        }
                        ServerMessage::Offer { from, .. }
                        | ServerMessage::Candidate { from, .. }
                        | ServerMessage::Reject { from }
                        | ServerMessage::Bye { from } => assert!(member.unwrap().2.contains(&from)),
                        ServerMessage::Pong => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        // What the clients believe is what is.
        let mut members: BTreeMap<&String, BTreeSet<&PeerId>> = BTreeMap::new();
        for (room, id, _) in seen.values() {
            members.entry(room).or_default().insert(id);
        }
        for (room, id, peers) in seen.values() {
            let others: BTreeSet<_> = members[room]
                .iter()
                .copied()
                .filter(|other| *other != id)
                .collect();
            assert_eq!(
                peers.iter().collect::<BTreeSet<_>>(),
                others,
                "seed {seed} step {step}"
            );
            assert!(members[room].len() <= 2);
        }
        assert_eq!(rooms.room_count(), members.len());
        assert_eq!(rooms.member_count(), seen.len());
        assert!(members.len() <= 4);
    }
    for who in 0..12 {
        rooms.disconnected(ConnectionId(who));
    }
    assert_eq!(
        (rooms.room_count(), rooms.member_count()),
        (0, 0),
        "nothing is left behind"
    );
}
