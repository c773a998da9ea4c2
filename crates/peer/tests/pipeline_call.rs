//! Both halves of the pipeline together, on real threads and the real clock: what a synthetic camera
//! and microphone deliver is encoded, cut into packets, put together, decoded and read back.

use duet_devices::synthetic::marks::audio::{Listener, pattern_index};
use duet_devices::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig, marks,
};
use duet_media::{
    Clock, Frame, FrameQueue, MediaStreamTrack, MediaTime, MonotonicClock, TrackState,
};
use duet_peer::pipeline::{
    AudioSendSettings, EncoderHub, Feedback, InboundAudio, InboundAudioConfig, InboundVideo,
    InboundVideoConfig, OutboundAudio, OutboundVideo, RtpPacket, SyncGroup, VideoSendSettings,
    Workers,
};
use duet_session::{ClockRate, RtpClock, Vp8Packetizer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// These tests count the process's threads: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

const THREADS: [&str; 4] = [
    "video-encoder",
    "audio-encoder",
    "video-decoder",
    "audio-playout",
];

/// How many threads of each name there are.
fn threads() -> [usize; 4] {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process has threads");
    let names: Vec<String> = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .collect();
    THREADS.map(|name| names.iter().filter(|n| n.trim() == name).count())
}

/// Waits until the threads are these; a thread is told to end, and nobody waits for it.
async fn settled(expected: [usize; 4]) {
    let until = Instant::now() + Duration::from_secs(10);
    while threads() != expected {
        assert!(Instant::now() < until, "{:?} of {THREADS:?}", threads());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Passes requests for key frames back to the sender.
struct AskSender(Weak<OutboundVideo>, AtomicU64);

impl Feedback for AskSender {
    fn request_key_frame(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        if let Some(sender) = self.0.upgrade() {
            sender.request_key_frame();
        }
    }
}

struct VideoCall {
    sender: Arc<OutboundVideo>,
    receiver: Arc<InboundVideo>,
    remote: MediaStreamTrack,
    feedback: Arc<AskSender>,
}

impl VideoCall {
    /// Calls oneself; every packet whose turn `lose` says is lost on the way.
    fn start(
        hub: &EncoderHub,
        track: &MediaStreamTrack,
        clock: &Arc<MonotonicClock>,
        lose: fn(u64) -> bool,
    ) -> Self {
        let settings = VideoSendSettings::default();
        let sender = Arc::new(hub.subscribe_video(Some(track), settings, 1_000_000));
        let feedback = Arc::new(AskSender(Arc::downgrade(&sender), AtomicU64::new(0)));
        let (receiver, remote) = InboundVideo::new(InboundVideoConfig {
            clock: clock.clone(),
            feedback: feedback.clone(),
            label: "remote video".into(),
            workers: Workers::Threads,
        });
        receiver.set_muted(false);
        let receiver = Arc::new(receiver);
        tokio::spawn(send_video(
            sender.clone(),
            receiver.clone(),
            clock.clone(),
            lose,
        ));
        VideoCall {
            sender,
            receiver,
            remote,
            feedback,
        }
    }
}

async fn send_video(
    from: Arc<OutboundVideo>,
    to: Arc<InboundVideo>,
    clock: Arc<MonotonicClock>,
    lose: fn(u64) -> bool,
) {
    let mut packetizer = Vp8Packetizer::new(1_100, 30_000);
    let mut rtp = RtpClock::new(ClockRate::VIDEO, 1);
    let mut sent = 0u64;
    while let Some(frame) = from.next().await {
        let timestamp = rtp.stamp(frame.capture_time);
        let mut payloads = packetizer
            .packetize(&frame.data, None)
            .into_iter()
            .peekable();
        while let Some(payload) = payloads.next() {
            let packet = RtpPacket {
                sequence_number: sent as u16,
                timestamp,
                marker: payloads.peek().is_none(),
                ssrc: 1,
                payload_type: 96,
                payload,
            };
            if !lose(sent) {
                to.push(packet, clock.now());
            }
            sent += 1;
        }
    }
}

struct AudioCall {
    sender: Arc<OutboundAudio>,
    receiver: Arc<InboundAudio>,
    remote: MediaStreamTrack,
}

impl AudioCall {
    fn start(hub: &EncoderHub, track: &MediaStreamTrack, clock: &Arc<MonotonicClock>) -> Self {
        let sender = hub.subscribe_audio(Some(track), AudioSendSettings::default());
        let sender = Arc::new(sender);
        let (receiver, remote) = InboundAudio::new(InboundAudioConfig {
            clock: clock.clone(),
            label: "remote audio".into(),
            workers: Workers::Threads,
        });
        receiver.set_muted(false);
        let receiver = Arc::new(receiver);
        let (from, to, clock) = (sender.clone(), receiver.clone(), clock.clone());
        tokio::spawn(async move {
            let mut rtp = RtpClock::new(ClockRate::OPUS, 1);
            let mut sent = 0u16;
            while let Some(sound) = from.next().await {
                let samples = ClockRate::OPUS.ticks(sound.duration.as_nanos() as i64);
                let packet = RtpPacket {
                    sequence_number: sent,
                    timestamp: rtp.stamp_samples(sound.capture_time, samples as u32),
                    marker: sound.starts_talk_spurt,
                    ssrc: 2,
                    payload_type: 111,
                    payload: sound.data,
                };
                sent = sent.wrapping_add(1);
                to.push(packet, clock.now());
            }
        });
        AudioCall {
            sender,
            receiver,
            remote,
        }
    }
}

fn camera(clock: &Arc<MonotonicClock>) -> MediaStreamTrack {
    let config = SyntheticCameraConfig {
        width: 320,
        height: 180,
        frame_rate: 30.0,
        phase: Duration::ZERO,
    };
    SyntheticCamera::start(config, clock.clone())
}

async fn pop(queue: &FrameQueue) -> Frame {
    let frame = tokio::time::timeout(Duration::from_secs(10), queue.pop()).await;
    frame
        .expect("a frame comes in time")
        .expect("the track lives")
}

/// Pops pictures until `count` were read; their numbers and ages.
async fn watch(track: &MediaStreamTrack, clock: &MonotonicClock, count: usize) -> Vec<(u32, i32)> {
    let queue = Arc::new(FrameQueue::new(16));
    let _sink = track.add_sink(queue.clone());
    let mut seen = Vec::new();
    while seen.len() < count {
        if let Frame::Video(picture) = pop(&queue).await {
            let marks = marks::read(&picture.buffer).expect("every shown picture is whole");
            let age = marks.age_ms(clock.unix_time(clock.now()));
            seen.push((marks.frame_number, age));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_arrive_whole_in_order_and_soon() {
    let _alone = ALONE.lock().await;
    let clock = Arc::new(MonotonicClock::new());
    let hub = EncoderHub::new(clock.clone());
    let local = camera(&clock);
    let call = VideoCall::start(&hub, &local, &clock, |_| false);
    // One more than is asked for below: the last one may be seen before it is counted.
    let seen = watch(&call.remote, &clock, 61).await;
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
    let mut ages: Vec<_> = seen.iter().map(|(_, age)| *age).collect();
    ages.sort_unstable();
    assert!(ages[30] < 100, "median {} ms", ages[30]);
    let stats = call.receiver.stats();
    assert!(
        stats.frames_decoded >= 60 && stats.decode_errors == 0,
        "{stats:?}"
    );
    assert!(stats.first_frame_time.is_some());
    assert_eq!(call.remote.get_settings().width, Some(320));
    assert!(call.sender.stats().frames_sent >= 60);
    println!("ages in ms: median {}, worst {}", ages[30], ages[59]);

    // The program lets go of the picture: nobody decodes for nobody.
    call.remote.stop();
    settled([1, 0, 0, 0]).await;
    call.sender.close();
    settled([0; 4]).await;
    assert_eq!(local.ready_state(), TrackState::Live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_track_is_sent_on_like_any_other() {
    let _alone = ALONE.lock().await;
    let clock = Arc::new(MonotonicClock::new());
    let hub = EncoderHub::new(clock.clone());
    let local = camera(&clock);
    let first = VideoCall::start(&hub, &local, &clock, |_| false);
    let second = VideoCall::start(&hub, &first.remote, &clock, |_| false);
    let seen = watch(&second.remote, &clock, 20).await;
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
    assert_eq!(threads(), [2, 0, 2, 0]);
    // The first call ends, and with it the second's track; the second call stands.
    first.sender.close();
    first.receiver.end();
    settled([1, 0, 1, 0]).await;
    assert_eq!(second.remote.ready_state(), TrackState::Live);
    second.sender.close();
    drop(second);
    settled([0; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_overcome_by_key_frames() {
    let _alone = ALONE.lock().await;
    let clock = Arc::new(MonotonicClock::new());
    let hub = EncoderHub::new(clock.clone());
    let local = camera(&clock);
    let call = VideoCall::start(&hub, &local, &clock, |n| n % 40 == 39);
    let seen = watch(&call.remote, &clock, 40).await;
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
    assert!(call.feedback.1.load(Ordering::Relaxed) > 0);
    assert!(call.sender.stats().key_frames_encoded > 1);
    call.sender.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_melody_arrives_as_it_was_played() {
    let _alone = ALONE.lock().await;
    let clock = Arc::new(MonotonicClock::new());
    let hub = EncoderHub::new(clock.clone());
    let config = SyntheticMicrophoneConfig::default();
    let local = SyntheticMicrophone::start(config, clock.clone());
    let call = AudioCall::start(&hub, &local, &clock);
    let queue = Arc::new(FrameQueue::new(50));
    let _sink = call.remote.add_sink(queue.clone());
    let (mut listener, mut heard, mut last) = (Listener::new(), Vec::new(), None);
    for n in 0..250 {
        let Frame::Audio(sound) = pop(&queue).await else {
            panic!("a picture on an audio track");
        };
        assert_eq!(
            (sound.buffer.sample_rate(), sound.buffer.frames()),
            (48_000, 480)
        );
        if let Some(last) = last.replace(sound.capture_time) {
            // On a busy machine the thread may have been asleep for long; it does not catch up then.
            let gap = sound.capture_time.nanos_since(last);
            assert!(gap == 10_000_000 || gap > 500_000_000, "block {n}: {gap}");
        }
        listener.hear(&sound.buffer, sound.capture_time);
        heard.extend(listener.pitch_hz().filter(|_| n > 50));
    }
    let known = heard.iter().filter(|hz| pattern_index(**hz).is_some());
    assert!(known.count() * 10 > 200 * 6, "{heard:?}");
    let stats = call.receiver.stats();
    assert!(
        stats.concealed_samples * 5 < stats.total_samples_received,
        "{stats:?}"
    );
    assert!(stats.first_sound_time.is_some() && stats.audio_level >= 0.0);
    call.sender.close();
    call.receiver.end();
    settled([0; 4]).await;
    assert_eq!(call.remote.ready_state(), TrackState::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_leave_no_thread_behind() {
    let _alone = ALONE.lock().await;
    settled([0; 4]).await;
    let clock = Arc::new(MonotonicClock::new());
    let hub = EncoderHub::new(clock.clone());
    let local = camera(&clock);
    let voice = SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock.clone());
    for round in 0..20 {
        let (one, two) = (
            VideoCall::start(&hub, &local, &clock, |_| false),
            VideoCall::start(&hub, &local, &clock, |_| false),
        );
        let sound = AudioCall::start(&hub, &voice, &clock);
        let group = SyncGroup::new();
        one.receiver.set_sync_group(Some(&group));
        sound.receiver.set_sync_group(Some(&group));
        if round % 2 == 0 {
            watch(&one.remote, &clock, 2).await;
            watch(&two.remote, &clock, 2).await;
            let queue = Arc::new(FrameQueue::latest());
            let _sink = sound.remote.add_sink(queue.clone());
            pop(&queue).await;
            assert_eq!(threads(), [1, 1, 2, 1], "one encoder serves both");
        }
        for call in [one, two] {
            call.sender.close();
        }
        sound.sender.close();
    }
    settled([0; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_the_end_is_ignored() {
    let _alone = ALONE.lock().await;
    let clock = Arc::new(MonotonicClock::new());
    let feedback = Arc::new(AskSender(Weak::new(), AtomicU64::new(0)));
    let (video, picture) = InboundVideo::new(InboundVideoConfig {
        clock: clock.clone(),
        feedback,
        label: String::new(),
        workers: Workers::Threads,
    });
    let (audio, sound) = InboundAudio::new(InboundAudioConfig {
        clock,
        label: String::new(),
        workers: Workers::Threads,
    });
    assert!(picture.muted() && sound.muted());
    let packet = RtpPacket {
        sequence_number: 1,
        timestamp: 1,
        marker: true,
        ssrc: 1,
        payload_type: 96,
        payload: vec![0x10; 30].into(),
    };
    video.push(packet.clone(), MediaTime::ZERO);
    audio.push(packet.clone(), MediaTime::ZERO);
    settled([0, 0, 1, 1]).await;
    video.end();
    audio.end();
    video.push(packet.clone(), MediaTime::ZERO);
    audio.push(packet, MediaTime::ZERO);
    settled([0; 4]).await;
    assert_eq!(picture.ready_state(), TrackState::Ended);
    assert_eq!(sound.ready_state(), TrackState::Ended);
}
