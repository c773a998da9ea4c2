//! A call that sends pictures from the first end to the other, where they are read.
#![allow(dead_code, reason = "not every test uses all of it")]

use crate::common::{self, End, negotiate, trickle, within};
use duet_devices::synthetic::{SyntheticCamera, SyntheticCameraConfig, marks};
use duet_media::{Frame, MediaStreamTrack};
use duet_peer::{PeerContext, RTCConfiguration, RTCPeerConnection, RTCStats, RTCStatsReport};
use std::time::{Duration, Instant};

pub(crate) struct WatchedCall {
    pub(crate) a: End,
    pub(crate) b: End,
    pub(crate) seen: MediaStreamTrack,
    pub(crate) connecting: Duration,
    _camera: MediaStreamTrack,
}

impl WatchedCall {
    /// Candidates are carried as they are found.
    pub(crate) async fn start(
        configurations: [RTCConfiguration; 2],
        contexts: [PeerContext; 2],
    ) -> WatchedCall {
        WatchedCall::described(configurations, contexts, async |a, b| {
            trickle(a, b);
            negotiate(&a.pc, &b.pc).await;
        })
        .await
    }

    /// `describe` tells each end what it has to know of the other.
    pub(crate) async fn described(
        configurations: [RTCConfiguration; 2],
        contexts: [PeerContext; 2],
        describe: impl AsyncFnOnce(&mut End, &mut End),
    ) -> WatchedCall {
        let ([one, other], [context, others]) = (configurations, contexts);
        let clock = context.clock.clone();
        let mut a = End::configured(one, context).await;
        let mut b = End::configured(other, others).await;
        let config = SyntheticCameraConfig {
            width: 320,
            height: 180,
            ..Default::default()
        };
        let camera = SyntheticCamera::start(config, clock);
        a.pc.add_track(&camera, &[]).await.expect("a sender");
        let begun = Instant::now();
        describe(&mut a, &mut b).await;
        a.connected().await;
        b.connected().await;
        let connecting = begun.elapsed();
        let seen = b.track().await.track;
        // A muted track is black.
        common::unmuted(&seen).await;
        WatchedCall {
            a,
            b,
            seen,
            connecting,
            _camera: camera,
        }
    }

    /// Reads `count` different pictures of the other side.
    pub(crate) async fn read_pictures(&self, count: usize) {
        let viewer = common::Viewer::of(&self.seen);
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let Frame::Video(picture) = viewer.frame().await else {
                panic!("a picture");
            };
            let Some(read) = marks::read(&picture.buffer) else {
                let (width, height) = (picture.width(), picture.height());
                let shades = picture.buffer.y().iter().step_by(997).collect::<Vec<_>>();
                panic!("not to be read after {numbers:?}: {width}x{height}, {shades:?}");
            };
            if numbers.last() != Some(&read.frame_number) {
                numbers.push(read.frame_number);
            }
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    /// Waits for a picture that comes from now on.
    pub(crate) async fn next_picture(&self) {
        let viewer = common::Viewer::of(&self.seen);
        viewer.drain();
        within("a picture", viewer.frame()).await;
    }

    pub(crate) async fn close(self) {
        self.a.pc.close().await;
        self.b.pc.close().await;
    }
}

/// The candidates in use, as statistics have them: ours, and the other side's.
pub(crate) async fn candidates_in_use(pc: &RTCPeerConnection) -> [RTCStats; 2] {
    let report: RTCStatsReport = pc.get_stats().await.expect("an open connection");
    let transport = report.of_type("transport").next().expect("a transport");
    let pair = transport.text("selectedCandidatePairId").expect("a pair");
    let pair = report.get(pair).expect("the pair");
    ["localCandidateId", "remoteCandidateId"].map(|side| {
        let id = pair.text(side).expect("a candidate's id");
        let candidate = report.get(id).unwrap_or_else(|| panic!("no {id}"));
        candidate.clone()
    })
}
