//! A call between two peers in the laboratory.

use crate::signaling::Signaling;
use crate::{Camera, Flow, Hears, Microphone, Viewed, VirtualClock, Wire};
use duet_codec::VideoCodec;
use duet_media::{Clock, MediaKind, MediaStream, MediaTime};
use duet_peer::{
    EncoderHub, NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCDataChannel,
    RTCDataChannelInit, RTCError, RTCPeerConnection, RTCPeerConnectionState, RTCRtpSender, Workers,
};
use duet_session::sim::LinkConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

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
    /// Whether forward error correction is agreed on.
    pub fec: bool,
    /// Whether there is a data channel too.
    pub data: bool,
    /// What the microphones hear…
    pub hears: Hears,
    /// … and how many samples their sound cards take in a second of 48,000.
    pub card_hz: u32,
}

impl Default for CallConfig {
    fn default() -> Self {
        CallConfig {
            seed: 1,
            sends: [Sends::SMALL, Sends::NOTHING],
            links: [LinkConfig::default(), LinkConfig::default()],
            max_bitrate: 4_000_000,
            fec: true,
            data: false,
            hears: Hears::Marks,
            card_hz: 48_000,
        }
    }
}

/// One end.
pub struct End {
    /// Its connection.
    pub connection: RTCPeerConnection,
    /// What it is shown.
    pub viewed: Viewed,
    /// Its first address.
    pub ip: IpAddr,
    /// The addresses that it has, the newest last.
    pub ips: watch::Sender<Vec<IpAddr>>,
    /// Its data channel, if the call has one.
    pub channel: Option<RTCDataChannel>,
    /// What it shows.
    pub camera: Option<Camera>,
    /// Where what it sends is encoded.
    pub encoders: EncoderHub,
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
    signaling: Signaling,
}

impl Call {
    /// Where the two are of a network's first call.
    pub const ADDRESSES: [IpAddr; 2] = Self::addresses(0);

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
            let encoders = End::hub(&clock);
            let end = End::new(&clock, &wire, ip, sends, config, encoders).await;
            ends.push(end.expect("a connection of our own"));
        }
        Self::between(wire, clock, ends).await
    }

    /// The caller calls somebody else too, over a link of its own (that of call number `n`), and shows
    /// the same.
    ///
    /// # Panics
    /// Where the two are not connected within a minute, or the caller shows nothing.
    pub async fn also(&self, n: u8, config: &CallConfig) -> Call {
        let (wire, clock) = (self.wire.clone(), self.clock.clone());
        let [from, to] = Self::addresses(n);
        wire.set_link(from, to, config.links[0].clone());
        wire.set_link(to, from, config.links[1].clone());
        let caller = &self.ends[0];
        let encoders = caller.encoders.clone();
        let sends = Sends::NOTHING;
        let first = End::new(&clock, &wire, from, sends, config, encoders).await;
        let first = first.expect("a connection of our own");
        let camera = caller.camera.as_ref().expect("it shows something");
        let added = first.connection.add_track(&camera.track, &[]).await;
        added.expect("a track that is not sent yet");
        let encoders = End::hub(&clock);
        let second = End::new(&clock, &wire, to, config.sends[1], config, encoders).await;
        let ends = vec![first, second.expect("a connection of our own")];
        Self::between(wire, clock, ends).await
    }

    async fn between(wire: Wire, clock: Arc<VirtualClock>, ends: Vec<End>) -> Call {
        let Ok(ends) = <[End; 2]>::try_from(ends) else {
            unreachable!("there are two addresses");
        };
        let signaling = Signaling::between(&ends[0].connection, &ends[1].connection);
        let call = Call {
            clock,
            wire,
            ends,
            signaling,
        };
        call.connect().await;
        call.signaling.let_negotiate(true);
        call
    }

    async fn connect(&self) {
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

    /// Whether the programs at both ends answer `negotiationneeded`.
    pub fn let_negotiate(&self, they_do: bool) {
        self.signaling.let_negotiate(they_do);
    }

    /// Offers so far, of both.
    pub fn offers(&self) -> u32 {
        self.signaling.offers()
    }

    /// Takes the last address from an end; what is under way to and from it is lost.
    pub fn unplug(&self, end: usize) {
        self.ends[end].ips.send_modify(|ips| {
            if let Some(ip) = ips.pop() {
                self.wire.unplug(ip);
            }
        });
    }

    /// Gives an end another address, from which the other end is as far as from its first one.
    pub fn plug(&self, end: usize, ip: IpAddr) {
        let there = self.ends[1 - end].ips.borrow().clone();
        for there in there {
            let (first, other) = (self.ends[end].ip, self.ends[1 - end].ip);
            self.wire.join(ip, there, first, other);
        }
        self.ends[end].ips.send_modify(|ips| ips.push(ip));
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
        self.flow(0).rate(from, until)
    }

    /// How long what came through from the caller between the two times was under way, the given share
    /// of it at most.
    pub fn delay(&self, from: MediaTime, until: MediaTime, share: f64) -> Duration {
        self.flow(0).delay(from, until, share)
    }

    /// What an end sent, from whichever address that it has or began with.
    pub fn flow(&self, end: usize) -> Flow {
        let end = &self.ends[end];
        let mut ips = end.ips.borrow().clone();
        ips.push(end.ip);
        Flow::of(&self.wire, &ips)
    }

    /// Hangs up.
    pub async fn end(self) {
        for end in &self.ends {
            end.connection.close().await;
        }
    }
}

impl End {
    fn hub(clock: &Arc<VirtualClock>) -> EncoderHub {
        let make = Arc::new(|config: &_| VideoCodec::Vp8.encoder(config));
        EncoderHub::on(Workers::Tasks, clock.clone(), make)
    }

    async fn new(
        clock: &Arc<VirtualClock>,
        wire: &Wire,
        ip: IpAddr,
        sends: Sends,
        config: &CallConfig,
        encoders: EncoderHub,
    ) -> Result<End, RTCError> {
        let shared: Arc<dyn Clock> = clock.clone();
        let (ips, _) = watch::channel(vec![ip]);
        let context = PeerContext {
            encoders: encoders.clone(),
            workers: Workers::Tasks,
            network: NetworkPolicy::All,
            interfaces: Some(ips.subscribe()),
            mdns: false,
            max_bitrate: config.max_bitrate,
            sockets: Some(Arc::new(wire.clone())),
            ..PeerContext::new(shared.clone())
        };
        let connection = RTCPeerConnection::new(RTCConfiguration::default(), context).await?;
        let camera = sends
            .video
            .map(|(width, height, rate)| Camera::start(clock, width, height, rate));
        let microphone = sends
            .audio
            .then(|| Microphone::start(clock, config.hears.clone(), config.card_hz));
        let tracks = camera.iter().map(|camera| camera.track.clone());
        let tracks: Vec<_> = tracks
            .chain(microphone.iter().map(|microphone| microphone.track.clone()))
            .collect();
        let stream = MediaStream::from_tracks(tracks.iter().cloned());
        for track in &tracks {
            connection.add_track(track, &[&stream]).await?;
        }
        if !config.fec {
            let mut codecs = RTCRtpSender::get_capabilities(MediaKind::Video).codecs;
            codecs.retain(|codec| codec.mime_type != "video/flexfec-03");
            let all = connection.get_transceivers();
            let video = all
                .iter()
                .filter(|one| one.receiver().track().kind() == MediaKind::Video);
            video.for_each(|one| one.set_codec_preferences(&codecs).expect("capabilities"));
        }
        let channel = if config.data {
            // Agreed on beforehand, so that both ends have it.
            let init = RTCDataChannelInit {
                negotiated_id: Some(1),
                ..Default::default()
            };
            Some(connection.create_data_channel("data", init).await?)
        } else {
            None
        };
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
            ips,
            channel,
            camera,
            encoders,
            _microphone: microphone,
        })
    }
}
