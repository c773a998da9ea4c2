//! The seat in the room: connects, joins, and comes back when the server was away.

use crate::args::Call;
use crate::failure::Failure;
use crate::tell::Tell;
use duet_signaling::{
    ClientError, ClientMessage, ConnectOptions, ErrorCode, PROTOCOL_VERSION, PeerId, PeerInfo,
    ServerMessage, SignalingClient, SignalingReceiver, SignalingSender,
};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// The first pause before a new attempt; each later one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Another socket took the seat over: the server asks not to come back.
const TAKEN_OVER: u16 = 4001;
/// Newcomers whose offer is awaited; rooms are smaller than this.
const MAX_EXPECTED: usize = 64;

/// What the lobby tells the call.
pub(super) enum LobbyEvent {
    /// The server said something.
    Message(ServerMessage),
    /// The server cannot be reached any more; the lobby tries again by itself.
    Lost,
    /// There is no use in trying again.
    Refused(Failure),
}

/// A seat in a room, or the attempt to get one.
pub(super) struct Lobby {
    tell: Tell,
    server: Url,
    options: ConnectOptions,
    room: String,
    name: Option<String>,
    resume_token: Option<String>,
    seat: Seat,
    attempts: u32,
    /// Whether there was a seat ever: before that a refusal is the answer to the user's words.
    was_seated: bool,
    expected: Vec<PeerInfo>,
}

type Connected = Result<(SignalingSender, SignalingReceiver), ClientError>;

enum Seat {
    /// Not before this moment.
    Waiting(Instant),
    /// Kept here, so that whoever stops waiting for it does not stop it.
    Connecting(Pin<Box<dyn Future<Output = Connected> + Send>>),
    Open(SignalingSender, SignalingReceiver),
}

impl Lobby {
    pub(super) fn open(call: &Call, tell: Tell) -> Self {
        Lobby {
            tell,
            server: call.server.clone(),
            options: ConnectOptions {
                accept_invalid_certs: call.insecure,
                ..ConnectOptions::default()
            },
            room: call.room.clone(),
            name: call.name.clone(),
            resume_token: None,
            seat: Seat::Waiting(Instant::now()),
            attempts: 0,
            was_seated: false,
            expected: Vec::new(),
        }
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> LobbyEvent {
        loop {
            match &mut self.seat {
                Seat::Waiting(until) => {
                    tokio::time::sleep_until(*until).await;
                    let (server, options) = (self.server.clone(), self.options.clone());
                    self.seat = Seat::Connecting(Box::pin(async move {
                        SignalingClient::connect(&server, options).await
                    }));
                }
                Seat::Connecting(attempt) => {
                    let connected = attempt.await;
                    if let Some(failure) = self.on_connected(connected).await {
                        return LobbyEvent::Refused(failure);
                    }
                }
                Seat::Open(_, receiver) => match receiver.recv().await {
                    Ok(message) => {
                        if let Some(event) = self.on_message(message) {
                            return event;
                        }
                    }
                    Err(ClientError::Closed {
                        code: TAKEN_OVER, ..
                    }) => {
                        let why = "another program took over this seat in the room";
                        return LobbyEvent::Refused(Failure::failed(why));
                    }
                    Err(error) => {
                        self.tell.say(format_args!("{error}; trying again"));
                        self.pause();
                        return LobbyEvent::Lost;
                    }
                },
            }
        }
    }

    /// Sends a message; one that cannot be sent is lost, and the loss of the server told by
    /// [`Lobby::next`].
    pub(super) async fn send(&self, message: ClientMessage) {
        if let Seat::Open(sender, _) = &self.seat {
            let _ = sender.send(message).await;
        }
    }

    /// Gives the seat back.
    pub(super) async fn close(&self) {
        if let Seat::Open(sender, _) = &self.seat {
            let _ = sender.send(ClientMessage::Leave).await;
            sender.close().await;
        }
    }

    /// Somebody came whose offer is awaited.
    pub(super) fn expect(&mut self, peer: PeerInfo) {
        if self.expected.len() == MAX_EXPECTED {
            self.expected.remove(0);
        }
        self.expected.push(peer);
    }

    /// Who somebody is whose offer came.
    pub(super) fn take_expected(&mut self, id: &PeerId) -> Option<PeerInfo> {
        let at = self.expected.iter().position(|peer| peer.id == *id)?;
        Some(self.expected.swap_remove(at))
    }

    async fn on_connected(&mut self, connected: Connected) -> Option<Failure> {
        match connected {
            Ok((sender, receiver)) => {
                let join = ClientMessage::Join {
                    version: PROTOCOL_VERSION,
                    room: self.room.clone(),
                    name: self.name.clone(),
                    resume_token: self.resume_token.clone(),
                };
                let _ = sender.send(join).await;
                self.expected.clear();
                self.seat = Seat::Open(sender, receiver);
                None
            }
            Err(error @ (ClientError::BadUrl { .. } | ClientError::NotSignaling { .. })) => {
                Some(Failure::usage(error))
            }
            Err(
                error @ (ClientError::Untrusted { .. }
                | ClientError::Refused {
                    status: 403 | 404, ..
                }),
            ) if !self.was_seated => Some(Failure::failed(error)),
            Err(error) => {
                if self.attempts == 0 {
                    self.tell.warn(format_args!("{error}; trying again"));
                }
                self.pause();
                None
            }
        }
    }

    fn on_message(&mut self, message: ServerMessage) -> Option<LobbyEvent> {
        match &message {
            ServerMessage::Joined { resume_token, .. } => {
                self.resume_token = Some(resume_token.clone());
                self.was_seated = true;
                self.attempts = 0;
            }
            ServerMessage::Error {
                code,
                message,
                fatal,
            } => {
                let no_seat = matches!(
                    code,
                    ErrorCode::RoomFull | ErrorCode::RoomLimit | ErrorCode::ServerFull
                );
                // Whoever had a seat waits for it; whoever asks for the first one is told.
                if no_seat && self.was_seated {
                    self.tell.say(format_args!("{message}; trying again"));
                    self.pause();
                    return None;
                }
                // Before the first seat an error is the answer to the join, and there will be no other.
                if no_seat || *fatal || !self.was_seated {
                    return Some(LobbyEvent::Refused(Failure::failed(message)));
                }
            }
            ServerMessage::PeerLeft { id, .. } => self.expected.retain(|peer| peer.id != *id),
            _ => {}
        }
        Some(LobbyEvent::Message(message))
    }

    fn pause(&mut self) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.attempts.min(8))
            .min(LONGEST_PAUSE);
        // Between half of it and all, so that those who lost the server together do not come together.
        let random = RandomState::new().hash_one(self.attempts) % 1_000;
        let pause = pause.mul_f64(0.5 + random as f64 / 2_000.0);
        self.attempts += 1;
        self.seat = Seat::Waiting(Instant::now() + pause);
    }
}
