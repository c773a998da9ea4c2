//! One video encoder, and those who watch what it makes.
//!
//! Not concerned with who shares it: that is the hub's business.

use super::VideoSendSettings;
use super::encoder_hub::MakeVideoEncoder;
use super::last_second::LastSecond;
use super::outbox::Outbox;
use super::scaled::ScaledSource;
use super::shaper::{RateMeter, Shaper};
use super::worker::{self, Next, Waker, Work, Workers};
use duet_codec::{CodecError, EncodedVideo, VideoEncoder, VideoEncoderConfig};
use duet_media::{Clock, Frame, MediaStreamTrack, MediaTime, Sink, SinkHandle, VideoFrame};
use duet_session::{KeyFrameGate, vp8_quantizer};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Frames that a viewer may be behind: a quarter of a second at 30 a second.
const OUTBOX_CAPACITY: usize = 8;

/// A source from which nothing came for so long stands still: whoever needs a key frame gets the
/// last picture again.
const STILL: Duration = Duration::from_millis(250);

/// What no encoder is asked to go below, in bits a second.
const MIN_BITRATE: u32 = 10_000;

/// How long an encoder that could not be made is not tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A running encoder. Dropping it ends its worker; it does not wait for it.
pub(super) struct VideoEncoding {
    shared: Arc<Shared>,
    _sink: SinkHandle,
}

/// One subscription as an encoder sees it.
pub(super) struct Viewer {
    pub(super) outbox: Outbox<EncodedVideo>,
    target: AtomicU32,
    layers_left_out: AtomicU8,
    ledger: Mutex<Ledger>,
}

/// What the encoders that served a viewer did for it.
#[derive(Default)]
struct Ledger {
    past: EncoderCounters,
    current: Option<(Arc<Shared>, EncoderCounters)>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EncoderCounters {
    pub(super) encoded: u64,
    pub(super) key_frames: u64,
    pub(super) skipped: u64,
    pub(super) overwritten: u64,
    pub(super) encode_time: Duration,
    pub(super) qp_sum: u64,
    pub(super) bytes_target: u64,
    pub(super) source_frames: u64,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) source_width: u32,
    pub(super) source_height: u32,
    pub(super) target_bitrate: u32,
    /// In the last second.
    pub(super) frame_rate: f64,
    pub(super) source_frame_rate: f64,
}

struct Shared {
    clock: Arc<dyn Clock>,
    inbox: Mutex<Inbox>,
    waker: Waker,
    viewers: Mutex<Vec<Arc<Viewer>>>,
    counters: Mutex<EncoderCounters>,
    /// Pictures that the source gave, and that were encoded.
    given: Mutex<LastSecond>,
    made: Mutex<LastSecond>,
}

/// What the worker waits on.
struct Inbox {
    /// The newest picture, not encoded yet; a newer one replaces it.
    picture: Option<VideoFrame>,
    /// The newest encoded picture, and when that was.
    last: Option<(VideoFrame, MediaTime)>,
    gate: KeyFrameGate,
    target_bitrate: u32,
    /// New ones, not taken on yet.
    settings: Option<VideoSendSettings>,
    watched: bool,
    /// The size that the source says its pictures have: an encoder is made ready for them at once.
    expected: Option<(u32, u32)>,
    closed: bool,
}

enum Job {
    /// Make an encoder for pictures of this size, so that the first one need not wait for that.
    Prepare((u32, u32), u32),
    Encode(VideoFrame, u32),
    /// The last one again, at once: somebody needs a key frame, and no other picture comes.
    Again(VideoFrame, u32),
}

impl VideoEncoding {
    /// Starts an encoder of `track`.
    pub(super) fn start(
        track: &MediaStreamTrack,
        settings: &VideoSendSettings,
        target_bitrate: u32,
        sizes: &Arc<ScaledSource>,
        clock: Arc<dyn Clock>,
        make: MakeVideoEncoder,
        workers: Workers,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            inbox: Mutex::new(Inbox {
                picture: None,
                last: None,
                gate: KeyFrameGate::new(),
                target_bitrate,
                settings: None,
                watched: false,
                expected: expected_size(track),
                closed: false,
            }),
            waker: workers.waker(),
            viewers: Mutex::default(),
            counters: Mutex::default(),
            given: Mutex::default(),
            made: Mutex::default(),
        });
        let frame_rate = track.get_settings().frame_rate.unwrap_or(30.0);
        let frame_rate = settings
            .max_frame_rate
            .map_or(frame_rate, |max| max.min(frame_rate));
        let encoder = Worker {
            shared: shared.clone(),
            shaper: Shaper::new(settings, sizes),
            temporal_layers: settings.temporal_layers,
            meter: RateMeter::new(frame_rate),
            make,
            encoder: None,
            retry_at: None,
            failing: false,
        };
        worker::start("video-encoder", &shared.waker, clock, encoder)?;
        let sink = track.add_sink(shared.clone());
        Ok(VideoEncoding {
            shared,
            _sink: sink,
        })
    }

    /// Shows it to a viewer, beginning with a key frame.
    pub(super) fn attach(&self, viewer: &Arc<Viewer>) {
        viewer.outbox.want_key_frame();
        {
            let mut ledger = viewer.ledger.lock();
            let now = self.shared.counters();
            ledger.current = Some((self.shared.clone(), now));
        }
        self.shared.viewers.lock().push(viewer.clone());
        let mut inbox = self.shared.inbox.lock();
        inbox.watched = true;
        inbox.gate.request(self.shared.clock.now());
        drop(inbox);
        self.shared.waker.wake();
    }

    pub(super) fn detach(&self, viewer: &Arc<Viewer>) {
        let mut viewers = self.shared.viewers.lock();
        viewers.retain(|other| !Arc::ptr_eq(other, viewer));
        self.shared.inbox.lock().watched = !viewers.is_empty();
        drop(viewers);
        let mut ledger = viewer.ledger.lock();
        ledger.past = ledger.sum();
        ledger.current = None;
    }

    /// Takes on other settings from the next picture on; a key frame comes only if the size changes.
    pub(super) fn set_settings(&self, settings: &VideoSendSettings) {
        self.shared.inbox.lock().settings = Some(*settings);
    }

    pub(super) fn set_target_bitrate(&self, bits_per_second: u32) {
        self.shared.inbox.lock().target_bitrate = bits_per_second;
    }
}

impl Drop for VideoEncoding {
    fn drop(&mut self) {
        self.shared.inbox.lock().closed = true;
        self.shared.waker.wake();
    }
}

impl Viewer {
    pub(super) fn new(target_bitrate: u32) -> Self {
        Viewer {
            outbox: Outbox::new(OUTBOX_CAPACITY),
            target: AtomicU32::new(target_bitrate.max(MIN_BITRATE)),
            layers_left_out: AtomicU8::new(0),
            ledger: Mutex::default(),
        }
    }

    /// Bits a second.
    pub(super) fn target(&self) -> u32 {
        self.target.load(Ordering::Relaxed)
    }

    pub(super) fn set_target(&self, bits_per_second: u32) {
        self.target
            .store(bits_per_second.max(MIN_BITRATE), Ordering::Relaxed);
    }

    /// The highest temporal layer that it gets, of so many.
    pub(super) fn set_highest_layer(&self, id: u8, layers: usize) {
        self.outbox.set_highest_layer(id);
        let all = u8::try_from(layers).unwrap_or(u8::MAX);
        let left_out = all.saturating_sub(id.saturating_add(1));
        self.layers_left_out.store(left_out, Ordering::Relaxed);
    }

    pub(super) fn layers_left_out(&self) -> u8 {
        self.layers_left_out.load(Ordering::Relaxed)
    }

    pub(super) fn request_key_frame(&self) {
        // With no encoder there is nothing to ask: the next one begins with a key frame.
        if let Some((encoder, _)) = &self.ledger.lock().current {
            let mut inbox = encoder.inbox.lock();
            inbox.gate.request(encoder.clock.now());
            drop(inbox);
            encoder.waker.wake();
        }
    }

    /// Sums since the subscription began; sizes and settings of the encoder that serves it now.
    pub(super) fn encoder_counters(&self) -> EncoderCounters {
        self.ledger.lock().sum()
    }
}

impl Ledger {
    fn sum(&self) -> EncoderCounters {
        let Some((encoder, before)) = &self.current else {
            return self.past;
        };
        let (now, past) = (encoder.counters(), &self.past);
        EncoderCounters {
            encoded: past.encoded + now.encoded - before.encoded,
            key_frames: past.key_frames + now.key_frames - before.key_frames,
            skipped: past.skipped + now.skipped - before.skipped,
            overwritten: past.overwritten + now.overwritten - before.overwritten,
            encode_time: past.encode_time + now.encode_time - before.encode_time,
            qp_sum: past.qp_sum + now.qp_sum - before.qp_sum,
            bytes_target: past.bytes_target + now.bytes_target - before.bytes_target,
            ..now
        }
    }
}

impl Sink for Shared {
    fn accept(&self, frame: &Frame) {
        let Frame::Video(picture) = frame else { return };
        let mut inbox = self.inbox.lock();
        if inbox.closed {
            return;
        }
        let wake = inbox.watched;
        let lost = inbox.picture.replace(picture.clone());
        let late = lost.is_some() && inbox.watched;
        drop(inbox);
        let mut counters = self.counters.lock();
        counters.source_frames += 1;
        counters.overwritten += u64::from(late);
        drop(counters);
        self.given.lock().note(self.clock.now());
        if wake {
            self.waker.wake();
        }
    }
}

impl Shared {
    fn counters(&self) -> EncoderCounters {
        let now = self.clock.now();
        EncoderCounters {
            frame_rate: self.made.lock().count(now) as f64,
            source_frame_rate: self.given.lock().count(now) as f64,
            ..*self.counters.lock()
        }
    }

    /// Something to do, or when there may be.
    fn next_job(&self) -> Result<Job, Next> {
        let mut inbox = self.inbox.lock();
        if inbox.closed {
            return Err(Next::Over);
        }
        if let Some(size) = inbox.expected.take() {
            return Ok(Job::Prepare(size, inbox.target_bitrate));
        }
        if !inbox.watched {
            return Err(Next::Woken);
        }
        if let Some(picture) = inbox.picture.take() {
            return Ok(Job::Encode(picture, inbox.target_bitrate));
        }
        let now = self.clock.now();
        match inbox.repeat_at() {
            Some(due) if due > now => Err(Next::At(due)),
            Some(_) => {
                let repeated = inbox.repeated(now).ok_or(Next::Woken)?;
                Ok(Job::Again(repeated, inbox.target_bitrate))
            }
            None => Err(Next::Woken),
        }
    }
}

impl Inbox {
    /// When the last picture is to be encoded again, for somebody who needs a key frame.
    fn repeat_at(&self) -> Option<MediaTime> {
        let due = self.gate.next_timeout()?;
        let (_, encoded_at) = self.last.as_ref()?;
        Some(due.max(*encoded_at + STILL))
    }

    fn repeated(&self, now: MediaTime) -> Option<VideoFrame> {
        let (picture, encoded_at) = self.last.as_ref()?;
        let elapsed = now.saturating_since(*encoded_at);
        Some(VideoFrame::new(
            picture.buffer.clone(),
            picture.capture_time + elapsed,
        ))
    }
}

/// What encodes.
struct Worker {
    shared: Arc<Shared>,
    shaper: Shaper,
    temporal_layers: u8,
    meter: RateMeter,
    make: MakeVideoEncoder,
    encoder: Option<Box<dyn VideoEncoder>>,
    retry_at: Option<MediaTime>,
    /// Whether the log was told, since it last worked.
    failing: bool,
}

impl Work for Worker {
    fn step(&mut self) -> Next {
        loop {
            let job = match self.shared.next_job() {
                Ok(job) => job,
                Err(next) => return next,
            };
            let settings = self.shared.inbox.lock().settings.take();
            if let Some(settings) = settings {
                self.shaper.set(&settings);
                self.temporal_layers = settings.temporal_layers;
            }
            match job {
                Job::Prepare(size, target) => self.prepare(self.shaper.shaped(size), target),
                Job::Encode(picture, target) => {
                    if self.shaper.admit(picture.capture_time) {
                        self.encode(&picture, target);
                    }
                }
                Job::Again(picture, target) => self.encode(&picture, target),
            }
        }
    }
}

impl Worker {
    fn encode(&mut self, picture: &VideoFrame, target: u32) {
        self.meter.observe(picture.capture_time);
        let started = Instant::now();
        let encoded = match self.shaper.shape(picture) {
            Some(shaped) => self.encode_shaped(&shaped, target),
            None => None,
        };
        let now = self.shared.clock.now();
        {
            let mut inbox = self.shared.inbox.lock();
            if encoded.as_ref().is_some_and(|encoded| encoded.key_frame) {
                inbox.gate.on_key_frame(now);
            }
            inbox.last = Some((picture.clone(), now));
        }
        let mut counters = self.shared.counters.lock();
        counters.encode_time += started.elapsed();
        counters.target_bitrate = target;
        let Some(encoded) = encoded else {
            counters.skipped += 1;
            return;
        };
        self.failing = false;
        counters.encoded += 1;
        counters.key_frames += u64::from(encoded.key_frame);
        counters.qp_sum += vp8_quantizer(&encoded.data).map_or(0, u64::from);
        counters.bytes_target += (f64::from(target) / 8.0 / self.meter.rate()) as u64;
        counters.width = encoded.width;
        counters.height = encoded.height;
        counters.source_width = picture.width();
        counters.source_height = picture.height();
        drop(counters);
        self.shared.made.lock().note(now);
        let viewers = self.shared.viewers.lock();
        let mut wanted = false;
        for viewer in viewers.iter() {
            wanted |= viewer.outbox.offer(&encoded);
        }
        drop(viewers);
        if wanted {
            self.shared.inbox.lock().gate.request(now);
        }
    }

    fn encode_shaped(&mut self, picture: &VideoFrame, target: u32) -> Option<EncodedVideo> {
        self.prepare((picture.width(), picture.height()), target);
        let encoder = self.encoder.as_mut()?;
        let due = {
            let now = self.shared.clock.now();
            self.shared.inbox.lock().gate.take_due(now)
        };
        let encoded = encoder.encode(picture, due);
        if due && !matches!(encoded, Ok(Some(_))) {
            let now = self.shared.clock.now();
            self.shared.inbox.lock().gate.request(now);
        }
        encoded.unwrap_or_else(|error| {
            self.failed(&error);
            None
        })
    }

    /// An encoder that takes pictures of this size, and aims at what is wanted now.
    fn prepare(&mut self, (width, height): (u32, u32), target: u32) {
        let config = VideoEncoderConfig {
            width,
            height,
            frame_rate: self.meter.rate(),
            bitrate: target,
            temporal_layers: self.temporal_layers.clamp(1, 3),
        };
        let prepared = match &mut self.encoder {
            Some(encoder) if worth_a_change(&encoder.config(), &config) => {
                encoder.configure(&config)
            }
            Some(_) => Ok(()),
            None => {
                let now = self.shared.clock.now();
                if self.retry_at.is_some_and(|at| now < at) {
                    return;
                }
                (self.make)(&config).map(|encoder| self.encoder = Some(encoder))
            }
        };
        if let Err(error) = prepared {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &CodecError) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "pictures are not encoded");
        }
        // An encoder that refused a setting still works; a size that it cannot do is refused picture
        // by picture, and counted as skipped.
        if !matches!(error, CodecError::Unsupported(_)) || self.encoder.is_none() {
            self.encoder = None;
            self.retry_at = Some(self.shared.clock.now() + RETRY);
        }
    }
}

fn expected_size(track: &MediaStreamTrack) -> Option<(u32, u32)> {
    let settings = track.get_settings();
    settings.width.zip(settings.height)
}

/// Estimates move all the time; an encoder is bothered with what makes a difference.
fn worth_a_change(old: &VideoEncoderConfig, new: &VideoEncoderConfig) -> bool {
    let differs = |a: f64, b: f64, by: f64| (a - b).abs() > by * a.max(b);
    let shape = |of: &VideoEncoderConfig| (of.width, of.height, of.temporal_layers);
    shape(old) != shape(new)
        || differs(f64::from(old.bitrate), f64::from(new.bitrate), 0.02)
        || differs(old.frame_rate, new.frame_rate, 0.1)
}
