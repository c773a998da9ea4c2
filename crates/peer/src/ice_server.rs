//! STUN and TURN servers: their URLs, read and checked.
//!
//! It deliberately resolves no name and contacts nobody.

use crate::{RTCError, RTCErrorKind};
use serde::{Deserialize, Serialize};
use std::net::Ipv6Addr;

/// [`RTCIceServer`](https://w3c.github.io/webrtc-pc/#dom-rtciceserver).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCIceServer {
    /// `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]` and, over TLS, `turns:host[:port]`
    /// ([RFC 7064](https://www.rfc-editor.org/rfc/rfc7064#section-3.1),
    /// [RFC 7065](https://www.rfc-editor.org/rfc/rfc7065#section-3.1)).
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN: the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl RTCIceServer {
    /// Looks whether a connection would take it.
    ///
    /// # Errors
    /// `SyntaxError` without a URL or for one that does not parse, `InvalidAccessError` for TURN
    /// without a username or a credential.
    pub fn validate(&self) -> Result<(), RTCError> {
        self.check().map(drop)
    }

    /// Why a connection, which takes it, would get nothing from one of its URLs, and say so by
    /// [`IceCandidateError`](crate::PeerConnectionEvent::IceCandidateError).
    pub fn unusable(&self) -> Option<&'static str> {
        let mut urls = self.urls.iter();
        urls.find_map(|url| self.unusable_url(url))
    }

    pub(crate) fn unusable_url(&self, url: &str) -> Option<&'static str> {
        let Ok(parsed) = self.check_url(url) else {
            return Some("not a server's URL");
        };
        let empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
        let relays = matches!(parsed.scheme, Scheme::Turn | Scheme::Turns);
        if relays && (empty(&self.username) || empty(&self.credential)) {
            return Some("an empty username or credential opens no relay");
        }
        parsed.unusable()
    }

    /// Reads its URLs.
    ///
    /// # Errors
    /// `SyntaxError` without a URL or for one that does not parse, `InvalidAccessError` for TURN
    /// without a username or a credential.
    pub(crate) fn check(&self) -> Result<Vec<IceUrl>, RTCError> {
        if self.urls.is_empty() {
            return Err(RTCError::syntax("an ICE server without a URL"));
        }
        self.urls.iter().map(|url| self.check_url(url)).collect()
    }

    fn check_url(&self, url: &str) -> Result<IceUrl, RTCError> {
        let parsed = IceUrl::parse(url)
            .map_err(|why| RTCError::syntax(format!("ICE server {url:?}: {why}")))?;
        let relays = matches!(parsed.scheme, Scheme::Turn | Scheme::Turns);
        if relays && (self.username.is_none() || self.credential.is_none()) {
            let message =
                format!("ICE server {url:?}: a TURN server wants a username and a credential");
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        }
        if self.username.as_ref().is_some_and(|name| name.len() > 509) {
            let message = format!("ICE server {url:?}: a username of more than 509 bytes");
            return Err(RTCError::syntax(message));
        }
        Ok(parsed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Stun,
    Stuns,
    Turn,
    Turns,
}

/// A server's URL, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IceUrl {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) transport: Option<String>,
}

impl IceUrl {
    pub(crate) fn parse(url: &str) -> Result<IceUrl, &'static str> {
        let (scheme, rest) = url.split_once(':').ok_or("no scheme")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "stun" => Scheme::Stun,
            "stuns" => Scheme::Stuns,
            "turn" => Scheme::Turn,
            "turns" => Scheme::Turns,
            _ => return Err("expected stun:, stuns:, turn: or turns:"),
        };
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        let transport = match query {
            None => None,
            Some(_) if matches!(scheme, Scheme::Stun | Scheme::Stuns) => {
                return Err("a STUN URL has no query");
            }
            Some(query) => match query.strip_prefix("transport=") {
                Some(transport) if !transport.is_empty() && transport.bytes().all(unreserved) => {
                    Some(transport.to_ascii_lowercase())
                }
                _ => return Err("expected ?transport=udp or ?transport=tcp"),
            },
        };
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => None,
            Some(port) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => Some(
                port.parse()
                    .map_err(|_| "the port is no number up to 65535")?,
            ),
            Some(_) => return Err("the port is no number"),
        };
        Ok(IceUrl {
            scheme,
            host: host.to_owned(),
            port,
            transport,
        })
    }

    /// Why the connection cannot use it; `None` if it can.
    pub(crate) fn unusable(&self) -> Option<&'static str> {
        match (self.scheme, self.transport.as_deref()) {
            (Scheme::Stun, _) | (Scheme::Turn | Scheme::Turns, None | Some("tcp")) => None,
            (Scheme::Turn, Some("udp")) => None,
            (Scheme::Stuns, _) => Some("STUN over TLS finds no address that UDP could use"),
            (Scheme::Turns, Some("udp")) => Some("TURN over DTLS cannot be used"),
            _ => Some("TURN can be used over UDP, TCP and TLS"),
        }
    }
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The host, without the brackets of an IPv6 address, and what stands behind the last colon.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("no ] behind the address")?;
        host.parse::<Ipv6Addr>()
            .map_err(|_| "no IPv6 address in []")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("expected :port behind ]"),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let allowed = |byte: u8| unreserved(byte) || b"%!$&'()*+,;=".contains(&byte);
    if host.is_empty() || !host.bytes().all(allowed) {
        return Err("expected a host behind the scheme");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> RTCIceServer {
        RTCIceServer {
            urls: vec![url.to_owned()],
            username: Some("user".into()),
            credential: Some(String::new()),
        }
    }

    #[test]
    fn urls_are_read_as_their_rfcs_say() {
        let of = |url: &str| server(url).check().unwrap().remove(0);
        let plain = of("stun:stun.example");
        assert_eq!((plain.scheme, plain.port), (Scheme::Stun, None));
        assert_eq!(of("STUNS:a.example:5349").port, Some(5_349));
        let v6 = of("turn:[2001:db8::1]:3478?transport=TCP");
        assert_eq!(v6.host, "2001:db8::1");
        assert_eq!(v6.transport.as_deref(), Some("tcp"));
        assert_eq!(
            of("turn:h?transport=sctp-x").transport.as_deref(),
            Some("sctp-x")
        );
        assert_eq!(of("turns:192.0.2.1").host, "192.0.2.1");
    }

    #[test]
    fn what_is_no_url_is_a_syntax_error() {
        for url in [
            "",
            "relative-url",
            "http://x",
            "stun:",
            "stun:///x",
            "stun://example.org/foo?x=y",
            "turn://example.org/foo?x=y",
            "stun:h:",
            "stun:h:70000",
            "stun:h:1x",
            "stun:a b",
            "stun:h?transport=udp",
            "turn:h?transport=",
            "turn:h?x=y",
            "turn:[::1",
            "turn:[::g]",
            "turn:[::1]3478",
            "stun:user@h",
            "stun:h:+1",
        ] {
            let kind = server(url).check().unwrap_err().kind;
            assert_eq!(kind, RTCErrorKind::Syntax, "{url}");
        }
        let none = RTCIceServer::default().check().unwrap_err();
        assert_eq!(none.kind, RTCErrorKind::Syntax);
    }

    #[test]
    fn a_relay_wants_credentials_and_they_may_be_empty() {
        let mut relay = server("turns:turn.example");
        assert!(relay.check().is_ok());
        relay.username = None;
        assert_eq!(relay.check().unwrap_err().kind, RTCErrorKind::InvalidAccess);
        relay.urls = vec!["stun:stun.example".into()];
        assert!(relay.check().is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_known() {
        let usable = |url: &str| server(url).check().unwrap()[0].unusable().is_none();
        assert!(usable("stun:a") && usable("turn:a") && usable("turn:a?transport=udp"));
        assert!(usable("turns:a") && usable("turn:a?transport=tcp"));
        for url in ["stuns:a", "turns:a?transport=udp", "turn:a?transport=x"] {
            assert!(!usable(url), "{url}");
        }
    }
}
