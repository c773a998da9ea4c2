//! [`RTCIceCandidate`]: what a candidate's line says, read as
//! [RFC 8839, section 5.1](https://www.rfc-editor.org/rfc/rfc8839#section-5.1) has it.
//!
//! It deliberately decides nothing: whether an address can be reached is the ICE agent's to find out.

use crate::events::w3c_enum;
use crate::{RTCError, RTCErrorKind, RTCIceCandidateInit};
use std::net::SocketAddr;

w3c_enum! {
    /// [`RTCIceComponent`](https://w3c.github.io/webrtc-pc/#dom-rtcicecomponent).
    RTCIceComponent {
        /// Media, and RTCP where both share a transport.
        Rtp = "rtp",
        /// RTCP alone.
        Rtcp = "rtcp",
    }
}

w3c_enum! {
    /// [`RTCIceProtocol`](https://w3c.github.io/webrtc-pc/#dom-rtciceprotocol).
    RTCIceProtocol {
        /// UDP.
        Udp = "udp",
        /// TCP ([RFC 6544](https://www.rfc-editor.org/rfc/rfc6544)).
        Tcp = "tcp",
    }
}

w3c_enum! {
    /// [`RTCIceTcpCandidateType`](https://w3c.github.io/webrtc-pc/#dom-rtcicetcpcandidatetype).
    RTCIceTcpCandidateType {
        /// Opens connections.
        Active = "active",
        /// Waits for connections.
        Passive = "passive",
        /// Both at once.
        So = "so",
    }
}

w3c_enum! {
    /// [`RTCIceCandidateType`](https://w3c.github.io/webrtc-pc/#dom-rtcicecandidatetype).
    RTCIceCandidateType {
        /// An address of the machine.
        Host = "host",
        /// An address as a STUN server sees it.
        Srflx = "srflx",
        /// An address as the other side sees it.
        Prflx = "prflx",
        /// An address of a TURN server.
        Relay = "relay",
    }
}

/// [`RTCIceCandidate`](https://w3c.github.io/webrtc-pc/#rtcicecandidate-interface). What its line
/// does not say, or all of it if the line cannot be read, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RTCIceCandidate {
    /// `candidate:…` as it was given; empty for the end of candidates.
    pub candidate: String,
    /// The media section's id.
    pub sdp_mid: Option<String>,
    /// The media section's place in the description.
    pub sdp_mline_index: Option<u16>,
    /// The same for candidates of one base, type and server.
    pub foundation: Option<String>,
    /// What it is for.
    pub component: Option<RTCIceComponent>,
    /// 1 to 2^31 - 1, by [RFC 8445](https://www.rfc-editor.org/rfc/rfc8445#section-5.1.2); higher is
    /// better.
    pub priority: Option<u32>,
    /// An IP address, or a name.
    pub address: Option<String>,
    /// How it is reached.
    pub protocol: Option<RTCIceProtocol>,
    /// The port.
    pub port: Option<u16>,
    /// How the address was found.
    pub candidate_type: Option<RTCIceCandidateType>,
    /// For TCP: who opens the connection.
    pub tcp_type: Option<RTCIceTcpCandidateType>,
    /// The address behind a reflexive or relayed one.
    pub related_address: Option<String>,
    /// The port behind a reflexive or relayed one.
    pub related_port: Option<u16>,
    /// Which generation it belongs to.
    pub username_fragment: Option<String>,
}

impl RTCIceCandidate {
    /// Reads `init`'s line.
    ///
    /// # Errors
    /// `TypeError` if it names no media section.
    pub fn new(init: RTCIceCandidateInit) -> Result<RTCIceCandidate, RTCError> {
        if init.sdp_mid.is_none() && init.sdp_mline_index.is_none() {
            let message = "a candidate wants an sdpMid or an sdpMLineIndex";
            return Err(RTCError::new(RTCErrorKind::Type, message));
        }
        let mut candidate = parse(&init.candidate).unwrap_or_default();
        candidate.candidate = init.candidate;
        candidate.sdp_mid = init.sdp_mid;
        candidate.sdp_mline_index = init.sdp_mline_index;
        candidate.username_fragment = init.username_fragment;
        Ok(candidate)
    }

    /// [`toJSON`](https://w3c.github.io/webrtc-pc/#dom-rtcicecandidate-tojson).
    pub fn to_init(&self) -> RTCIceCandidateInit {
        RTCIceCandidateInit {
            candidate: self.candidate.clone(),
            sdp_mid: self.sdp_mid.clone(),
            sdp_mline_index: self.sdp_mline_index,
            username_fragment: self.username_fragment.clone(),
        }
    }
}

/// The generation that a candidate's line says it is of: an extension of browsers.
pub(crate) fn username_fragment(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace().skip(6);
    words.find(|word| *word == "ufrag")?;
    words.next()
}

/// Whether a candidate's line, with `candidate:` in front or without, says that it waits for connections.
pub(crate) fn is_passive(line: &str) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let over_tcp = words
        .get(2)
        .is_some_and(|word| word.eq_ignore_ascii_case("tcp"));
    over_tcp && words.windows(2).any(|pair| pair == ["tcptype", "passive"])
}

/// The address and port that a candidate's line names; `None` if it is a name, or none.
pub(crate) fn socket_address(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace().skip(4);
    let ip = words.next()?.parse().ok()?;
    Some(SocketAddr::new(ip, words.next()?.parse().ok()?))
}

/// A candidate's line without the address behind it, which nobody is to know
/// ([RFC 8839, section 5.1](https://www.rfc-editor.org/rfc/rfc8839#section-5.1)).
pub(crate) fn without_base(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        words[at] = match words[at - 1] {
            "raddr" if words[at].contains(':') => "::",
            "raddr" => "0.0.0.0",
            "rport" => "9",
            _ => words[at],
        };
    }
    words.join(" ")
}

/// A candidate's line with another address.
pub(crate) fn hide_address(line: &str, name: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    if let Some(address) = words.get_mut(4) {
        *address = name;
    }
    words.join(" ")
}

/// `None` for what is no candidate.
fn parse(line: &str) -> Option<RTCIceCandidate> {
    let body = line.strip_prefix("a=").unwrap_or(line);
    let mut words = body.strip_prefix("candidate:")?.split(' ');
    let foundation = words.next().filter(|word| {
        let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        (1..=32).contains(&word.len()) && word.bytes().all(ice_char)
    })?;
    let component = match number::<u16>(words.next()?)? {
        1 => Some(RTCIceComponent::Rtp),
        2 => Some(RTCIceComponent::Rtcp),
        // 3 to 256 are allowed and have no name.
        3..=256 => None,
        _ => return None,
    };
    let protocol = match words.next()?.to_ascii_lowercase().as_str() {
        "udp" => RTCIceProtocol::Udp,
        "tcp" => RTCIceProtocol::Tcp,
        _ => return None,
    };
    let priority = number::<u32>(words.next()?)?;
    let address = words.next().filter(|word| !word.is_empty())?;
    let port = number::<u16>(words.next()?)?;
    if words.next()? != "typ" {
        return None;
    }
    let candidate_type = match words.next()? {
        "host" => RTCIceCandidateType::Host,
        "srflx" => RTCIceCandidateType::Srflx,
        "prflx" => RTCIceCandidateType::Prflx,
        "relay" => RTCIceCandidateType::Relay,
        _ => return None,
    };
    let mut candidate = RTCIceCandidate {
        foundation: Some(foundation.to_owned()),
        component,
        priority: Some(priority),
        address: Some(address.to_owned()),
        protocol: Some(protocol),
        port: Some(port),
        candidate_type: Some(candidate_type),
        ..Default::default()
    };
    // Pairs of a name and a value: those of the RFC, and any extension.
    while let Some(name) = words.next() {
        let value = words.next()?;
        match name {
            "raddr" => candidate.related_address = Some(value.to_owned()),
            "rport" => candidate.related_port = Some(number(value)?),
            "tcptype" => {
                candidate.tcp_type = Some(match value {
                    "active" => RTCIceTcpCandidateType::Active,
                    "passive" => RTCIceTcpCandidateType::Passive,
                    "so" => RTCIceTcpCandidateType::So,
                    _ => return None,
                });
            }
            _ => {}
        }
    }
    if candidate.protocol == Some(RTCIceProtocol::Udp) {
        candidate.tcp_type = None;
    }
    Some(candidate)
}

/// Digits alone: Rust's own parser takes a sign.
fn number<T: std::str::FromStr>(word: &str) -> Option<T> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| word.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> RTCIceCandidate {
        RTCIceCandidate::new(RTCIceCandidateInit {
            candidate: line.to_owned(),
            sdp_mline_index: Some(0),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn the_rfcs_own_examples_are_read() {
        let host = read("candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host");
        assert_eq!(host.foundation.as_deref(), Some("1"));
        assert_eq!(host.component, Some(RTCIceComponent::Rtp));
        assert_eq!(host.protocol, Some(RTCIceProtocol::Udp));
        assert_eq!(host.priority, Some(2_130_706_431));
        assert_eq!(host.address.as_deref(), Some("203.0.113.141"));
        assert_eq!(host.port, Some(8_998));
        assert_eq!(host.candidate_type, Some(RTCIceCandidateType::Host));
        assert_eq!((host.related_address, host.related_port), (None, None));

        let reflexive = "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr \
                         203.0.113.141 rport 8998";
        let reflexive = read(reflexive);
        assert_eq!(reflexive.candidate_type, Some(RTCIceCandidateType::Srflx));
        assert_eq!(reflexive.related_address.as_deref(), Some("203.0.113.141"));
        assert_eq!(reflexive.related_port, Some(8_998));

        let v6 = read("candidate:1 1 UDP 2130706431 fe80::6676:baff:fe9c:ee4a 8998 typ host");
        assert_eq!(v6.address.as_deref(), Some("fe80::6676:baff:fe9c:ee4a"));
    }

    #[test]
    fn tcp_names_and_extensions_are_read() {
        let tcp = read(
            "candidate:435653019 2 tcp 1845501695 www.example.com 4444 typ relay raddr 10.0.0.1 \
             rport 22222 tcptype active generation 0 ufrag abcd",
        );
        assert_eq!(tcp.component, Some(RTCIceComponent::Rtcp));
        assert_eq!(tcp.tcp_type, Some(RTCIceTcpCandidateType::Active));
        assert_eq!(tcp.address.as_deref(), Some("www.example.com"));
        assert_eq!(tcp.candidate_type, Some(RTCIceCandidateType::Relay));
        // The dictionary's member, and nothing else, says the generation.
        assert_eq!(tcp.username_fragment, None);
        assert_eq!(username_fragment(&tcp.candidate), Some("abcd"));
        assert_eq!(
            username_fragment("candidate:1 1 udp 1 ufrag 1 typ host"),
            None
        );
    }

    #[test]
    fn what_is_no_candidate_has_no_parts() {
        for line in [
            "",
            "(Invalid) candidate \r\n string",
            "candidate:1 1 udp 1 192.0.2.1 1 typ",
            "candidate:1 1 udp 1 192.0.2.1 1 typ guest",
            "candidate:1 0 udp 1 192.0.2.1 1 typ host",
            "candidate:1 257 udp 1 192.0.2.1 1 typ host",
            "candidate:1 1 sctp 1 192.0.2.1 1 typ host",
            "candidate:1 1 udp -1 192.0.2.1 1 typ host",
            "candidate:1 1 udp +1 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
            "candidate: 1 udp 1 192.0.2.1 1 typ host",
            "candidate:a=b 1 udp 1 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1 1 typ host raddr",
            "candidate:1 1 tcp 1 192.0.2.1 1 typ host tcptype none",
        ] {
            let candidate = read(line);
            assert_eq!(candidate.candidate, line);
            let bare = RTCIceCandidate {
                candidate: line.to_owned(),
                sdp_mline_index: Some(0),
                ..Default::default()
            };
            assert_eq!(candidate, bare, "{line}");
        }
    }

    #[test]
    fn the_address_behind_a_relay_can_be_left_out() {
        let line = |base| format!("candidate:2 1 udp 7 192.0.2.3 45664 typ relay {base} ufrag x");
        let hidden = without_base(&line("raddr 10.0.0.7 rport 8998"));
        assert_eq!(hidden, line("raddr 0.0.0.0 rport 9"));
        let hidden = without_base(&line("raddr 2001:db8::7 rport 8998"));
        assert_eq!(hidden, line("raddr :: rport 9"));
    }

    #[test]
    fn a_candidate_belongs_to_a_section() {
        let refused = RTCIceCandidate::new(RTCIceCandidateInit::default()).unwrap_err();
        assert_eq!(refused.kind, RTCErrorKind::Type);
    }
}
