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

#[test]
fn a_bad_viewer_gets_the_small_encoding_and_a_good_one_the_large() {
    run(async {
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

        let (track, encoders) = forwarder.branch();
        let good = room.viewer(11, 3_000, &track, encoders).await;
        let (track, encoders) = forwarder.branch();
        let bad = room.viewer(21, 300, &track, encoders).await;
        let from = room.clock.now() + 5 * SECOND;
        let until = from + 15 * SECOND;
        room.clock.sleep_until(until).await;

        let mut sizes: Vec<_> = forwarder.layers();
        sizes.sort_by_key(|(_, size, _)| *size);
        println!("{sizes:?}");
        let names: Vec<_> = sizes
            .iter()
            .map(|(rid, size, _)| (rid.as_str(), *size))
            .collect();
        assert_eq!(names, [("h", (320, 180)), ("f", (640, 360))]);
        for (audience, size) in [(&good, (640, 360)), (&bad, (320, 180))] {
            see(&audience.viewed, size, from, until);
        }
        let ends = good.ends.iter().chain(&bad.ends);
        for end in ends.chain([&sender, &server]) {
            end.close().await;
        }
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
