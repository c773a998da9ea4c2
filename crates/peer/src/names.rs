//! Names in the place of the machine's addresses
//! ([mDNS ICE candidates](https://datatracker.ietf.org/doc/html/draft-ietf-mmusic-mdns-ice-candidates)): who hears of
//! a name learns where the machine is only on a network that it shares with it.
//!
//! Asking for the other side's names is the agent's affair. Here one's own are made, and answered for by multicast
//! as long as the connection lives.

use crate::ice_candidate::{hide_address, without_base};
use parking_lot::Mutex;
use rtc::mdns::{Mdns, MdnsConfig, MulticastSocket};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// No message is longer ([RFC 6762, section 17](https://www.rfc-editor.org/rfc/rfc6762#section-17)).
const MAX_MESSAGE: usize = 9_000;

/// Of one connection.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashMap<Ipv4Addr, Name>>);

struct Name {
    name: String,
    answering: JoinHandle<()>,
}

impl Drop for Name {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl Names {
    /// A candidate's line as it may be told. `None` if it may not: its address has no name. Only those of IPv4
    /// have. Loopback's say nothing about the machine.
    pub(crate) fn hide(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let (address, kind) = (words.get(4)?, words.get(7)?);
        if *kind != "host" {
            return Some(without_base(line));
        }
        match address.parse().ok()? {
            IpAddr::V4(ip) if !ip.is_loopback() => match self.name_of(ip) {
                Ok(name) => Some(hide_address(line, &name)),
                Err(error) => {
                    tracing::warn!(%error, "an address has no name, and is not told");
                    None
                }
            },
            ip => ip.is_loopback().then(|| line.to_owned()),
        }
    }

    fn name_of(&self, ip: Ipv4Addr) -> io::Result<String> {
        let mut names = self.0.lock();
        if let Some(known) = names.get(&ip) {
            return Ok(known.name.clone());
        }
        let name = format!("{}.local", uuid::Uuid::new_v4());
        let socket = MulticastSocket::new().with_interface(ip).into_std()?;
        socket2::SockRef::from(&socket).set_multicast_if_v4(&ip)?;
        let socket = UdpSocket::from_std(socket)?;
        let config = MdnsConfig::default()
            .with_local_names(vec![name.clone()])
            .with_local_ip(ip.into());
        let answering = tokio::spawn(answer(socket, config));
        let made = Name {
            name: name.clone(),
            answering,
        };
        names.insert(ip, made);
        Ok(name)
    }
}

/// Answers who asks for a name.
async fn answer(socket: UdpSocket, config: MdnsConfig) {
    let now = || tokio::time::Instant::now().into_std();
    let mut mdns = Mdns::new(now(), config);
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "a name is not answered for any more");
                return;
            }
        };
        let question = TaggedBytesMut {
            now: now(),
            transport: TransportContext {
                local_addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                peer_addr: from,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: buffer[..len].into(),
        };
        // Anybody on the network can say anything.
        if let Err(error) = mdns.handle_read(question) {
            tracing::debug!(%error, "a question for a name");
        }
        while let Some(answer) = mdns.poll_write() {
            // They ask again.
            let _ = socket
                .send_to(&answer.message, answer.transport.peer_addr)
                .await;
        }
    }
}
