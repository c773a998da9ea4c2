//! A real TURN server (coturn) on the loopback interface, ended with its handle, by its id.
#![allow(dead_code, reason = "not every test uses all of it")]

use duet_peer::RTCIceServer;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "secret";

/// Where one listens and what it shows, so that it can be started anew.
pub(crate) struct TurnServer {
    folder: PathBuf,
    port: u16,
    tls_port: u16,
    relays_to_ipv6: bool,
    /// The authority that vouches for it, in DER.
    pub(crate) root: Vec<u8>,
    child: Option<Child>,
}

impl TurnServer {
    /// `None`, with a sentence, where there is no coturn.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::with(name, false)
    }

    /// One that gives relayed addresses of IPv6 too; `None`, with a sentence, where there are none either.
    pub(crate) fn start_with_ipv6(name: &str) -> Option<Self> {
        if !has_ipv6() {
            println!("skipped: there is no IPv6 here");
            return None;
        }
        Self::with(name, true)
    }

    fn with(name: &str, relays_to_ipv6: bool) -> Option<Self> {
        if Command::new("turnserver").arg("--help").output().is_err() {
            println!("skipped: no turnserver (coturn) can be had here");
            return None;
        }
        let folder = format!("duet-turn-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        // Both are free now, and nobody else is given them for a while.
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("an address");
            (listener, address.port())
        };
        let ((_one, port), (_other, tls_port)) = (free(), free());
        let mut server = TurnServer {
            folder,
            port,
            tls_port,
            relays_to_ipv6,
            root: made.cert.der().to_vec(),
            child: None,
        };
        drop((_one, _other));
        server.again();
        Some(server)
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn again(&mut self) {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut child = Command::new("turnserver")
            .args(["-n", "--no-cli", "--log-file", "stdout", "--realm", "duet"])
            .args(["--listening-ip", "127.0.0.1"])
            .args(if has_ipv6() {
                ["--listening-ip", "::1"].as_slice()
            } else {
                &[]
            })
            .args(["--relay-ip", "127.0.0.1"])
            .args(if self.relays_to_ipv6 {
                ["--relay-ip", "::1"].as_slice()
            } else {
                &[]
            })
            .args(["--listening-port", &self.port.to_string()])
            .args(["--tls-listening-port", &self.tls_port.to_string()])
            .args(["--lt-cred-mech", "--user", &format!("{USER}:{PASSWORD}")])
            .args(["--cert", &path("cert.pem"), "--pkey", &path("key.pem")])
            .args(["--pidfile", &path("pid"), "--userdb", &path("db")])
            // The ends of the call are on the loopback interface too.
            .args(["--allow-loopback-peers"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("coturn starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        self.child = Some(child);
        let ready = said.any(|line| line.is_ok_and(|line| line.contains("Total General servers")));
        assert!(ready, "coturn ended at once");
        // It says more, and would wait for ever if nobody read it.
        std::thread::spawn(move || said.for_each(drop));
    }

    /// Ends it at once: connections are reset.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn udp(&self) -> String {
        format!("turn:127.0.0.1:{}", self.port)
    }

    pub(crate) fn tcp(&self) -> String {
        format!("turn:127.0.0.1:{}?transport=tcp", self.port)
    }

    pub(crate) fn udp6(&self) -> String {
        format!("turn:[::1]:{}", self.port)
    }

    pub(crate) fn tcp6(&self) -> String {
        format!("turn:[::1]:{}?transport=tcp", self.port)
    }

    /// By name, as the certificate has it.
    pub(crate) fn tls(&self) -> String {
        format!("turns:localhost:{}", self.tls_port)
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether the machine's loopback interface has an address of IPv6.
pub(crate) fn has_ipv6() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

/// A server with the right password.
pub(crate) fn ice_server(url: impl Into<String>) -> RTCIceServer {
    RTCIceServer {
        urls: vec![url.into()],
        username: Some(USER.into()),
        credential: Some(PASSWORD.into()),
    }
}
