//! What a connection is made with.

use crate::ice_server::IceUrl;
use crate::pipeline::{EncoderHub, Workers};
use crate::relay::Relays;
use crate::sockets::Network;
use crate::{RTCCertificate, RTCError, RTCErrorKind, RTCIceServer, TcpCandidates};
use duet_media::{Clock, MonotonicClock};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

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

/// [`RTCBundlePolicy`](https://w3c.github.io/webrtc-pc/#dom-rtcbundlepolicy): what to do with an
/// endpoint that cannot bundle. Sections that are not bundled with the first one are refused here,
/// whatever the policy; every current endpoint bundles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RTCBundlePolicy {
    /// A transport for each kind of media.
    #[default]
    Balanced,
    /// A transport for each section.
    MaxCompat,
    /// One transport.
    MaxBundle,
}

/// [`RTCRtcpMuxPolicy`](https://w3c.github.io/webrtc-pc/#dom-rtcrtcpmuxpolicy).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RTCRtcpMuxPolicy {
    /// A port of its own for RTCP, if need be. Not supported.
    Negotiate,
    /// RTCP goes with RTP.
    #[default]
    Require,
}

/// [`RTCConfiguration`](https://w3c.github.io/webrtc-pc/#rtcconfiguration-dictionary). All media share
/// one transport, as every current endpoint can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RTCConfiguration {
    /// STUN and TURN servers. Those that cannot be used are told by
    /// [`IceCandidateError`](crate::PeerConnectionEvent::IceCandidateError) when candidates are gathered.
    pub ice_servers: Vec<RTCIceServer>,
    /// Which candidates may be used.
    pub ice_transport_policy: RTCIceTransportPolicy,
    /// What to do with an endpoint that cannot bundle.
    pub bundle_policy: RTCBundlePolicy,
    /// Whether RTCP may go alone.
    pub rtcp_mux_policy: RTCRtcpMuxPolicy,
    /// What to show in the handshake: the first; made for the connection if there is none.
    #[serde(skip)]
    pub certificates: Vec<RTCCertificate>,
    /// Candidates to gather beforehand. None ever are.
    pub ice_candidate_pool_size: u8,
}

impl RTCConfiguration {
    /// # Errors
    /// `SyntaxError` or `InvalidAccessError` for an ICE server that is none, `InvalidAccessError` for a
    /// certificate that has expired, `NotSupportedError` for RTCP on a port of its own.
    pub(crate) fn check(&self) -> Result<(), RTCError> {
        if self.rtcp_mux_policy == RTCRtcpMuxPolicy::Negotiate {
            let message = "RTCP on a port of its own";
            return Err(RTCError::new(RTCErrorKind::NotSupported, message));
        }
        self.certificates
            .iter()
            .try_for_each(RTCCertificate::check)?;
        let mut servers = self.ice_servers.iter();
        servers.try_for_each(|server| server.check().map(drop))
    }

    /// Whether a connection that was made with `self` may go over to `next`
    /// ([set the configuration](https://w3c.github.io/webrtc-pc/#set-the-configuration)).
    pub(crate) fn check_change(
        &self,
        next: &RTCConfiguration,
        gathers: bool,
    ) -> Result<(), RTCError> {
        let refuse = |what: &str| {
            let message = format!("{what} cannot be changed");
            Err(RTCError::modification(message))
        };
        if !next.certificates.is_empty() && next.certificates != self.certificates {
            return refuse("the certificates");
        }
        if next.bundle_policy != self.bundle_policy {
            return refuse("bundlePolicy");
        }
        if next.rtcp_mux_policy != self.rtcp_mux_policy {
            return refuse("rtcpMuxPolicy");
        }
        if gathers && next.ice_candidate_pool_size != self.ice_candidate_pool_size {
            return refuse("after the first description, iceCandidatePoolSize");
        }
        next.check()
    }

    /// Servers that gathering cannot use, with the reason.
    pub(crate) fn unusable_servers(&self) -> Vec<(String, &'static str)> {
        let servers = self.ice_servers.iter();
        let urls = servers.flat_map(|server| server.urls.iter().map(move |url| (server, url)));
        let unusable =
            urls.filter_map(|(server, url)| Some((url.clone(), server.unusable_url(url)?)));
        unusable.collect()
    }

    /// Without the servers that it cannot use, and with `relays` in the place of the others that relay.
    pub(crate) fn to_substrate(
        &self,
        relays: &Relays,
    ) -> webrtc::peer_connection::RTCConfiguration {
        use webrtc::peer_connection as substrate;
        relays.configure(self.ice_transport_policy == RTCIceTransportPolicy::Relay);
        let servers = self.ice_servers.iter().map(|server| {
            let usable = server
                .urls
                .iter()
                .filter(|url| server.unusable_url(url).is_none());
            let known = usable.flat_map(|url| {
                let parsed = IceUrl::parse(url).ok();
                let of = |parsed: IceUrl| relays.urls_for_agent(url, &parsed, server);
                let relay = parsed.and_then(of);
                relay.map_or_else(|| vec![url.clone()], Vec::from)
            });
            substrate::RTCIceServer {
                urls: known.collect(),
                username: server.username.clone().unwrap_or_default(),
                credential: server.credential.clone().unwrap_or_default(),
            }
        });
        let servers = servers.filter(|server| !server.urls.is_empty()).collect();
        let certificates = self.certificates.iter().map(RTCCertificate::to_substrate);
        substrate::RTCConfigurationBuilder::default()
            .with_ice_servers(servers)
            .with_ice_transport_policy(match self.ice_transport_policy {
                RTCIceTransportPolicy::All => substrate::RTCIceTransportPolicy::All,
                RTCIceTransportPolicy::Relay => substrate::RTCIceTransportPolicy::Relay,
            })
            .with_bundle_policy(substrate::RTCBundlePolicy::MaxBundle)
            .with_certificates(certificates.collect())
            .build()
    }
}

/// Which of the machine's addresses a connection offers: at the start, and at each restart of ICE.
///
/// With [`All`](Self::All) and [`NoLoopback`](Self::NoLoopback) it restarts ICE by itself when the
/// address in use is gone, or when another comes while it has no way. On Linux the kernel tells; on
/// other systems it looks every two seconds.
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
    /// Whether the machine's addresses are told as names that only its own network can look up
    /// ([mDNS](https://datatracker.ietf.org/doc/html/draft-ietf-mmusic-mdns-ice-candidates)), as browsers do. Those of
    /// IPv6 are then not told at all. The other side finds this one by its checks, or through servers.
    pub hide_addresses: bool,
    /// Which candidates over TCP are offered: those that open connections, unless something else is said. None where
    /// [`sockets`](Self::sockets) are not the machine's own.
    pub tcp: TcpCandidates,
    /// Certificates of authorities by which TURN servers over TLS (`turns:`) are trusted, beside those of the
    /// web, in DER.
    pub turn_roots: Vec<Vec<u8>>,
    /// Where the estimate of the path's bandwidth starts, in bits a second.
    pub start_bitrate: u32,
    /// What is sent at most, in bits a second, all tracks together.
    pub max_bitrate: u32,
    /// Where decoders and playouts run.
    pub workers: Workers,
    /// What the sockets are, if not the machine's own.
    pub sockets: Option<Arc<dyn Network>>,
    /// The addresses of the machine's interfaces, as they come and go, if not those that it has:
    /// [`network`](Self::network) chooses among them.
    pub interfaces: Option<watch::Receiver<Vec<IpAddr>>>,
}

impl PeerContext {
    /// The usual settings on `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        PeerContext {
            encoders: EncoderHub::new(clock.clone()),
            clock,
            network: NetworkPolicy::All,
            mdns: true,
            hide_addresses: false,
            tcp: TcpCandidates::default(),
            turn_roots: Vec::new(),
            start_bitrate: 1_500_000,
            max_bitrate: 4_000_000,
            workers: Workers::default(),
            sockets: None,
            interfaces: None,
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

    fn with_url(url: &str) -> RTCConfiguration {
        let server = RTCIceServer {
            urls: vec![url.to_owned()],
            username: Some("u".into()),
            credential: Some("p".into()),
        };
        RTCConfiguration {
            ice_servers: vec![server],
            ..Default::default()
        }
    }

    #[test]
    fn servers_that_cannot_be_used_are_left_out_and_known() {
        let relays = Relays::for_test().0;
        for url in [
            "stun:stun.example:3478",
            "turn:turn.example?transport=udp",
            "turn:turn.example?transport=tcp",
            "turns:turn.example",
        ] {
            let usable = with_url(url);
            assert!(usable.check().is_ok() && usable.unusable_servers().is_empty());
            assert_eq!(usable.to_substrate(&relays).ice_servers().len(), 1);
        }
        for url in ["turns:turn.example?transport=udp", "stuns:x"] {
            let skipped = with_url(url);
            assert!(skipped.check().is_ok());
            assert_eq!(skipped.unusable_servers()[0].0, url);
            assert!(skipped.to_substrate(&relays).ice_servers().is_empty());
        }
        let mut nobody = with_url("turn:turn.example");
        nobody.ice_servers[0].username = Some(String::new());
        assert!(nobody.check().is_ok() && nobody.unusable_servers().len() == 1);
        assert_eq!(
            with_url("http://x").check().unwrap_err().kind,
            RTCErrorKind::Syntax
        );
    }

    #[test]
    fn some_things_stay_as_they_were() {
        let first = RTCConfiguration::default();
        let kind = |next: RTCConfiguration, gathers| {
            let changed = first.check_change(&next, gathers);
            changed.err().map(|error| error.kind)
        };
        let modification = Some(RTCErrorKind::InvalidModification);
        let bundle = RTCConfiguration {
            bundle_policy: RTCBundlePolicy::MaxBundle,
            ..Default::default()
        };
        assert_eq!(kind(bundle, false), modification);
        let made = RTCCertificate::generate(Default::default(), None).unwrap();
        let shown = RTCConfiguration {
            certificates: vec![made],
            ..Default::default()
        };
        assert_eq!(shown.check_change(&shown.clone(), true), Ok(()));
        assert_eq!(shown.check_change(&first, true), Ok(()));
        assert_eq!(kind(shown, false), modification);
        let pool = RTCConfiguration {
            ice_candidate_pool_size: 3,
            ..Default::default()
        };
        assert_eq!(kind(pool.clone(), false), None);
        assert_eq!(kind(pool, true), modification);
        assert_eq!(kind(with_url("stun:"), false), Some(RTCErrorKind::Syntax));
        let relay = RTCConfiguration {
            ice_transport_policy: RTCIceTransportPolicy::Relay,
            ..with_url("stun:a")
        };
        assert_eq!(kind(relay, true), None);
    }
}
