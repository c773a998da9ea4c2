//! One audio encoder, and those who listen to what it makes.
//!
//! Not concerned with who shares it: that is the hub's business.

use super::audio_hub::{AudioSendSettings, OutboundPacket};
use super::outbox::Outbox;
use super::resample::{Resampler, SAMPLE_RATE, mix};
use super::worker::{self, Next, Waker, Work, Workers};
use duet_codec::{AudioCodec, AudioEncoder, AudioEncoderConfig, CodecError};
use duet_media::{
    AudioBuffer, AudioFrame, Clock, Frame, MediaStreamTrack, MediaTime, Sink, SinkHandle,
};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Packets that a listener may be behind: half a second. The oldest is lost.
const OUTBOX_CAPACITY: usize = 25;

/// Stretches of sound that the encoder may be behind: half a second. The oldest is lost.
const INBOX_CAPACITY: usize = 50;

/// Capture times this far from where the samples end are another beginning, not jitter.
const GAP: Duration = Duration::from_millis(100);

/// A running encoder. Dropping it ends its worker; it does not wait for it.
pub(super) struct AudioEncoding {
    shared: Arc<Shared>,
    _sink: SinkHandle,
}

/// One subscription as an encoder sees it.
pub(super) struct Listener {
    pub(super) outbox: Outbox<OutboundPacket>,
    target: AtomicU32,
    expected_loss: AtomicU8,
    /// Whether the next packet is the first of this encoder.
    fresh: AtomicBool,
    ledger: Mutex<Ledger>,
}

/// What the encoders that served a listener did for it.
#[derive(Default)]
struct Ledger {
    past: EncoderCounters,
    current: Option<(Arc<Shared>, EncoderCounters)>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EncoderCounters {
    pub(super) encoded: u64,
    pub(super) overwritten: u64,
    pub(super) encode_time: Duration,
    pub(super) bitrate: u32,
    pub(super) level: f32,
    pub(super) energy: f64,
    pub(super) duration: Duration,
}

struct Shared {
    inbox: Mutex<Inbox>,
    waker: Waker,
    listeners: Mutex<Vec<Arc<Listener>>>,
    counters: Mutex<EncoderCounters>,
}

/// What the worker waits on.
struct Inbox {
    sound: VecDeque<AudioFrame>,
    queued: Duration,
    /// How much makes it worth waking up for.
    needed: Duration,
    settings: AudioSendSettings,
    bitrate: u32,
    expected_loss: u8,
    heard: bool,
    closed: bool,
}

impl AudioEncoding {
    /// Starts an encoder of `track`.
    pub(super) fn start(
        track: &MediaStreamTrack,
        settings: &AudioSendSettings,
        bitrate: u32,
        clock: Arc<dyn Clock>,
        workers: Workers,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox {
                sound: VecDeque::with_capacity(INBOX_CAPACITY),
                queued: Duration::ZERO,
                needed: Duration::ZERO,
                settings: *settings,
                bitrate,
                expected_loss: 0,
                heard: false,
                closed: false,
            }),
            waker: workers.waker(),
            listeners: Mutex::default(),
            counters: Mutex::default(),
        });
        let encoder = Worker::new(shared.clone(), settings);
        worker::start("audio-encoder", &shared.waker, clock, encoder)?;
        let sink = track.add_sink(shared.clone());
        Ok(AudioEncoding {
            shared,
            _sink: sink,
        })
    }

    pub(super) fn attach(&self, listener: &Arc<Listener>) {
        listener.fresh.store(true, Ordering::Release);
        {
            let mut ledger = listener.ledger.lock();
            let now = *self.shared.counters.lock();
            ledger.current = Some((self.shared.clone(), now));
        }
        self.shared.listeners.lock().push(listener.clone());
        self.shared.inbox.lock().heard = true;
    }

    pub(super) fn detach(&self, listener: &Arc<Listener>) {
        let mut listeners = self.shared.listeners.lock();
        listeners.retain(|other| !Arc::ptr_eq(other, listener));
        self.shared.inbox.lock().heard = !listeners.is_empty();
        drop(listeners);
        let mut ledger = listener.ledger.lock();
        ledger.past = ledger.sum();
        ledger.current = None;
    }

    /// Goes on with other settings from the next packet on, so that no sound is lost; false if it cannot.
    pub(super) fn take_on(&self, settings: &AudioSendSettings) -> bool {
        let mut inbox = self.shared.inbox.lock();
        let alike = inbox.settings.channels == settings.channels;
        if alike {
            inbox.settings = *settings;
        }
        alike
    }

    pub(super) fn set_target(&self, bitrate: u32, expected_loss: u8) {
        let mut inbox = self.shared.inbox.lock();
        inbox.bitrate = bitrate;
        inbox.expected_loss = expected_loss;
    }
}

impl Drop for AudioEncoding {
    fn drop(&mut self) {
        self.shared.inbox.lock().closed = true;
        self.shared.waker.wake();
    }
}

impl Listener {
    pub(super) fn new(bitrate: u32) -> Self {
        Listener {
            outbox: Outbox::new(OUTBOX_CAPACITY),
            target: AtomicU32::new(bitrate),
            expected_loss: AtomicU8::new(0),
            fresh: AtomicBool::new(true),
            ledger: Mutex::default(),
        }
    }

    /// Bits a second.
    pub(super) fn target(&self) -> u32 {
        self.target.load(Ordering::Relaxed)
    }

    pub(super) fn set_target(&self, bits_per_second: u32) {
        self.target.store(bits_per_second, Ordering::Relaxed);
    }

    /// Percent.
    pub(super) fn expected_loss(&self) -> u8 {
        self.expected_loss.load(Ordering::Relaxed)
    }

    pub(super) fn set_expected_loss(&self, percent: u8) {
        self.expected_loss
            .store(percent.min(100), Ordering::Relaxed);
    }

    pub(super) fn encoder_counters(&self) -> EncoderCounters {
        self.ledger.lock().sum()
    }
}

impl Ledger {
    fn sum(&self) -> EncoderCounters {
        let Some((encoder, before)) = &self.current else {
            return self.past;
        };
        let (now, past) = (*encoder.counters.lock(), &self.past);
        EncoderCounters {
            encoded: past.encoded + now.encoded - before.encoded,
            overwritten: past.overwritten + now.overwritten - before.overwritten,
            encode_time: past.encode_time + now.encode_time - before.encode_time,
            energy: past.energy + now.energy - before.energy,
            duration: past.duration + now.duration - before.duration,
            ..now
        }
    }
}

impl Sink for Shared {
    fn accept(&self, frame: &Frame) {
        let Frame::Audio(sound) = frame else { return };
        let mut inbox = self.inbox.lock();
        if inbox.closed || !inbox.heard {
            return;
        }
        let lost = (inbox.sound.len() == INBOX_CAPACITY)
            .then(|| inbox.pop())
            .flatten();
        inbox.queued += sound.buffer.duration();
        inbox.sound.push_back(sound.clone());
        let wake = inbox.queued >= inbox.needed;
        drop(inbox);
        if lost.is_some() {
            self.counters.lock().overwritten += 1;
        }
        if wake {
            self.waker.wake();
        }
    }
}

impl Inbox {
    fn pop(&mut self) -> Option<AudioFrame> {
        let sound = self.sound.pop_front()?;
        self.queued = self.queued.saturating_sub(sound.buffer.duration());
        Some(sound)
    }
}

/// What encodes.
struct Worker {
    shared: Arc<Shared>,
    settings: AudioSendSettings,
    config: AudioEncoderConfig,
    encoder: Option<Box<dyn AudioEncoder>>,
    /// For the rate of the last frame; none at 48 kHz.
    resampler: Option<(u32, Resampler)>,
    mixed: Vec<f32>,
    /// Samples at 48 kHz that fill no packet yet.
    pending: Vec<f32>,
    /// The capture time of `pending`'s first sample.
    head: Option<MediaTime>,
    packet: AudioBuffer,
    silent: bool,
    begun: bool,
}

impl Work for Worker {
    fn step(&mut self) -> Next {
        if !std::mem::replace(&mut self.begun, true) {
            // Made ready before there is sound: it takes a moment.
            self.configure();
        }
        loop {
            match self.next_sound() {
                Ok(sound) => self.take(&sound),
                Err(next) => return next,
            }
        }
    }
}

impl Worker {
    fn new(shared: Arc<Shared>, settings: &AudioSendSettings) -> Self {
        let config = AudioEncoderConfig {
            bitrate: shared.inbox.lock().bitrate,
            expected_loss: 0,
            fec: settings.fec,
            dtx: settings.dtx,
        };
        Worker {
            shared,
            settings: *settings,
            config,
            encoder: None,
            resampler: None,
            mixed: Vec::new(),
            pending: Vec::new(),
            head: None,
            packet: packet(settings),
            silent: true,
            begun: false,
        }
    }

    /// Sound, once there is so much of it that there will be a packet, or when there may be.
    fn next_sound(&mut self) -> Result<AudioFrame, Next> {
        let mut inbox = self.shared.inbox.lock();
        if self.settings != inbox.settings {
            self.settings = inbox.settings;
            (self.config.fec, self.config.dtx) = (self.settings.fec, self.settings.dtx);
            self.packet = packet(&self.settings);
        }
        let channels = usize::from(self.settings.channels);
        let missing = self
            .packet
            .frames()
            .saturating_sub(self.pending.len() / channels);
        // A millisecond less: rounding, and what a resampler holds back, are not to cost 10 ms.
        inbox.needed = duration(missing).saturating_sub(Duration::from_millis(1));
        if inbox.closed {
            return Err(Next::Over);
        }
        if inbox.queued >= inbox.needed
            && let Some(sound) = inbox.pop()
        {
            inbox.needed = Duration::ZERO;
            self.config.bitrate = inbox.bitrate;
            self.config.expected_loss = inbox.expected_loss;
            return Ok(sound);
        }
        Err(Next::Woken)
    }

    fn take(&mut self, sound: &AudioFrame) {
        let (buffer, channels) = (&sound.buffer, self.settings.channels);
        if buffer.sample_rate() == 0 || buffer.channels() == 0 {
            return;
        }
        if let Some(head) = self.head {
            let expected = head + self.held();
            let off = sound.capture_time.nanos_since(expected).unsigned_abs();
            if Duration::from_nanos(off) > GAP {
                self.flush();
            }
        }
        // Always by the newest measurement: so much before it did the first sample come.
        self.head = Some(sound.capture_time - self.held());
        if self
            .resampler
            .as_ref()
            .map_or(SAMPLE_RATE, |(rate, _)| *rate)
            != buffer.sample_rate()
        {
            let rate = buffer.sample_rate();
            self.resampler = (rate != SAMPLE_RATE).then(|| (rate, Resampler::new(rate, channels)));
        }
        match &mut self.resampler {
            None => mix(
                buffer.samples(),
                buffer.channels(),
                channels,
                &mut self.pending,
            ),
            Some((_, resampler)) => {
                self.mixed.clear();
                mix(
                    buffer.samples(),
                    buffer.channels(),
                    channels,
                    &mut self.mixed,
                );
                resampler.process(&self.mixed, &mut self.pending);
            }
        }
        self.encode_whole();
    }

    /// Sends what fills packets.
    fn encode_whole(&mut self) {
        let len = self.packet.samples().len();
        while let Some(capture_time) = self.head.filter(|_| self.pending.len() >= len) {
            self.packet
                .samples_mut()
                .copy_from_slice(&self.pending[..len]);
            self.pending.drain(..len);
            self.head = Some(capture_time + self.settings.packet_time);
            self.encode(capture_time);
        }
    }

    /// How long ago `pending`'s first sample was when the next one comes.
    fn held(&self) -> Duration {
        let resampler = self.resampler.as_ref();
        duration(self.pending.len() / usize::from(self.settings.channels))
            + resampler.map_or(Duration::ZERO, |(_, resampler)| resampler.held_back())
    }

    /// Sends what there is before a gap, the rest of its packet silent.
    fn flush(&mut self) {
        // There is more than one packet's where packets have become shorter.
        self.encode_whole();
        if let Some(head) = self.head.take()
            && !self.pending.is_empty()
        {
            let (sound, rest) = self.packet.samples_mut().split_at_mut(self.pending.len());
            sound.copy_from_slice(&self.pending);
            rest.fill(0.0);
            self.pending.clear();
            self.encode(head);
        }
        self.resampler = None;
        self.silent = true;
    }

    fn encode(&mut self, capture_time: MediaTime) {
        let started = Instant::now();
        self.configure();
        let Some(encoder) = &mut self.encoder else {
            return;
        };
        let encoded = encoder.encode(&self.packet);
        let duration = self.settings.packet_time;
        {
            let mut counters = self.shared.counters.lock();
            let samples = self.packet.samples();
            let power = samples.iter().map(|s| f64::from(s * s)).sum::<f64>();
            let mean = power / samples.len().max(1) as f64;
            counters.level = (mean.sqrt() as f32).min(1.0);
            counters.energy += mean * duration.as_secs_f64();
            counters.duration += duration;
            counters.encode_time += started.elapsed();
            counters.bitrate = self.config.bitrate;
            counters.encoded += u64::from(matches!(&encoded, Ok(data) if !data.is_empty()));
        }
        match encoded {
            Ok(data) if data.is_empty() => self.silent = true,
            Ok(data) => {
                let packet = OutboundPacket {
                    data,
                    capture_time,
                    duration,
                    starts_talk_spurt: std::mem::take(&mut self.silent),
                };
                for listener in self.shared.listeners.lock().iter() {
                    let mut packet = packet.clone();
                    packet.starts_talk_spurt |= listener.fresh.swap(false, Ordering::AcqRel);
                    listener.outbox.push_over_oldest(packet);
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    /// An encoder that aims at what is wanted now.
    fn configure(&mut self) {
        let configured = match &mut self.encoder {
            Some(encoder) if encoder.config() != self.config => encoder.configure(&self.config),
            Some(_) => Ok(()),
            None => AudioCodec::Opus
                .encoder(self.settings.channels, &self.config)
                .map(|encoder| self.encoder = Some(encoder)),
        };
        if let Err(error) = configured {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &CodecError) {
        tracing::warn!(%error, "a packet of sound was not encoded");
        if !matches!(error, CodecError::Unsupported(_)) {
            self.encoder = None;
        }
    }
}

/// Room for the sound of one packet.
fn packet(settings: &AudioSendSettings) -> AudioBuffer {
    let frames = settings.packet_time.as_millis() as usize * SAMPLE_RATE as usize / 1_000;
    AudioBuffer::new(SAMPLE_RATE, settings.channels, frames)
}

fn duration(frames: usize) -> Duration {
    Duration::from_nanos(frames as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE))
}
