//! A track is unmuted by its packets, and by none that come too late.

use super::*;
use crate::Workers;
use crate::pipeline::{InboundAudioConfig, InboundVideoConfig};
use bytes::Bytes;
use duet_codec::{VideoCodec, VideoEncoderConfig};
use duet_devices::synthetic::{Painter, marks};
use duet_media::{Clock, Frame, FrameQueue, I420Buffer, ManualClock, MediaStreamTrack};
use duet_media::{MonotonicClock, VideoFrame};
use duet_session::Vp8Packetizer;
use std::time::Duration;

struct Deaf;

impl crate::pipeline::Feedback for Deaf {
    fn request_key_frame(&self) {}
}

pub(in crate::interceptor) fn route() -> (Arc<Route>, MediaStreamTrack) {
    way_of_pictures(Arc::new(MonotonicClock::new()), Workers::Threads)
}

fn way_of_pictures(clock: Arc<dyn Clock>, workers: Workers) -> (Arc<Route>, MediaStreamTrack) {
    let (inbound, track) = InboundVideo::new(InboundVideoConfig {
        clock,
        feedback: Arc::new(Deaf),
        label: "test".into(),
        workers,
    });
    let route = Route {
        mid: "0".into(),
        ssrcs: Vec::new(),
        mid_extension: Some(1),
        sound: None,
        receive: Arc::new(Receive::Video(inbound)),
        media_ssrc: Arc::default(),
        flowing: AtomicBool::new(false),
        over: AtomicBool::new(false),
        on_flow: Box::new(|_| ()),
    };
    (Arc::new(route), track)
}

/// The packets of a whole picture.
fn picture(clock: &dyn Clock) -> Vec<RtpPacket> {
    let (width, height) = (320, 180);
    let config = VideoEncoderConfig {
        width,
        height,
        frame_rate: 30.0,
        bitrate: 800_000,
        temporal_layers: 1,
    };
    let mut painted = I420Buffer::default();
    let now = clock.now();
    Painter::new(width, height).paint(0, clock.unix_time(now), false, &mut painted);
    let frame = VideoFrame::new(Arc::new(painted), now);
    let mut encoder = VideoCodec::Vp8.encoder(&config).expect("an encoder");
    let encoded = encoder.encode(&frame, true).expect("a picture");
    let payloads = Vp8Packetizer::new(1_000, 7).packetize(&encoded.expect("it").data, None);
    let last = payloads.len() - 1;
    let packet = |(n, payload): (usize, Bytes)| RtpPacket {
        payload_type: 96,
        sequence_number: n as u16,
        timestamp: 0,
        marker: n == last,
        ssrc: 1,
        payload,
    };
    payloads.into_iter().enumerate().map(packet).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_picture_waits_until_its_track_is_unmuted() {
    let clock = Arc::new(ManualClock::new(MediaTime::from_millis(1_000)));
    let (route, track) = way_of_pictures(clock.clone(), Workers::Tasks);
    let shown = Arc::new(FrameQueue::new(8));
    let _showing = track.add_sink(shown.clone());
    for packet in picture(&*clock) {
        route.deliver(packet, false, clock.now());
    }
    let pass = async || {
        for _ in 0..20 {
            clock.advance(Duration::from_millis(10));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    pass().await;
    assert!(shown.try_pop().is_none(), "it would be black");
    route.follow_flow();
    pass().await;
    let Some(Frame::Video(seen)) = shown.try_pop() else {
        panic!("a picture");
    };
    let read = marks::read(&seen.buffer).expect("its marks");
    assert_eq!(read.frame_number, 0);
}

#[test]
fn a_packet_on_its_way_unmutes_no_track_that_was_taken_away() {
    let (route, track) = route();
    let packet = || RtpPacket {
        payload_type: 96,
        sequence_number: 1,
        timestamp: 0,
        marker: false,
        ssrc: 1,
        payload: Bytes::from_static(&[0x10, 0, 0]),
    };
    route.deliver(packet(), false, MediaTime::ZERO);
    route.follow_flow();
    assert!(!track.muted());
    route.over.store(true, Ordering::Release);
    route.receive.set_muted(true);
    route.deliver(packet(), false, MediaTime::ZERO);
    route.follow_flow();
    assert!(track.muted());
}

/// A way for sound: Opus as 111, redundancy as 63.
pub(in crate::interceptor) fn way_of_sound() -> Arc<Route> {
    let (inbound, _track) = InboundAudio::new(InboundAudioConfig {
        clock: Arc::new(MonotonicClock::new()),
        label: "test".into(),
        workers: crate::Workers::Threads,
    });
    Arc::new(Route {
        mid: "0".into(),
        ssrcs: vec![7],
        mid_extension: None,
        sound: Some(SoundTypes {
            opus: 111,
            red: Some(63),
        }),
        receive: Arc::new(Receive::Audio(inbound)),
        media_ssrc: Arc::default(),
        flowing: AtomicBool::new(false),
        over: AtomicBool::new(false),
        on_flow: Box::new(|_| ()),
    })
}
