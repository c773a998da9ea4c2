//! A call between two peers in the laboratory.

use crate::{Camera, Microphone, Viewed, VirtualClock, Wire};
use duet_codec::VideoCodec;
use duet_media::{Clock, MediaStream, MediaTime};
use duet_peer::{
    EncoderHub, NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCError,
    RTCPeerConnection, RTCPeerConnectionState, Workers,
};
use duet_session::sim::LinkConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What one side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sends {
    /// Width, height, frames a second.
    pub video: Option<(u32, u32, u32)>,
    /// Whether it has a microphone.
    pub audio: bool,
}

impl Sends {
    /// Receives only.
    pub const NOTHING: Sends = Sends {
        video: None,
        audio: false,
    };
    /// A small picture and sound: quick to code.
    pub const SMALL: Sends = Sends {
        video: Some((640, 360, 30)),
        audio: true,
    };
}

/// How a call is made.
#[derive(Debug, Clone, PartialEq)]
pub struct CallConfig {
    /// Decides what is lost.
    pub seed: u64,
    /// What each side sends: who calls first.
    pub sends: [Sends; 2],
    /// The links: from the caller, to the caller.
    pub links: [LinkConfig; 2],
    /// In bits a second, for both.
    pub max_bitrate: u32,
}

impl Default for CallConfig {
    fn default() -> Self {
        CallConfig {
            seed: 1,
            sends: [Sends::SMALL, Sends::NOTHING],
            links: [LinkConfig::default(), LinkConfig::default()],
            max_bitrate: 4_000_000,
        }
    }
}

/// One end.
pub struct End {
    /// Its connection.
    pub connection: RTCPeerConnection,
    /// What it is shown.
    pub viewed: Viewed,
    /// Its address.
    pub ip: IpAddr,
    /// What it shows.
    pub camera: Option<Camera>,
    _microphone: Option<Microphone>,
}

/// A call between two.
pub struct Call {
    /// The laboratory's clock.
    pub clock: Arc<VirtualClock>,
    /// What joins them.
    pub wire: Wire,
    /// Who calls, and who is called.
    pub ends: [End; 2],
    carriers: Vec<JoinHandle<()>>,
}

impl Call {
    /// Where the two are of a network's call number `n`.
    pub const fn addresses(n: u8) -> [IpAddr; 2] {
        [
            IpAddr::V4(Ipv4Addr::new(127, 0, 81, 2 * n + 1)),
            IpAddr::V4(Ipv4Addr::new(127, 0, 81, 2 * n + 2)),
        ]
    }

    /// Calls over a network of their own, and returns once both are connected.
    ///
    /// # Panics
    /// Where they are not within a minute.
    pub async fn start(config: &CallConfig) -> Call {
        let clock = Arc::new(VirtualClock::start());
        let wire = Wire::new(clock.clone(), config.seed);
        let [a, b] = Self::addresses(0);
        wire.set_link(a, b, config.links[0].clone());
        wire.set_link(b, a, config.links[1].clone());
        Self::over(&wire, 0, config).await
    }

    /// Call number `n` over a network that is there, whose links are what they are.
    ///
    /// # Panics
    /// Where the two are not connected within a minute.
    pub async fn over(wire: &Wire, n: u8, config: &CallConfig) -> Call {
        let (wire, clock) = (wire.clone(), wire.clock());
        let mut ends = Vec::new();
        for (ip, sends) in Self::addresses(n).into_iter().zip(config.sends) {
            let end = End::new(&clock, &wire, ip, sends, config).await;
            ends.push(end.expect("a connection of our own"));
        }
        let Ok(ends) = <[End; 2]>::try_from(ends) else {
            unreachable!("there are two addresses");
        };
        let mut call = Call {
            clock,
            wire,
            ends,
            carriers: Vec::new(),
        };
        call.connect().await;
        call
    }

    async fn connect(&mut self) {
        let [caller, called] = &self.ends;
        self.carriers = vec![carry(caller, called), carry(called, caller)];
        let negotiated: Result<(), RTCError> = async {
            for (from, to) in [(caller, called), (called, caller)] {
                from.connection.set_local_description(None).await?;
                if let Some(description) = from.connection.local_description().await {
                    to.connection.set_remote_description(description).await?;
                }
            }
            Ok(())
        }
        .await;
        negotiated.expect("a negotiation without a network");
        let connected = async {
            for end in &self.ends {
                while end.connection.connection_state() != RTCPeerConnectionState::Connected {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let connected = tokio::time::timeout(Duration::from_secs(60), connected).await;
        connected.expect("connected within a minute");
    }

    /// Lets `duration` pass, and says when it began and ended.
    pub async fn pass(&self, duration: Duration) -> (MediaTime, MediaTime) {
        let from = self.clock.now();
        self.clock.sleep_until(from + duration).await;
        (from, from + duration)
    }

    /// What the link from the caller does from now on.
    pub fn set_forth(&self, config: LinkConfig) {
        let [a, b] = &self.ends;
        self.wire.set_link(a.ip, b.ip, config);
    }

    /// What the link to the caller does from now on.
    pub fn set_back(&self, config: LinkConfig) {
        let [a, b] = &self.ends;
        self.wire.set_link(b.ip, a.ip, config);
    }

    /// Bits a second that came through from the caller between the two times.
    pub fn rate(&self, from: MediaTime, until: MediaTime) -> f64 {
        let passed = self.wire.passed();
        let within = passed.iter().filter(|datagram| {
            datagram.from == self.ends[0].ip && (from..until).contains(&datagram.arrived)
        });
        let bytes: usize = within.map(|datagram| datagram.bytes).sum();
        bytes as f64 * 8.0 / until.saturating_since(from).as_secs_f64()
    }

    /// How long what came through from the caller between the two times was under way, the given share
    /// of it at most.
    pub fn delay(&self, from: MediaTime, until: MediaTime, share: f64) -> Duration {
        let passed = self.wire.passed();
        let within = passed.iter().filter(|datagram| {
            datagram.from == self.ends[0].ip && (from..until).contains(&datagram.arrived)
        });
        let delays = within.map(|datagram| datagram.arrived.saturating_since(datagram.sent));
        crate::percentile(delays.collect(), share)
    }

    /// Hangs up.
    pub async fn end(self) {
        for end in &self.ends {
            end.connection.close().await;
        }
        self.carriers.iter().for_each(JoinHandle::abort);
    }
}

impl End {
    async fn new(
        clock: &Arc<VirtualClock>,
        wire: &Wire,
        ip: IpAddr,
        sends: Sends,
        config: &CallConfig,
    ) -> Result<End, RTCError> {
        let shared: Arc<dyn Clock> = clock.clone();
        let make = Arc::new(|config: &_| VideoCodec::Vp8.encoder(config));
        let context = PeerContext {
            encoders: EncoderHub::on(Workers::Tasks, shared.clone(), make),
            workers: Workers::Tasks,
            network: NetworkPolicy::Only(vec![ip]),
            mdns: false,
            max_bitrate: config.max_bitrate,
            sockets: Some(Arc::new(wire.clone())),
            ..PeerContext::new(shared.clone())
        };
        let connection = RTCPeerConnection::new(RTCConfiguration::default(), context).await?;
        let camera = sends
            .video
            .map(|(width, height, rate)| Camera::start(clock, width, height, rate));
        let microphone = sends.audio.then(|| Microphone::start(clock));
        let tracks = camera.iter().map(|camera| camera.track.clone());
        let tracks: Vec<_> = tracks
            .chain(microphone.iter().map(|microphone| microphone.track.clone()))
            .collect();
        let stream = MediaStream::from_tracks(tracks.iter().cloned());
        for track in &tracks {
            connection.add_track(track, &[&stream]).await?;
        }
        let viewed = Viewed::new(shared);
        let watching = viewed.clone();
        connection
            .subscribe(move |event| {
                if let PeerConnectionEvent::Track(event) = event {
                    watching.watch(&event.track);
                }
            })
            .forever();
        Ok(End {
            connection,
            viewed,
            ip,
            camera,
            _microphone: microphone,
        })
    }
}

/// Carries one side's candidates to the other.
fn carry(from: &End, to: &End) -> JoinHandle<()> {
    let mut events = from.connection.events();
    let to = to.connection.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let PeerConnectionEvent::IceCandidate(candidate) = event {
                while to.remote_description().is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if to.add_ice_candidate(candidate).await.is_err() {
                    return;
                }
            }
        }
    })
}
