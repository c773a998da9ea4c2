//! What a datagram to or from a TURN server is, as far as its carriers must know
//! ([RFC 8656](https://www.rfc-editor.org/rfc/rfc8656)).
//!
//! It deliberately checks no integrity: the agent does. Nothing is copied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const HEADER: usize = 20;

const BINDING_REQUEST: u16 = 0x0001;
pub(super) const ALLOCATE_REQUEST: u16 = 0x0003;
const REFRESH_REQUEST: u16 = 0x0004;
const PERMISSION_REQUEST: u16 = 0x0008;
const CHANNEL_REQUEST: u16 = 0x0009;
pub(super) const ALLOCATE_SUCCESS: u16 = 0x0103;
pub(super) const ALLOCATE_ERROR: u16 = 0x0113;
/// Of a message's class: an answer, and no success.
const ERROR: u16 = 0x0110;
const SEND_INDICATION: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;

const WISHES: [u16; 4] = [
    ALLOCATE_REQUEST,
    REFRESH_REQUEST,
    PERMISSION_REQUEST,
    CHANNEL_REQUEST,
];

const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;

/// Identifies a request and its answer.
pub(super) type TransactionId = [u8; 12];

/// A STUN message ([RFC 8489, section 5](https://www.rfc-editor.org/rfc/rfc8489#section-5)).
#[derive(Clone, Copy)]
pub(super) struct Stun<'a> {
    /// Method and class.
    pub(super) kind: u16,
    pub(super) transaction: TransactionId,
    attributes: &'a [u8],
}

impl<'a> Stun<'a> {
    /// `None` for what is none.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let (header, attributes) = datagram.split_at_checked(HEADER)?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        if kind >= 0x4000 || header[4..8] != COOKIE {
            return None;
        }
        Some(Stun {
            kind,
            transaction: header[8..].try_into().ok()?,
            attributes,
        })
    }

    pub(super) fn is_request(&self) -> bool {
        self.kind & ERROR == 0
    }

    /// Whether it is an answer, to the last of whatever requests had its transaction, that refuses.
    pub(super) fn is_refusal(&self) -> bool {
        self.kind & ERROR == ERROR
    }

    /// Whether a request says who asks.
    pub(super) fn has_user(&self) -> bool {
        self.attribute(USERNAME).is_some()
    }

    /// Whether an answer asks for a password.
    pub(super) fn is_challenge(&self) -> bool {
        self.attribute(NONCE).is_some()
    }

    /// The code and the reason of an error, 300 to 699
    /// ([RFC 8489, section 14.8](https://www.rfc-editor.org/rfc/rfc8489#section-14.8)).
    pub(super) fn error(&self) -> Option<(u16, String)> {
        let value = self.attribute(ERROR_CODE)?;
        let (head, reason) = value.split_at_checked(4)?;
        let code = u16::from(head[2] & 7) * 100 + u16::from(head[3].min(99));
        // It comes from outside, and ends in somebody's log.
        let reason = String::from_utf8_lossy(reason);
        let reason = reason.chars().filter(|c| !c.is_control()).take(128);
        Some((code, reason.collect()))
    }

    pub(super) fn relayed_address(&self) -> Option<SocketAddr> {
        self.address(XOR_RELAYED_ADDRESS)
    }

    fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.attributes;
        while let Some((head, behind)) = rest.split_at_checked(4) {
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = behind.get(..len)?;
            if kind == wanted {
                return Some(value);
            }
            rest = behind.get(len.next_multiple_of(4)..)?;
        }
        None
    }

    /// [RFC 8489, section 14.2](https://www.rfc-editor.org/rfc/rfc8489#section-14.2).
    fn address(&self, kind: u16) -> Option<SocketAddr> {
        let (head, ip) = self.attribute(kind)?.split_at_checked(4)?;
        let port = u16::from_be_bytes([head[2] ^ COOKIE[0], head[3] ^ COOKIE[1]]);
        let mask = COOKIE.iter().chain(&self.transaction);
        let mut plain = [0; 16];
        for ((to, byte), mask) in plain.iter_mut().zip(ip).zip(mask) {
            *to = byte ^ mask;
        }
        let ip: IpAddr = match (head[1], ip.len()) {
            (1, 4) => Ipv4Addr::new(plain[0], plain[1], plain[2], plain[3]).into(),
            (2, 16) => Ipv6Addr::from(plain).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

/// Who is at the other end of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// Named by its address.
    At(SocketAddr),
    /// Named by the channel that was bound to its address.
    Channel(u16),
}

/// What a relay passes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Relayed<'a> {
    pub(crate) peer: Peer,
    pub(crate) payload: &'a [u8],
}

/// Looks into a datagram that a relay is to pass on, or has passed on: ChannelData, or an indication
/// ([sections 11 and 12](https://www.rfc-editor.org/rfc/rfc8656#section-11)). `None` for any other.
pub(crate) fn open(datagram: &[u8]) -> Option<Relayed<'_>> {
    // Nothing else begins like that (RFC 7983).
    if is_channel_data(datagram) {
        let (head, behind) = datagram.split_at_checked(4)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        return Some(Relayed {
            peer: Peer::Channel(u16::from_be_bytes([head[0], head[1]])),
            payload: behind.get(..len)?,
        });
    }
    let message = Stun::read(datagram)?;
    matches!(message.kind, SEND_INDICATION | DATA_INDICATION).then_some(())?;
    Some(Relayed {
        peer: Peer::At(message.address(XOR_PEER_ADDRESS)?),
        payload: message.attribute(DATA)?,
    })
}

/// Whom a relay is asked to take datagrams from, if that is what a datagram asks.
pub(crate) fn permission_for(datagram: &[u8]) -> Option<SocketAddr> {
    if !datagram.starts_with(&PERMISSION_REQUEST.to_be_bytes()) {
        return None;
    }
    Stun::read(datagram)?.address(XOR_PEER_ADDRESS)
}

/// Whether it asks for a relayed address, or for something that belongs to one.
pub(super) fn is_wish(datagram: &[u8]) -> bool {
    kind(datagram).is_some_and(|kind| WISHES.contains(&kind))
}

/// Whether it asks for a relayed address.
pub(super) fn wants_address(datagram: &[u8]) -> bool {
    kind(datagram) == Some(ALLOCATE_REQUEST)
}

/// Whether it may be the answer to such a request, or its refusal.
pub(super) fn is_answer(datagram: &[u8]) -> bool {
    kind(datagram).is_some_and(|kind| {
        let refused = kind & ERROR == ERROR && WISHES.contains(&(kind & !ERROR));
        kind == ALLOCATE_SUCCESS || refused
    })
}

fn kind(datagram: &[u8]) -> Option<u16> {
    let kind = datagram.first_chunk()?;
    Some(u16::from_be_bytes(*kind))
}

pub(super) fn is_channel_data(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0x40..=0x4F))
}

/// Whether only who speaks with a relay says that: ChannelData, or STUN of a method that is not Binding.
pub(super) fn is_turn(datagram: &[u8]) -> bool {
    const METHOD: u16 = 0x3EEF;
    is_channel_data(datagram)
        || Stun::read(datagram).is_some_and(|message| message.kind & METHOD != BINDING_REQUEST)
}

/// Messages for the tests of this module's neighbours.
#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(crate) fn stun(kind: u16, transaction: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(COOKIE);
        message.extend([transaction; 12]);
        message.extend(body);
        message
    }

    pub(crate) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
        let mut message = channel.to_be_bytes().to_vec();
        message.extend((payload.len() as u16).to_be_bytes());
        message.extend(payload);
        message
    }

    /// 192.0.2.1:32853, as in RFC 5769, section 2.2.
    pub(crate) const XORED: [u8; 8] = [0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43];

    pub(crate) fn allocate(transaction: u8, user: bool) -> Vec<u8> {
        let attributes: &[(u16, &[u8])] = if user { &[(USERNAME, b"ann")] } else { &[] };
        stun(ALLOCATE_REQUEST, transaction, attributes)
    }

    pub(crate) fn allocated(transaction: u8) -> Vec<u8> {
        stun(
            ALLOCATE_SUCCESS,
            transaction,
            &[(XOR_RELAYED_ADDRESS, &XORED)],
        )
    }

    pub(crate) fn refused(transaction: u8, code: u16, reason: &str, nonce: bool) -> Vec<u8> {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend(reason.as_bytes());
        let mut attributes: Vec<(u16, &[u8])> = vec![(ERROR_CODE, &value)];
        if nonce {
            attributes.push((NONCE, b"nonce"));
        }
        stun(ALLOCATE_ERROR, transaction, &attributes)
    }

    pub(crate) fn refresh(transaction: u8) -> Vec<u8> {
        stun(REFRESH_REQUEST, transaction, &[(USERNAME, b"ann")])
    }

    /// There is no such allocation.
    pub(crate) fn mismatch(transaction: u8) -> Vec<u8> {
        let value = [&[0, 0, 4, 37][..], b"Allocation Mismatch"].concat();
        stun(
            REFRESH_REQUEST | ERROR,
            transaction,
            &[(ERROR_CODE, &value)],
        )
    }

    pub(crate) fn indication(kind: u16, payload: &[u8]) -> Vec<u8> {
        stun(kind, 1, &[(XOR_PEER_ADDRESS, &XORED), (DATA, payload)])
    }
}

#[cfg(test)]
mod tests {
    use super::samples::*;
    use super::*;

    #[test]
    fn addresses_and_errors_are_read() {
        let message = allocated(9);
        let message = Stun::read(&message).unwrap();
        let address: SocketAddr = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(message.relayed_address(), Some(address));
        let message = refused(9, 486, "Allocation Quota\nReached", false);
        let message = Stun::read(&message).unwrap();
        let reason = "Allocation QuotaReached".to_owned();
        assert_eq!(message.error(), Some((486, reason)));
        assert!(!message.is_challenge() && !message.is_request());
        // RFC 5769, section 2.3.
        let v6 = [
            0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4,
            0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        let mut message = stun(ALLOCATE_SUCCESS, 0, &[(XOR_RELAYED_ADDRESS, &v6)]);
        message[8..20].copy_from_slice(&[
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ]);
        let address = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().ok();
        assert_eq!(Stun::read(&message).unwrap().relayed_address(), address);
    }

    #[test]
    fn what_a_relay_passes_on_is_seen_through_both_wrappings() {
        let at = Peer::At("192.0.2.1:32853".parse().unwrap());
        for kind in [SEND_INDICATION, DATA_INDICATION] {
            let message = indication(kind, b"hello");
            let payload = b"hello".as_slice();
            assert_eq!(open(&message), Some(Relayed { peer: at, payload }));
        }
        let message = channel_data(0x4001, b"hello");
        let relayed = open(&message).unwrap();
        assert_eq!(relayed.peer, Peer::Channel(0x4001));
        assert_eq!(relayed.payload, b"hello");
        assert!(is_turn(&message) && is_turn(&allocate(1, true)) && is_turn(&allocated(1)));
        for binding in [0x0001, 0x0101, 0x0111] {
            assert!(!is_turn(&stun(binding, 1, &[])));
        }
        assert_eq!(open(&allocate(1, true)), None);
        assert!(is_wish(&refresh(1)) && is_wish(&allocate(1, true)) && !is_wish(&mismatch(1)));
        assert!(is_answer(&mismatch(1)) && is_answer(&allocated(1)) && !is_answer(&refresh(1)));
        assert!(!is_wish(&[]) && !is_answer(&[1]) && !is_answer(&stun(0x0111, 1, &[])));
        let Peer::At(address) = at else { return };
        let permission = stun(PERMISSION_REQUEST, 1, &[(XOR_PEER_ADDRESS, &XORED)]);
        assert_eq!(permission_for(&permission), Some(address));
        assert_eq!(permission_for(&message), None);
        assert_eq!(open(&[0x80; 40]), None);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        for whole in [
            indication(SEND_INDICATION, b"hello"),
            channel_data(0x4001, b"hello"),
        ] {
            for len in 0..whole.len() - 3 {
                assert_eq!(open(&whole[..len]), None, "{len}");
            }
        }
        let whole = refused(1, 401, "Unauthorized", true);
        for len in 0..whole.len() {
            if let Some(message) = Stun::read(&whole[..len]) {
                let _ = (
                    message.error(),
                    message.relayed_address(),
                    message.is_challenge(),
                );
            }
        }
    }
}
