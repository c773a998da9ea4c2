//! What a connection is made with.

use crate::pipeline::EncoderHub;
use crate::{RTCError, RTCErrorKind};
use duet_media::{Clock, MonotonicClock};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// [`RTCIceServer`](https://www.w3.org/TR/webrtc/#rtciceserver-dictionary).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RTCIceServer {
    /// `stun:host[:port]` or `turn:host[:port][?transport=udp]`.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// For TURN: the password.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credential: String,
}

/// [`RTCIceTransportPolicy`](https://www.w3.org/TR/webrtc/#rtcicetransportpolicy-enum).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RTCIceTransportPolicy {
    /// Any candidate.
    #[default]
    All,
    /// Relayed ones only: the other side never learns an address of this machine.
    Relay,
}

/// [`RTCConfiguration`](https://www.w3.org/TR/webrtc/#rtcconfiguration-dictionary). All media share
/// one transport (`max-bundle`, RTCP with RTP), as every current endpoint can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RTCConfiguration {
    /// STUN and TURN servers.
    pub ice_servers: Vec<RTCIceServer>,
    /// Which candidates may be used.
    pub ice_transport_policy: RTCIceTransportPolicy,
}

impl RTCConfiguration {
    pub(crate) fn to_substrate(
        &self,
    ) -> Result<webrtc::peer_connection::RTCConfiguration, RTCError> {
        use webrtc::peer_connection as substrate;
        let servers = self.ice_servers.iter().map(|server| {
            for url in &server.urls {
                check_url(url, server)?;
            }
            Ok(substrate::RTCIceServer {
                urls: server.urls.clone(),
                username: server.username.clone(),
                credential: server.credential.clone(),
            })
        });
        let servers = servers.collect::<Result<Vec<_>, RTCError>>()?;
        Ok(substrate::RTCConfigurationBuilder::default()
            .with_ice_servers(servers)
            .with_ice_transport_policy(match self.ice_transport_policy {
                RTCIceTransportPolicy::All => substrate::RTCIceTransportPolicy::All,
                RTCIceTransportPolicy::Relay => substrate::RTCIceTransportPolicy::Relay,
            })
            .with_bundle_policy(substrate::RTCBundlePolicy::MaxBundle)
            .build())
    }
}

/// The substrate speaks STUN and TURN over UDP, and would skip anything else with a line in the log.
fn check_url(url: &str, server: &RTCIceServer) -> Result<(), RTCError> {
    let refuse = |kind, why: &str| Err(RTCError::new(kind, format!("ICE server {url:?}: {why}")));
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    if host.is_empty() || host.contains(['/', ' ', '@']) {
        return refuse(
            RTCErrorKind::Syntax,
            "expected stun:host[:port] or turn:host[:port]",
        );
    }
    match scheme {
        "stun" => Ok(()),
        "turn" if query.is_empty() || query == "transport=udp" => {
            if server.username.is_empty() || server.credential.is_empty() {
                return refuse(
                    RTCErrorKind::InvalidAccess,
                    "a TURN server wants a username and a credential",
                );
            }
            Ok(())
        }
        "turn" | "turns" | "stuns" => refuse(
            RTCErrorKind::NotSupported,
            "only STUN and TURN over UDP can be used",
        ),
        _ => refuse(
            RTCErrorKind::Syntax,
            "expected stun:host[:port] or turn:host[:port]",
        ),
    }
}

/// Which of the machine's addresses a connection offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkPolicy {
    /// Every address of every interface that is up, loopback too: what a call on one machine, in a
    /// container or across a network wants.
    All,
    /// Every address of every interface but loopback.
    NoLoopback,
    /// 127.0.0.1 alone: nothing leaves the machine.
    LoopbackOnly,
    /// These addresses.
    Only(Vec<IpAddr>),
}

impl ToSocketAddrs for NetworkPolicy {
    type Iter = std::vec::IntoIter<SocketAddr>;

    /// Asked at the start and at each ICE restart, so that a restart follows a change of network.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let usable = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
            IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0) != 0xfe80 && !ip.is_unspecified(),
        };
        let local = IpAddr::from([127, 0, 0, 1]);
        let mut ips: Vec<IpAddr> = match self {
            NetworkPolicy::LoopbackOnly => vec![local],
            NetworkPolicy::Only(ips) => ips.clone(),
            NetworkPolicy::All | NetworkPolicy::NoLoopback => {
                let interfaces = rtc::shared::ifaces::ifaces().unwrap_or_default();
                let mut ips: Vec<IpAddr> = interfaces
                    .into_iter()
                    .filter_map(|interface| Some(interface.addr?.ip()))
                    .filter(|ip| usable(ip) && !ip.is_loopback())
                    .collect();
                if ips.is_empty() || *self == NetworkPolicy::All {
                    ips.push(local);
                }
                ips
            }
        };
        ips.sort_unstable();
        ips.dedup();
        let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
        Ok(addresses.into_iter())
    }
}

/// What connections of one process share, and what is not the W3C's to say.
#[derive(Clone)]
pub struct PeerContext {
    /// The clock of capture and arrival times. All that is compared must come from one clock.
    pub clock: Arc<dyn Clock>,
    /// Where encoders are shared. Give the same hub to all connections that send the same tracks.
    pub encoders: EncoderHub,
    /// Which addresses to offer.
    pub network: NetworkPolicy,
    /// Whether `.local` names in the other side's candidates are looked up by
    /// [mDNS](https://datatracker.ietf.org/doc/html/draft-ietf-mmusic-mdns-ice-candidates). Without
    /// it they are passed over, and such a peer is found by its own checks.
    pub mdns: bool,
    /// Where the estimate of the path's bandwidth starts, in bits a second.
    pub start_bitrate: u32,
    /// What is sent at most, in bits a second, all tracks together.
    pub max_bitrate: u32,
}

impl PeerContext {
    /// The usual settings on `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        PeerContext {
            encoders: EncoderHub::new(clock.clone()),
            clock,
            network: NetworkPolicy::All,
            mdns: true,
            start_bitrate: 1_500_000,
            max_bitrate: 4_000_000,
        }
    }
}

impl Default for PeerContext {
    /// The usual settings on a monotonic clock of its own.
    fn default() -> Self {
        Self::new(Arc::new(MonotonicClock::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_url(url: &str) -> Result<(), RTCErrorKind> {
        let server = RTCIceServer {
            urls: vec![url.to_owned()],
            username: "u".into(),
            credential: "p".into(),
        };
        let configuration = RTCConfiguration {
            ice_servers: vec![server],
            ..Default::default()
        };
        let result = configuration.to_substrate();
        result.map(drop).map_err(|error| error.kind)
    }

    #[test]
    fn servers_that_cannot_be_used_are_refused_by_name() {
        assert_eq!(with_url("stun:stun.example:3478"), Ok(()));
        assert_eq!(with_url("turn:turn.example?transport=udp"), Ok(()));
        for url in [
            "turn:turn.example?transport=tcp",
            "turns:turn.example",
            "stuns:x",
        ] {
            assert_eq!(with_url(url), Err(RTCErrorKind::NotSupported), "{url}");
        }
        for url in ["", "stun:", "http://x", "stun://x", "turn"] {
            assert_eq!(with_url(url), Err(RTCErrorKind::Syntax), "{url}");
        }
    }

    #[test]
    fn a_turn_server_wants_credentials() {
        let configuration = RTCConfiguration {
            ice_servers: vec![RTCIceServer {
                urls: vec!["turn:turn.example".into()],
                ..Default::default()
            }],
            ..Default::default()
        };
        let refused = configuration.to_substrate().map(drop).unwrap_err();
        assert_eq!(refused.kind, RTCErrorKind::InvalidAccess);
    }

    #[test]
    fn loopback_is_offered_as_the_policy_says() {
        let ips = |policy: NetworkPolicy| -> Vec<IpAddr> {
            policy.to_socket_addrs().unwrap().map(|a| a.ip()).collect()
        };
        let local = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(ips(NetworkPolicy::LoopbackOnly), [local]);
        assert!(ips(NetworkPolicy::All).contains(&local));
        let others = ips(NetworkPolicy::NoLoopback);
        assert!(!others.is_empty());
        assert!(others.len() == 1 || !others.contains(&local));
    }
}
