//! Which ways a call may take: the STUN and TURN servers of the command line, who vouches for them, and the policy.

use crate::failure::Failure;
use clap::{Args, ValueEnum, ValueHint};
use duet_peer::{
    PeerContext, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, TcpCandidates,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};

/// The way between the two ends.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Ways {
    /// A STUN or TURN server; may be given several times. As stun:HOST[:PORT],
    /// turn:USER:PASSWORD@HOST[:PORT][?transport=tcp] or, over TLS, turns:USER:PASSWORD@HOST[:PORT].
    #[arg(long = "ice-server", value_name = "URL", value_parser = usable_ice_server)]
    pub(crate) ice_servers: Vec<RTCIceServer>,
    /// Certificates (PEM) of authorities by which TURN servers over TLS are trusted, beside those of the web.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    turn_ca: Option<PathBuf>,
    /// Which ways may be used: with relay only those through a TURN server, so that the other side
    /// learns no address of this machine.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    ice_transport_policy: Policy,
    /// Let the other side connect over TCP too, on a port of its own for each address: for networks that let no UDP
    /// through. Connections to others are opened without it.
    #[arg(long)]
    ice_tcp: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Policy {
    #[default]
    All,
    Relay,
}

impl Ways {
    /// Whether there are none but through relays.
    pub(crate) fn are_relayed(&self) -> bool {
        self.ice_transport_policy == Policy::Relay
    }

    /// For a connection that uses these servers beside `others`.
    pub(crate) fn configuration(&self, others: &[RTCIceServer]) -> RTCConfiguration {
        RTCConfiguration {
            ice_servers: [&self.ice_servers, others].concat(),
            ice_transport_policy: match self.ice_transport_policy {
                Policy::All => RTCIceTransportPolicy::All,
                Policy::Relay => RTCIceTransportPolicy::Relay,
            },
            ..RTCConfiguration::default()
        }
    }

    /// Has a connection trust whom the command line trusts, and listen if it says so.
    ///
    /// # Errors
    /// The file holds no certificates.
    pub(crate) fn prepare(&self, context: &mut PeerContext) -> Result<(), Failure> {
        if let Some(path) = &self.turn_ca {
            context.turn_roots = read_certificates(path).map_err(|why| {
                Failure::usage(format_args!("--turn-ca {}: {why}", path.display()))
            })?;
        }
        if self.ice_tcp {
            context.tcp = TcpCandidates::ActiveAndPassive;
        }
        Ok(())
    }
}

/// Whether any of `servers` relays.
pub(crate) fn has_relay(servers: &[RTCIceServer]) -> bool {
    let mut urls = servers.iter().flat_map(|server| &server.urls);
    urls.any(|url| url.starts_with("turn"))
}

/// Reads `stun:HOST[:PORT]` or `turn[s]:USER:PASSWORD@HOST[:PORT][?transport=…]`.
pub(crate) fn ice_server(text: &str) -> Result<RTCIceServer, String> {
    let expected =
        "expected stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT or turns:USER:PASSWORD@HOST:PORT";
    let (scheme, rest) = text.split_once(':').ok_or(expected)?;
    let server = match (scheme, rest.rsplit_once('@')) {
        ("stun" | "stuns", None) => RTCIceServer {
            urls: vec![text.to_owned()],
            ..RTCIceServer::default()
        },
        ("turn" | "turns", Some((credentials, host))) => {
            let (user, password) = credentials.split_once(':').ok_or(expected)?;
            RTCIceServer {
                urls: vec![format!("{scheme}:{host}")],
                username: Some(user.to_owned()),
                credential: Some(password.to_owned()),
            }
        }
        _ => return Err(expected.to_owned()),
    };
    server
        .validate()
        .map_err(|error| format!("{}; {expected}", error.message))?;
    Ok(server)
}

/// One that a call of ours can use. What a browser could is another matter.
fn usable_ice_server(text: &str) -> Result<RTCIceServer, String> {
    let server = ice_server(text)?;
    match server.unusable() {
        Some(why) => Err(why.to_owned()),
        None => Ok(server),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let expected = "expected a PEM file with a block that begins with -----BEGIN CERTIFICATE-----";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read: Vec<CertificateDer<'_>> = read.map_err(|error| format!("{error}; {expected}"))?;
    if read.is_empty() {
        return Err(expected.to_owned());
    }
    Ok(read.iter().map(|der| der.to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ice_servers_are_read_or_refused() {
        assert_eq!(
            ice_server("stun:stun.example:3478").unwrap().urls,
            ["stun:stun.example:3478"]
        );
        let turn = ice_server("turn:ann:se:cret@turn.example:3478?transport=udp").unwrap();
        assert_eq!(turn.urls, ["turn:turn.example:3478?transport=udp"]);
        assert_eq!(turn.username.as_deref(), Some("ann"));
        assert_eq!(turn.credential.as_deref(), Some("se:cret"));
        for bad in [
            "",
            "stun:",
            "stun:ann:secret@host",
            "turn:host",
            "turn:user@host",
            "turn:user:secret@",
            "turn:user:secret@host:port",
            "turn:user:secret@host?transport=",
            "http://host",
            "host",
        ] {
            assert!(ice_server(bad).is_err(), "{bad:?} was taken");
        }
        assert!(usable_ice_server("turns:ann:secret@[::1]:443").is_ok());
        for unusable in [
            "stuns:host",
            "turns:ann:secret@host?transport=udp",
            "turn::@host",
        ] {
            assert!(ice_server(unusable).is_ok());
            assert!(usable_ice_server(unusable).is_err(), "{unusable}");
        }
    }

    #[test]
    fn others_may_connect_only_if_it_is_said() {
        for (ice_tcp, kinds) in [
            (false, TcpCandidates::Active),
            (true, TcpCandidates::ActiveAndPassive),
        ] {
            let ways = Ways {
                ice_tcp,
                ..Ways::default()
            };
            let mut context = PeerContext::default();
            ways.prepare(&mut context).unwrap();
            assert_eq!(context.tcp, kinds);
        }
    }

    #[test]
    fn certificates_come_from_a_pem_file_or_not_at_all() {
        let ways = |path: &Path| Ways {
            turn_ca: Some(path.to_owned()),
            ..Ways::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let mut context = PeerContext::default();
        for text in [
            None,
            Some("no certificate"),
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        ] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let refused = ways(&path).prepare(&mut context).unwrap_err();
            assert_eq!(refused.exit_code(), std::process::ExitCode::from(2));
        }
        let text = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, text.repeat(2)).unwrap();
        ways(&path).prepare(&mut context).unwrap();
        assert_eq!(context.turn_roots, [[0, 1, 2], [0, 1, 2]]);
    }
}
