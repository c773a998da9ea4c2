//! The machine's addresses: which of them are offered, and when they change.
//!
//! On Linux the kernel tells of each change (rtnetlink); elsewhere the addresses are compared every
//! two seconds.

use crate::NetworkPolicy;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a connection offers: asked at the start and at each ICE restart, so that a restart follows a
/// change of network.
#[derive(Clone)]
pub(crate) struct Offered {
    policy: NetworkPolicy,
    /// The machine's addresses, if not those that it has.
    machine: Option<watch::Receiver<Vec<IpAddr>>>,
    /// There was one that could be used.
    begun: Arc<AtomicBool>,
    /// For streams, which are no more than there are sockets.
    streams: bool,
}

impl Offered {
    pub(crate) fn new(
        policy: NetworkPolicy,
        machine: Option<watch::Receiver<Vec<IpAddr>>>,
    ) -> Self {
        Offered {
            policy,
            machine,
            begun: Arc::default(),
            streams: false,
        }
    }

    /// The same for streams: where there is no socket there is none either.
    pub(crate) fn for_streams(&self) -> Self {
        Offered {
            streams: true,
            ..self.clone()
        }
    }

    pub(crate) fn ips(&self) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = match &self.policy {
            NetworkPolicy::LoopbackOnly => vec![LOCAL],
            NetworkPolicy::Only(ips) => ips.clone(),
            policy @ (NetworkPolicy::All | NetworkPolicy::NoLoopback) => {
                let mut ips = match &self.machine {
                    Some(machine) => machine.borrow().clone(),
                    None => machine_ips(),
                };
                let given = self.machine.is_some();
                if ips.is_empty() || *policy == NetworkPolicy::All && !given {
                    ips.push(LOCAL);
                }
                ips
            }
        };
        ips.sort_unstable();
        ips.dedup();
        ips
    }

    /// Whether another machine could be reached from one of `ips`.
    pub(crate) fn is_usable(&self, ips: &[IpAddr]) -> bool {
        let given = self.machine.is_some();
        ips.iter()
            .any(|ip| !ip.is_loopback() || given && *ip != LOCAL)
    }

    /// Tells when the addresses may have changed; never where they cannot.
    pub(crate) fn watch(&self) -> AddressWatch {
        match (&self.policy, &self.machine) {
            (NetworkPolicy::LoopbackOnly | NetworkPolicy::Only(_), _) => AddressWatch::Never,
            (_, Some(given)) => AddressWatch::Given(given.clone()),
            (_, None) => match system::Changes::new() {
                Ok(changes) => AddressWatch::System(changes),
                Err(error) => {
                    tracing::warn!(%error, "changes of network go unnoticed");
                    AddressWatch::Never
                }
            },
        }
    }
}

impl ToSocketAddrs for Offered {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let mut ips = self.ips();
        // Without any socket the substrate would end for good, and not see the network's return.
        let there = |ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok();
        if self.streams {
            ips.retain(there);
            let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            return Ok(addresses.into_iter());
        }
        let begun = self.begun.swap(true, Ordering::Relaxed);
        if begun && !ips.iter().any(there) {
            ips = vec![LOCAL];
        }
        let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
        Ok(addresses.into_iter())
    }
}

/// Those of every interface that is up, but loopback's and those that mean nothing elsewhere.
fn machine_ips() -> Vec<IpAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0) != 0xfe80 && !ip.is_unspecified(),
    };
    let interfaces = rtc::shared::ifaces::ifaces().unwrap_or_default();
    let ips = interfaces.into_iter();
    ips.filter_map(|interface| Some(interface.addr?.ip()))
        .filter(|ip| usable(ip) && !ip.is_loopback())
        .collect()
}

/// Tells that the machine's addresses may be others.
pub(crate) enum AddressWatch {
    Never,
    Given(watch::Receiver<Vec<IpAddr>>),
    System(system::Changes),
}

impl AddressWatch {
    /// Waits for the next change. Nothing is lost if the future is dropped.
    pub(crate) async fn changed(&mut self) {
        let alive = match self {
            AddressWatch::Never => false,
            AddressWatch::Given(given) => given.changed().await.is_ok(),
            AddressWatch::System(changes) => changes.next().await.is_ok(),
        };
        if !alive {
            // Nobody tells of changes any more.
            *self = AddressWatch::Never;
            std::future::pending().await
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use nix::errno::Errno;
    use nix::sys::socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
    };
    use std::io;
    use std::os::fd::AsRawFd;
    use tokio::net::UnixDatagram;

    /// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR`: addresses that come and go
    /// ([rtnetlink](https://man7.org/linux/man-pages/man7/rtnetlink.7.html)).
    const GROUPS: u32 = 0x10 | 0x100;

    /// The kernel's socket. It is no Unix one, but is received from like any that has datagrams.
    pub(crate) struct Changes(UnixDatagram);

    impl Changes {
        pub(crate) fn new() -> io::Result<Self> {
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Datagram,
                SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkRoute,
            )?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
            Ok(Changes(UnixDatagram::from_std(socket.into())?))
        }

        /// What changed is not read: the addresses are looked at anew.
        pub(crate) async fn next(&mut self) -> io::Result<()> {
            let mut message = [0; 4_096];
            match self.0.recv(&mut message).await {
                Ok(_) => Ok(()),
                // Too many at once for the kernel to keep: some are lost, and none matters.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::machine_ips;
    use std::io;
    use std::net::IpAddr;
    use std::time::Duration;

    const PERIOD: Duration = Duration::from_secs(2);

    pub(crate) struct Changes(Vec<IpAddr>);

    impl Changes {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Changes(machine_ips()))
        }

        pub(crate) async fn next(&mut self) -> io::Result<()> {
            loop {
                tokio::time::sleep(PERIOD).await;
                let now = machine_ips();
                if std::mem::replace(&mut self.0, now) != self.0 {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(policy: NetworkPolicy) -> Vec<IpAddr> {
        Offered::new(policy, None).ips()
    }

    #[test]
    fn loopback_is_offered_as_the_policy_says() {
        assert_eq!(ips(NetworkPolicy::LoopbackOnly), [LOCAL]);
        assert!(ips(NetworkPolicy::All).contains(&LOCAL));
        let others = ips(NetworkPolicy::NoLoopback);
        assert!(!others.is_empty());
        assert!(others.len() == 1 || !others.contains(&LOCAL));
    }

    #[test]
    fn addresses_that_are_given_are_the_machines() {
        let one = IpAddr::from([127, 0, 9, 1]);
        let (given, machine) = watch::channel(vec![one]);
        let offered = Offered::new(NetworkPolicy::All, Some(machine));
        assert_eq!(offered.ips(), [one]);
        assert!(offered.is_usable(&offered.ips()));
        given.send_replace(Vec::new());
        assert_eq!(offered.ips(), [LOCAL]);
        assert!(!offered.is_usable(&offered.ips()));
    }

    #[test]
    fn once_begun_there_is_always_a_socket() {
        // Of a network for documentation: nobody has it.
        let nobodys = IpAddr::from([192, 0, 2, 1]);
        let offered = Offered::new(NetworkPolicy::Only(vec![nobodys]), None);
        let bound = || -> Vec<IpAddr> {
            let addresses = offered.to_socket_addrs().unwrap();
            addresses.map(|address| address.ip()).collect()
        };
        assert_eq!(bound(), [nobodys], "a wrong address is an error");
        assert_eq!(bound(), [LOCAL]);
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_fixed_addresses_never_change() {
        let (given, machine) = watch::channel(Vec::new());
        let mut watch = Offered::new(NetworkPolicy::All, Some(machine)).watch();
        given.send_replace(vec![LOCAL]);
        watch.changed().await;
        let again = tokio::time::timeout(std::time::Duration::from_millis(50), watch.changed());
        assert!(again.await.is_err());
        drop(given);
        let gone = tokio::time::timeout(std::time::Duration::from_millis(50), watch.changed());
        assert!(gone.await.is_err(), "and it does not spin");
    }
}
