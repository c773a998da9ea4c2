//! How much of the server one client, and one address, may use. Pure: time is an argument.
//!
//! What this module deliberately is not: it does not know rooms, and it closes nothing. It says
//! what is due, and [`crate::server`] does it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::message::ErrorCode;

/// Everything that is bounded, with defaults for a server on the open Internet.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes in one message.
    pub message_bytes: usize,
    /// Messages from one socket.
    pub messages: Rate,
    /// Bytes from one socket.
    pub bytes: Rate,
    /// New sockets from one address.
    pub openings_per_address: Rate,
    /// Sockets from one address at the same time. Behind a proxy that is everybody's address.
    pub sockets_per_address: usize,
    /// Sockets at the same time.
    pub sockets: usize,
    /// Seats in a room.
    pub seats: usize,
    /// Rooms at the same time.
    pub rooms: usize,
    /// Candidates from one peer to another for each offer or answer.
    pub candidates_per_leg: u32,
    /// Messages waiting for a client that does not read; then it is disconnected.
    pub outbox_messages: usize,
    /// Bytes waiting for a client that does not read; then it is disconnected.
    pub outbox_bytes: usize,
    /// How long a peer may take nothing of what it is sent, whatever it is; then it is disconnected.
    pub stall: Duration,
    /// How long a socket may stay outside of any room, and a peer may take over its HTTP request.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: crate::message::MAX_MESSAGE_BYTES,
            messages: Rate {
                per_second: 50.0,
                burst: 250.0,
            },
            bytes: Rate {
                per_second: 128.0 * 1024.0,
                burst: 1024.0 * 1024.0,
            },
            openings_per_address: Rate {
                per_second: 50.0,
                burst: 200.0,
            },
            sockets_per_address: 100,
            sockets: 2_000,
            seats: 2,
            rooms: 1_000,
            candidates_per_leg: 100,
            outbox_messages: 256,
            outbox_bytes: 256 * 1024,
            stall: Duration::from_secs(30),
            patience: Duration::from_secs(10),
        }
    }
}

/// What a [`TokenBucket`] holds and regains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens that come back each second.
    pub per_second: f64,
    /// Tokens that can be taken at once.
    pub burst: f64,
}

/// A token bucket. Full at first.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: Rate,
    tokens: f64,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            updated: now,
        }
    }

    /// Takes `amount` tokens, or none and `false`.
    pub fn take(&mut self, amount: f64, now: Instant) -> bool {
        self.refill(now);
        let enough = self.tokens >= amount;
        if enough {
            self.tokens -= amount;
        }
        enough
    }

    /// Whether nothing is missing: such a bucket can be thrown away and made anew.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= self.rate.burst
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate.per_second).min(self.rate.burst);
        self.updated = self.updated.max(now);
    }
}

/// How one client behaves: its rate, its manners, its heartbeat.
#[derive(Debug)]
pub struct Conduct {
    messages: TokenBucket,
    bytes: TokenBucket,
    manners: TokenBucket,
    patience: Duration,
    silence: Duration,
    last_heard: Instant,
    /// Since when it has had no seat.
    unseated: Option<Instant>,
}

/// Why a client has run out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It is in no room.
    Join,
    /// Nothing came from it for two heartbeats.
    Heartbeat,
}

impl Conduct {
    /// Points that a client has to lose; they come back at one a second. Six messages that make no
    /// sense in a row, or sixty to a peer that has just left, are too many.
    const MANNERS: Rate = Rate {
        per_second: 1.0,
        burst: 59.0,
    };

    /// A client that connected just now.
    pub fn new(limits: &Limits, heartbeat: Duration, now: Instant) -> Self {
        Self {
            messages: TokenBucket::new(limits.messages, now),
            bytes: TokenBucket::new(limits.bytes, now),
            manners: TokenBucket::new(Self::MANNERS, now),
            patience: limits.patience,
            silence: heartbeat * 2,
            last_heard: now,
            unseated: Some(now),
        }
    }

    /// Notes a frame of `len` bytes. `false`: it is to be dropped unread, as [`ErrorCode::TooFast`].
    pub fn heard(&mut self, len: usize, now: Instant) -> bool {
        self.last_heard = now;
        self.messages.take(1.0, now) && self.bytes.take(len as f64, now)
    }

    /// Notes that a message was refused. `false`: that was once too often, close the socket.
    pub fn forgives(&mut self, code: ErrorCode, now: Instant) -> bool {
        let points = match code {
            ErrorCode::Version | ErrorCode::TooLarge | ErrorCode::ServerFull => return false,
            // Waiting at the door, or writing to somebody who left a moment ago, is no misconduct
            // unless it never ends.
            ErrorCode::RoomFull
            | ErrorCode::RoomLimit
            | ErrorCode::NoSuchPeer
            | ErrorCode::TooFast => 1.0,
            _ => 10.0,
        };
        self.manners.take(points, now)
    }

    /// Notes whether the client has a seat now.
    pub fn seated(&mut self, seated: bool, now: Instant) {
        self.unseated = if seated {
            None
        } else {
            self.unseated.or(Some(now))
        };
    }

    /// When [`Conduct::overdue`] is to be asked next.
    pub fn deadline(&self) -> Instant {
        let heartbeat = self.last_heard + self.silence;
        self.unseated
            .map_or(heartbeat, |since| heartbeat.min(since + self.patience))
    }

    /// Why the client is to be let go, if it is.
    pub fn overdue(&self, now: Instant) -> Option<Overdue> {
        if self
            .unseated
            .is_some_and(|since| now >= since + self.patience)
        {
            Some(Overdue::Join)
        } else if now >= self.last_heard + self.silence {
            Some(Overdue::Heartbeat)
        } else {
            None
        }
    }
}

/// Counts what each address, and all together, have open.
#[derive(Debug)]
pub struct Doorkeeper {
    in_all: usize,
    per_address: usize,
    openings: Option<Rate>,
    open: usize,
    addresses: HashMap<IpAddr, Visitor>,
}

#[derive(Debug)]
struct Visitor {
    open: usize,
    openings: Option<TokenBucket>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// This address has too much open, or opens too fast.
    Address,
    /// Everybody together has too much open.
    Full,
}

impl Doorkeeper {
    /// Addresses remembered only for how fast they opened. Past that all of those are forgotten at
    /// once: a crowd of strangers may win back its burst, but shuts nobody out.
    const MEMORY: usize = 10_000;

    /// Nobody is in yet.
    pub fn new(in_all: usize, per_address: usize, openings: Option<Rate>) -> Self {
        Self {
            in_all,
            per_address,
            openings,
            open: 0,
            addresses: HashMap::new(),
        }
    }

    /// Lets one in, until [`Doorkeeper::leave`].
    ///
    /// # Errors
    /// [`Turned`], and it has not come in.
    pub fn enter(&mut self, address: IpAddr, now: Instant) -> Result<(), Turned> {
        let address = household(address);
        if self.addresses.len() >= self.in_all.saturating_add(Self::MEMORY) {
            self.addresses.retain(|_, visitor| visitor.open > 0);
        }
        let openings = self.openings;
        let visitor = self.addresses.entry(address).or_insert_with(|| Visitor {
            open: 0,
            openings: openings.map(|rate| TokenBucket::new(rate, now)),
        });
        let calm = visitor
            .openings
            .as_mut()
            .is_none_or(|openings| openings.take(1.0, now));
        if !calm || visitor.open >= self.per_address {
            return Err(Turned::Address);
        }
        if self.open >= self.in_all {
            return Err(Turned::Full);
        }
        visitor.open += 1;
        self.open += 1;
        Ok(())
    }

    /// One that came in has gone.
    pub fn leave(&mut self, address: IpAddr, now: Instant) {
        let address = household(address);
        if let Some(visitor) = self.addresses.get_mut(&address)
            && visitor.open > 0
        {
            visitor.open -= 1;
            self.open -= 1;
            if visitor.forgettable(now) {
                self.addresses.remove(&address);
            }
        }
    }

    /// How many are in.
    pub fn open(&self) -> usize {
        self.open
    }
}

impl Visitor {
    fn forgettable(&mut self, now: Instant) -> bool {
        self.open == 0
            && self
                .openings
                .as_mut()
                .is_none_or(|openings| openings.is_full(now))
    }
}

/// What counts as one address: a /64 is given to one household, which can use any address in it.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
    }
}
