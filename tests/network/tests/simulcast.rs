//! Two viewers of one sender, through a server that forwards: whoever is on a bad link gets the small
//! encoding, and whoever is on a good one the large, and neither notices the other.

mod forwarder;

use duet_codec::VideoCodec;
use duet_media::{Clock, MediaStreamTrack, MediaTime};
use duet_network::{Camera, LinkConfig, Viewed, VirtualClock, Wire, run};
use duet_peer::{
    EncoderHub, NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration,
    RTCDegradationPreference, RTCIceGatheringState, RTCPeerConnection, RTCPeerConnectionState,
    RTCRtpEncodingParameters, RTCRtpTransceiverInit, RTCSdpType, RTCSessionDescription, Workers,
};
use forwarder::Forwarder;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const SECOND: Duration = Duration::from_secs(1);

const fn address(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 82, n))
}

fn limited(kbps: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: usize::try_from(kbps * 1_000 / 8 * 300 / 1_000).unwrap_or(0),
        delay: 30 * SECOND / 1_000,
        ..Default::default()
    }
}

/// A viewer, and the server's end of their link.
struct Audience {
    viewed: Viewed,
    ends: [RTCPeerConnection; 2],
}

/// A network on which there are a sender, a server and viewers.
struct Room {
    clock: Arc<VirtualClock>,
    wire: Wire,
}

impl Room {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::start());
        let wire = Wire::new(clock.clone(), 1);
        Room { clock, wire }
    }

    fn link(&self, a: IpAddr, b: IpAddr, forth: LinkConfig) {
        self.wire.set_link(a, b, forth);
        self.wire.set_link(b, a, LinkConfig::default());
    }

    fn coding(&self) -> EncoderHub {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let make = Arc::new(|config: &_| VideoCodec::Vp8.encoder(config));
        EncoderHub::on(Workers::Tasks, clock, make)
    }

    async fn end(&self, ip: IpAddr, encoders: EncoderHub, max_bitrate: u32) -> RTCPeerConnection {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (_, interfaces) = watch::channel(vec![ip]);
        let context = PeerContext {
            encoders,
            workers: Workers::Tasks,
            network: NetworkPolicy::All,
            interfaces: Some(interfaces),
            mdns: false,
            max_bitrate,
            sockets: Some(Arc::new(self.wire.clone())),
            ..PeerContext::new(clock)
        };
        let made = RTCPeerConnection::new(RTCConfiguration::default(), context).await;
        made.expect("a connection of our own")
    }

    /// Somebody who looks at what `track` shows, over a link of their own.
    async fn viewer(
        &self,
        n: u8,
        kbps: u64,
        track: &MediaStreamTrack,
        encoders: EncoderHub,
    ) -> Audience {
        let (here, there) = (address(n), address(n + 1));
        self.link(here, there, limited(kbps));
        let server = self.end(here, encoders, 4_000_000).await;
        let sender = server.add_track(track, &[]).await.expect("a track");
        // The pictures are as they came: none may be left out.
        let mut parameters = sender.get_parameters();
        let preference = RTCDegradationPreference::MaintainFramerate;
        parameters.degradation_preference = Some(preference);
        sender.set_parameters(parameters).expect("a preference");
        let viewer = self.end(there, self.coding(), 4_000_000).await;
        let viewed = Viewed::new(self.clock.clone());
        let watching = viewed.clone();
        viewer
            .subscribe(move |event| {
                if let PeerConnectionEvent::Track(event) = event {
                    watching.watch(&event.track);
                }
            })
            .forever();
        join(&server, &viewer, |answer| answer).await;
        Audience {
            viewed,
            ends: [server, viewer],
        }
    }
}

/// What a connection says of itself, with candidates.
async fn complete(connection: &RTCPeerConnection) -> RTCSessionDescription {
    while connection.ice_gathering_state() != RTCIceGatheringState::Complete {
        tokio::time::sleep(SECOND / 1_000).await;
    }
    let description = connection.local_description().await;
    description.expect("it is set")
}

/// Joins two; `answered` is what becomes of the answer on its way.
async fn join(
    a: &RTCPeerConnection,
    b: &RTCPeerConnection,
    answered: impl FnOnce(String) -> String,
) {
    a.set_local_description(None).await.expect("an offer");
    let offer = complete(a).await;
    b.set_remote_description(offer).await.expect("it is one");
    b.set_local_description(None).await.expect("an answer");
    let answer = answered(complete(b).await.sdp);
    let answer = RTCSessionDescription::new(RTCSdpType::Answer, answer);
    a.set_remote_description(answer).await.expect("it is one");
    let connected = async {
        for end in [a, b] {
            while end.connection_state() != RTCPeerConnectionState::Connected {
                tokio::time::sleep(SECOND / 1_000).await;
            }
        }
    };
    let connected = tokio::time::timeout(60 * SECOND, connected).await;
    connected.expect("connected within a minute");
}

/// The id of the header extension that says which encoding a packet is of.
fn rid_extension(sdp: &str) -> u8 {
    let mut lines = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=extmap:"));
    let line = lines.find(|line| line.ends_with("sdes:rtp-stream-id"));
    let id = line.and_then(|line| line.split(' ').next()?.parse().ok());
    id.expect("it is agreed on")
}

fn encoding(rid: &str, scale: f64) -> RTCRtpEncodingParameters {
    RTCRtpEncodingParameters {
        rid: Some(rid.to_owned()),
        scale_resolution_down_by: scale,
        ..Default::default()
    }
}

/// A sender of two encodings, and a server that forwards them.
struct Stage {
    room: Room,
    sender: RTCPeerConnection,
    server: RTCPeerConnection,
    forwarder: Forwarder,
    audiences: Vec<Audience>,
    _camera: Camera,
}

impl Stage {
    async fn new() -> Self {
        let room = Room::new();
        let (from, to) = (address(1), address(2));
        room.link(from, to, limited(6_000));
        let sender = room.end(from, room.coding(), 900_000).await;
        let camera = Camera::start(&room.clock, 640, 360, 30);
        let init = RTCRtpTransceiverInit {
            send_encodings: vec![encoding("h", 2.0), encoding("f", 1.0)],
            ..Default::default()
        };
        let sent = sender.add_transceiver_with_track(&camera.track, init).await;
        sent.expect("two encodings");
        let server = room.end(to, room.coding(), 900_000).await;
        let mut forwarder = None;
        join(&sender, &server, |answer| {
            forwarder = Some(Forwarder::new(&room.clock, &server, rid_extension(&answer)));
            answer + "a=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv h;f\r\n"
        })
        .await;
        let forwarder = forwarder.expect("the server answered");
        Stage {
            room,
            sender,
            server,
            forwarder,
            audiences: Vec::new(),
            _camera: camera,
        }
    }

    /// Somebody else looks on, over a link of so much.
    async fn admit(&mut self, kbps: u64) -> Viewed {
        let (track, encoders) = self.forwarder.branch();
        let n = 11 + 10 * u8::try_from(self.audiences.len()).unwrap_or(0);
        let audience = self.room.viewer(n, kbps, &track, encoders).await;
        let viewed = audience.viewed.clone();
        self.audiences.push(audience);
        viewed
    }

    async fn pass(&self, seconds: u32) -> (MediaTime, MediaTime) {
        let from = self.room.clock.now();
        let until = from + seconds * SECOND;
        self.room.clock.sleep_until(until).await;
        (from, until)
    }

    /// What the sender's statistics say of each encoding: its id, whether it is sent, and what limits it.
    async fn sent(&self) -> Vec<(String, bool, String)> {
        let stats = self.sender.get_stats().await.expect("it is open");
        let sent = stats.of_type("outbound-rtp").map(|stats| {
            let text = |name| stats.text(name).unwrap_or_default().to_owned();
            let active = stats.members["active"].as_bool() == Some(true);
            (text("rid"), active, text("qualityLimitationReason"))
        });
        sent.collect()
    }

    async fn end(self) {
        let ends = self.audiences.iter().flat_map(|audience| &audience.ends);
        for end in ends.chain([&self.sender, &self.server]) {
            end.close().await;
        }
    }
}

const LARGE: (u32, u32) = (640, 360);
const SMALL: (u32, u32) = (320, 180);

#[test]
fn a_bad_viewer_gets_the_small_encoding_and_a_good_one_the_large() {
    run(async {
        let mut stage = Stage::new().await;
        let good = stage.admit(3_000).await;
        let bad = stage.admit(300).await;
        stage.pass(5).await;
        let (from, until) = stage.pass(15).await;
        let layers = stage.forwarder.layers();
        println!("{layers:?}");
        let mut names: Vec<_> = layers
            .into_iter()
            .map(|(rid, size, _)| (rid, size))
            .collect();
        names.sort_unstable();
        assert_eq!(names, [("f".to_owned(), LARGE), ("h".to_owned(), SMALL)]);
        see(&good, LARGE, from, until);
        see(&bad, SMALL, from, until);
        stage.end().await;
    });
}

#[test]
fn whose_link_gets_bad_falls_to_the_small_encoding_alone() {
    run(async {
        let mut stage = Stage::new().await;
        let good = stage.admit(3_000).await;
        let other = stage.admit(3_000).await;
        stage.pass(5).await;
        let (from, until) = stage.pass(5).await;
        see(&other, LARGE, from, until);
        let (here, there) = (address(21), address(22));
        stage.room.link(here, there, limited(300));
        let (from, _) = stage.pass(5).await;
        let gap = other.longest_gap(from, from + 5 * SECOND);
        println!("fell in {gap:?}");
        assert!(gap < 1_500 * SECOND / 1_000, "{gap:?}");
        let (later, until) = stage.pass(10).await;
        see(&other, SMALL, later, until);
        see(&good, LARGE, from, until);
        stage.end().await;
    });
}

#[test]
fn what_the_senders_path_does_not_carry_comes_back_with_it() {
    run(async {
        let mut stage = Stage::new().await;
        let viewed = stage.admit(6_000).await;
        stage.pass(5).await;
        let (from, until) = stage.pass(5).await;
        see(&viewed, LARGE, from, until);
        let says = |rid: &str, active, reason: &str| (rid.to_owned(), active, reason.to_owned());
        let both = [says("h", true, "none"), says("f", true, "none")];
        assert_eq!(stage.sent().await, both);

        stage.room.link(address(1), address(2), limited(200));
        stage.pass(5).await;
        let (from, until) = stage.pass(10).await;
        see(&viewed, SMALL, from, until);
        let one = [says("h", true, "none"), says("f", false, "bandwidth")];
        assert_eq!(stage.sent().await, one);

        stage.room.link(address(1), address(2), limited(6_000));
        let (from, _) = stage.pass(10).await;
        let (_, until) = stage.pass(5).await;
        assert_eq!(stage.sent().await, both);
        let shown = viewed.pictures(from, until);
        let large = shown.iter().find(|picture| picture.size == LARGE);
        let back = large.map(|picture| picture.at.saturating_since(from));
        println!("back after {back:?}");
        let back = back.expect("it is large again");
        assert!(back < 12 * SECOND, "{back:?}");
        assert!(viewed.freezes(from, until).is_empty());
        stage.end().await;
    });
}

/// What a viewer saw between the two times: every picture, in one size, without a stop.
fn see(viewed: &Viewed, size: (u32, u32), from: MediaTime, until: MediaTime) {
    let pictures = viewed.pictures(from, until);
    let rate = pictures.len() as f64 / until.saturating_since(from).as_secs_f64();
    let age = viewed.age(from, until, 0.95);
    let gap = viewed.longest_gap(from, until);
    println!("{size:?}: {rate:.1} a second, p95 {age:?}, longest gap {gap:?}");
    let other = pictures
        .iter()
        .filter(|picture| picture.size != size)
        .count();
    assert_eq!(other, 0, "of {}, {size:?}", pictures.len());
    assert!(rate > 29.0, "{size:?}: {rate}");
    assert!(viewed.freezes(from, until).is_empty(), "{size:?}: {gap:?}");
    assert!(age < 300 * SECOND / 1_000, "{size:?}: {age:?}");
}
