//! Two connections in one process, joined by signaling that is never late and never lost.
#![allow(dead_code, reason = "not every test uses all of it")]

use duet_media::{
    Frame, FrameQueue, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTime,
    MediaTrackCapabilities, MediaTrackSettings, SinkHandle, TrackEvent, VideoFrame,
};
use duet_peer::{
    NetworkPolicy, PeerConnectionEvent as Event, PeerContext, RTCConfiguration, RTCPeerConnection,
    RTCPeerConnectionState, RTCTrackEvent,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a test waits for at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test if `future` takes longer than a test can wait.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

pub(crate) fn context() -> PeerContext {
    PeerContext {
        network: NetworkPolicy::LoopbackOnly,
        mdns: false,
        ..PeerContext::default()
    }
}

/// Negotiates between two ends whenever either needs it, as every program does.
pub(crate) fn keep_negotiating(
    one: &RTCPeerConnection,
    other: &RTCPeerConnection,
) -> tokio::task::JoinHandle<()> {
    let (one, other) = (one.clone(), other.clone());
    let (mut of_one, mut of_other) = (one.events(), other.events());
    tokio::spawn(async move {
        loop {
            let (event, from, to) = tokio::select! {
                event = of_one.recv() => (event, &one, &other),
                event = of_other.recv() => (event, &other, &one),
            };
            match event {
                Some(Event::NegotiationNeeded) if from.negotiation_needed() => {
                    negotiate(from, to).await;
                }
                Some(_) => {}
                None => return,
            }
        }
    })
}

/// One end: its connection, and its events, candidates left out.
pub(crate) struct End {
    pub(crate) pc: RTCPeerConnection,
    pub(crate) events: mpsc::Receiver<Event>,
    /// Came while another one was waited for.
    skipped: Vec<Event>,
    candidates: Option<mpsc::Receiver<Event>>,
    carrier: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(carrier) = &self.carrier {
            carrier.abort();
        }
    }
}

impl End {
    pub(crate) async fn new(context: PeerContext) -> End {
        End::configured(RTCConfiguration::default(), context).await
    }

    pub(crate) async fn configured(configuration: RTCConfiguration, context: PeerContext) -> End {
        let pc = RTCPeerConnection::new(configuration, context);
        let pc = pc.await.expect("a connection");
        let (tx, events) = mpsc::channel(1_024);
        let (candidate_tx, candidates) = mpsc::channel(1_024);
        pc.subscribe(move |event| {
            let to = match event {
                Event::IceCandidate(_) => &candidate_tx,
                _ => &tx,
            };
            // A test that has seen enough no longer listens.
            let _ = to.try_send(event.clone());
        })
        .forever();
        End {
            pc,
            events,
            skipped: Vec::new(),
            candidates: Some(candidates),
            carrier: None,
        }
    }

    /// Candidates to signal, for who carries them by hand.
    pub(crate) fn candidates(&mut self) -> &mut mpsc::Receiver<Event> {
        self.candidates.as_mut().expect("trickles already")
    }

    /// The next event that `pick` wants. Others stay for those who wait for them.
    pub(crate) async fn wait<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let found = self
            .skipped
            .iter()
            .enumerate()
            .find_map(|(at, event)| Some((at, pick(event)?)));
        if let Some((at, picked)) = found {
            self.skipped.remove(at);
            return picked;
        }
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("the connection is gone");
                if let Some(picked) = pick(&event) {
                    return picked;
                }
                self.skipped.push(event);
            }
        })
        .await
    }

    pub(crate) async fn connected(&mut self) {
        if self.pc.connection_state() == RTCPeerConnectionState::Connected {
            return;
        }
        self.wait("connected", |event| match event {
            Event::ConnectionStateChange(RTCPeerConnectionState::Connected) => Some(()),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn track(&mut self) -> RTCTrackEvent {
        self.wait("a track", |event| match event {
            Event::Track(event) => Some(event.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn negotiation_needed(&mut self) {
        self.wait("negotiationneeded", |event| {
            matches!(event, Event::NegotiationNeeded).then_some(())
        })
        .await;
    }
}

/// Carries candidates both ways until the ends are dropped.
pub(crate) fn trickle(a: &mut End, b: &mut End) {
    let (to_a, to_b) = (a.pc.clone(), b.pc.clone());
    for (from, to) in [(a, to_b), (b, to_a)] {
        let mut candidates = from.candidates.take().expect("trickles already");
        from.carrier = Some(tokio::spawn(async move {
            while let Some(Event::IceCandidate(candidate)) = candidates.recv().await {
                // It may come before the description: a real channel keeps the order.
                while to.remote_description().is_none() {
                    tokio::task::yield_now().await;
                }
                if to.add_ice_candidate(candidate).await.is_err() {
                    return;
                }
            }
        }));
    }
}

pub(crate) async fn pair() -> (End, End) {
    pair_of(context(), context()).await
}

pub(crate) async fn pair_of(a: PeerContext, b: PeerContext) -> (End, End) {
    let (mut a, mut b) = (End::new(a).await, End::new(b).await);
    trickle(&mut a, &mut b);
    (a, b)
}

/// One offer and answer.
pub(crate) async fn negotiate(from: &RTCPeerConnection, to: &RTCPeerConnection) {
    from.set_local_description(None).await.expect("an offer");
    let offer = from.local_description().await.expect("an offer");
    to.set_remote_description(offer)
        .await
        .expect("a good offer");
    to.set_local_description(None).await.expect("an answer");
    let answer = to.local_description().await.expect("an answer");
    from.set_remote_description(answer)
        .await
        .expect("a good answer");
}

/// A camera that shows a moving ramp.
pub(crate) struct Camera {
    source: MediaSource,
    context: PeerContext,
    size: (u32, u32),
}

impl Camera {
    pub(crate) fn new(
        context: &PeerContext,
        width: u32,
        height: u32,
    ) -> (Camera, MediaStreamTrack) {
        let source = source(MediaKind::Video);
        let track = source.create_track();
        let camera = Camera {
            source,
            context: context.clone(),
            size: (width, height),
        };
        (camera, track)
    }

    /// Thirty pictures a second, until the task is aborted or the track ends.
    pub(crate) fn roll(self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_nanos(1_000_000_000 / 30));
            let mut number = 0u32;
            while self.source.is_wanted() {
                tick.tick().await;
                self.source.publish(&self.picture(number));
                number += 1;
            }
        })
    }

    fn picture(&self, number: u32) -> Frame {
        let mut buffer = I420Buffer::new(self.size.0, self.size.1);
        let width = self.size.0 as usize;
        for (at, pixel) in buffer.as_bytes_mut().iter_mut().enumerate() {
            *pixel = ((at % width) as u32 + number * 3) as u8 / 2 + 40;
        }
        VideoFrame::new(Arc::new(buffer), self.context.clock.now()).into()
    }
}

/// A microphone that hums.
pub(crate) fn microphone(context: &PeerContext) -> (tokio::task::JoinHandle<()>, MediaStreamTrack) {
    let source = source(MediaKind::Audio);
    let track = source.create_track();
    let clock = context.clock.clone();
    let task = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut phase = 0f32;
        while source.is_wanted() {
            tick.tick().await;
            let mut buffer = duet_media::AudioBuffer::new(48_000, 1, 480);
            for sample in buffer.samples_mut() {
                phase = (phase + 440.0 / 48_000.0) % 1.0;
                *sample = (phase * std::f32::consts::TAU).sin() * 0.3;
            }
            let frame = duet_media::AudioFrame::new(Arc::new(buffer), clock.now());
            source.publish(&frame.into());
        }
    });
    (task, track)
}

/// Waits until packets of `track` are known to come. The first frame may be there a moment before.
pub(crate) async fn unmuted(track: &MediaStreamTrack) {
    let (tx, mut rx) = mpsc::channel(1);
    let _subscription = track.subscribe(move |event| {
        if *event == TrackEvent::Unmute {
            // Full: there is a wake-up already.
            let _ = tx.try_send(());
        }
    });
    if track.muted() {
        within("unmute", rx.recv()).await;
    }
}

pub(crate) fn source(kind: MediaKind) -> MediaSource {
    let settings = MediaTrackSettings::default();
    MediaSource::new(
        kind,
        "test",
        settings,
        MediaTrackCapabilities::default(),
        (),
    )
}

/// Reads a track's frames.
pub(crate) struct Viewer {
    queue: Arc<FrameQueue>,
    _sink: SinkHandle,
}

impl Viewer {
    pub(crate) fn of(track: &MediaStreamTrack) -> Viewer {
        let queue = Arc::new(FrameQueue::new(64));
        let _sink = track.add_sink(queue.clone());
        Viewer { queue, _sink }
    }

    pub(crate) async fn frame(&self) -> Frame {
        let frame = within("a frame", self.queue.pop()).await;
        frame.expect("the track goes on")
    }

    /// How many frames are there, without waiting.
    pub(crate) fn drain(&self) -> Vec<Frame> {
        std::iter::from_fn(|| self.queue.try_pop()).collect()
    }
}

pub(crate) fn millis(from: MediaTime, to: MediaTime) -> f64 {
    to.nanos_since(from) as f64 / 1e6
}
