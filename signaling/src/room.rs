//! Who sits in which room, who may say what to whom: a state machine without I/O. Messages go in by
//! [`Rooms::handle`], what has to be done about them comes out of [`Rooms::poll_output`].
//!
//! What this module deliberately is not: it has no sockets, no clock and no rates (see
//! [`crate::limits`]), and it reads neither descriptions nor candidates. Rooms do not outlive their
//! last member.

use std::collections::{HashMap, VecDeque};

use rand::Rng;
use rand::rngs::StdRng;

use crate::message::{
    ClientMessage, ErrorCode, IceServer, LeaveReason, PROTOCOL_VERSION, PeerId, PeerInfo, RoomName,
    ServerMessage,
};

/// One socket, numbered by whoever holds it; never reused within a [`Rooms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What rooms are made like.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// Seats in a room, at least 1.
    pub seats: usize,
    /// Rooms at the same time.
    pub rooms: usize,
    /// Candidates from one peer to another for each offer or answer.
    pub candidates_per_leg: u32,
    /// What `joined` hands to the newcomer.
    pub ice_servers: Vec<IceServer>,
    /// What `joined` says about the heartbeat, in seconds.
    pub heartbeat_seconds: u32,
}

/// Something to do on a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: ConnectionId,
        /// What.
        message: ServerMessage,
    },
    /// Close the socket: another one took its membership over.
    Replaced {
        /// Whose.
        connection: ConnectionId,
    },
}

/// A message that was not carried out. The sender is owed a [`ServerMessage::Error`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub code: ErrorCode,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Every room of a server.
#[derive(Debug)]
pub struct Rooms {
    config: RoomConfig,
    rng: StdRng,
    /// No room in here is empty.
    rooms: HashMap<RoomName, Vec<Member>>,
    seats: HashMap<ConnectionId, RoomName>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Member {
    connection: ConnectionId,
    id: PeerId,
    name: Option<String>,
    resume_token: String,
    /// By receiver: what this member sent since its last description. Only for members of the room.
    legs: HashMap<PeerId, Leg>,
}

#[derive(Debug, Default)]
struct Leg {
    candidates: u32,
    /// The sender was told once that the rest is dropped.
    told: bool,
}

impl Rooms {
    /// No rooms yet. Ids and tokens come from `rng`, so it must not be guessable outside of tests.
    pub fn new(config: RoomConfig, rng: StdRng) -> Self {
        Self {
            config,
            rng,
            rooms: HashMap::new(),
            seats: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Carries out one message.
    ///
    /// # Errors
    /// [`Refusal`]: nothing changed, and nobody else hears of it.
    pub fn handle(&mut self, from: ConnectionId, message: ClientMessage) -> Result<(), Refusal> {
        match message {
            ClientMessage::Join {
                version,
                room,
                name,
                resume_token,
            } => self.join(from, version, &room, name, resume_token.as_deref()),
            ClientMessage::Leave => {
                if self.is_seated(from) {
                    self.vacate(from, LeaveReason::Left);
                    Ok(())
                } else {
                    Err(not_in_room())
                }
            }
            ClientMessage::Offer { to, sdp } => self.relay(from, &to, Leg::restart, |from| {
                ServerMessage::Offer { from, sdp }
            }),
            ClientMessage::Answer { to, sdp } => self.relay(from, &to, Leg::restart, |from| {
                ServerMessage::Answer { from, sdp }
            }),
            ClientMessage::Candidate { to, candidate } => {
                let cap = self.config.candidates_per_leg;
                let admit = |leg: &mut Leg| leg.admit_candidate(cap);
                self.relay(from, &to, admit, |from| ServerMessage::Candidate {
                    from,
                    candidate,
                })
            }
            ClientMessage::Reject { to } => self.relay(
                from,
                &to,
                |_| Ok(true),
                |from| ServerMessage::Reject { from },
            ),
            ClientMessage::Bye { to } => {
                self.relay(from, &to, Leg::restart, |from| ServerMessage::Bye { from })
            }
            ClientMessage::Ping => {
                self.outputs.push_back(Output::Send {
                    to: from,
                    message: ServerMessage::Pong,
                });
                Ok(())
            }
        }
    }

    /// The socket is gone; so is its seat.
    pub fn disconnected(&mut self, connection: ConnectionId) {
        self.vacate(connection, LeaveReason::Gone);
    }

    /// What is to be done next, in order. Drained after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether this socket has a seat.
    pub fn is_seated(&self, connection: ConnectionId) -> bool {
        self.seats.contains_key(&connection)
    }

    /// How many rooms there are; each has somebody in it.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// How many seats are taken, in all rooms.
    pub fn member_count(&self) -> usize {
        self.seats.len()
    }

    fn join(
        &mut self,
        connection: ConnectionId,
        version: u32,
        room: &str,
        name: Option<String>,
        resume_token: Option<&str>,
    ) -> Result<(), Refusal> {
        if version != PROTOCOL_VERSION {
            let message =
                format!("this server speaks protocol version {PROTOCOL_VERSION}, not {version}");
            return Err(Refusal::new(ErrorCode::Version, message));
        }
        if let Some(room) = self.seats.get(&connection) {
            let message = format!("this socket is in room {room} already; leave it first");
            return Err(Refusal::new(ErrorCode::AlreadyJoined, message));
        }
        let room: RoomName = room
            .parse()
            .map_err(|error| Refusal::new(ErrorCode::BadRoomName, format!("{error}")))?;

        let members = self.rooms.get(&room).map_or(&[][..], Vec::as_slice);
        let ghost = resume_token
            .and_then(|token| members.iter().find(|member| member.resume_token == token))
            .map(|member| member.connection);
        if members.is_empty() && self.rooms.len() >= self.config.rooms {
            let message = format!(
                "this server already has {} rooms, and takes no more",
                self.config.rooms
            );
            return Err(Refusal::new(ErrorCode::RoomLimit, message));
        }
        if ghost.is_none() && members.len() >= self.config.seats {
            let message = format!(
                "room {room} is full: all of its {} seats are taken",
                self.config.seats
            );
            return Err(Refusal::new(ErrorCode::RoomFull, message));
        }
        if let Some(ghost) = ghost {
            self.vacate(ghost, LeaveReason::Replaced);
            self.outputs
                .push_back(Output::Replaced { connection: ghost });
        }
        self.seat(connection, room, name);
        Ok(())
    }

    fn seat(&mut self, connection: ConnectionId, room: RoomName, name: Option<String>) {
        let newcomer = Member {
            connection,
            id: PeerId::new(format!("{:016x}", self.rng.random::<u64>())),
            name: name
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty()),
            resume_token: format!("{:032x}", self.rng.random::<u128>()),
            legs: HashMap::new(),
        };
        let members = self.rooms.entry(room.clone()).or_default();
        // The newcomer is the polite one, and knows it; see PROTOCOL.md.
        let joined = ServerMessage::Joined {
            version: PROTOCOL_VERSION,
            id: newcomer.id.clone(),
            room: room.as_str().to_owned(),
            peers: members.iter().map(|member| member.info(true)).collect(),
            ice_servers: self.config.ice_servers.clone(),
            heartbeat_seconds: self.config.heartbeat_seconds,
            resume_token: newcomer.resume_token.clone(),
        };
        self.outputs.push_back(Output::Send {
            to: connection,
            message: joined,
        });
        self.outputs
            .extend(members.iter().map(|member| Output::Send {
                to: member.connection,
                message: ServerMessage::PeerJoined {
                    peer: newcomer.info(false),
                },
            }));
        members.push(newcomer);
        self.seats.insert(connection, room);
    }

    fn vacate(&mut self, connection: ConnectionId, reason: LeaveReason) {
        let Some(room) = self.seats.remove(&connection) else {
            return;
        };
        let Some(members) = self.rooms.get_mut(&room) else {
            return;
        };
        let Some(index) = members
            .iter()
            .position(|member| member.connection == connection)
        else {
            return;
        };
        let gone = members.remove(index);
        for member in members.iter_mut() {
            member.legs.remove(&gone.id);
            let message = ServerMessage::PeerLeft {
                id: gone.id.clone(),
                reason,
            };
            self.outputs.push_back(Output::Send {
                to: member.connection,
                message,
            });
        }
        if members.is_empty() {
            self.rooms.remove(&room);
        }
    }

    /// Passes a message on to another member of the sender's room, under the sender's own id, if
    /// `admit` lets it pass.
    fn relay(
        &mut self,
        from: ConnectionId,
        to: &PeerId,
        admit: impl FnOnce(&mut Leg) -> Result<bool, Refusal>,
        message: impl FnOnce(PeerId) -> ServerMessage,
    ) -> Result<(), Refusal> {
        let members = self
            .seats
            .get(&from)
            .and_then(|room| self.rooms.get_mut(room))
            .ok_or_else(not_in_room)?;
        let receiver = members
            .iter()
            .find(|member| member.id == *to && member.connection != from)
            .map(|member| member.connection)
            .ok_or_else(|| {
                Refusal::new(
                    ErrorCode::NoSuchPeer,
                    "nobody else in this room has the id in \"to\"",
                )
            })?;
        let sender = members
            .iter_mut()
            .find(|member| member.connection == from)
            .ok_or_else(not_in_room)?;
        if admit(sender.legs.entry(to.clone()).or_default())? {
            let message = message(sender.id.clone());
            self.outputs.push_back(Output::Send {
                to: receiver,
                message,
            });
        }
        Ok(())
    }
}

impl Member {
    fn info(&self, polite: bool) -> PeerInfo {
        PeerInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            polite,
        }
    }
}

impl Leg {
    /// A new description: the count begins anew.
    fn restart(&mut self) -> Result<bool, Refusal> {
        *self = Self::default();
        Ok(true)
    }

    /// Whether one more candidate passes. The first that does not is refused aloud, the rest in
    /// silence: an honest end with many interfaces loses its tail and needs no lecture for each.
    fn admit_candidate(&mut self, cap: u32) -> Result<bool, Refusal> {
        if self.candidates < cap {
            self.candidates += 1;
            return Ok(true);
        }
        if std::mem::replace(&mut self.told, true) {
            return Ok(false);
        }
        let message = format!(
            "only {cap} candidates are passed on for one offer or answer; the rest is dropped"
        );
        Err(Refusal::new(ErrorCode::TooFast, message))
    }
}

fn not_in_room() -> Refusal {
    Refusal::new(ErrorCode::NotInRoom, "join a room first")
}
