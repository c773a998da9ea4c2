//! RTP packets to a remote audio track: the handle, and the worker that plays out.

#[cfg(test)]
mod tests;

use super::stats::InboundAudioStats;
use super::worker::{self, Next, Waker, Work, Workers};
use super::{RtpPacket, SyncGroup};
use duet_codec::{AudioCodec, AudioDecoder, CodecError};
use duet_media::{
    AudioBuffer, AudioFrame, Clock, Frame, MediaKind, MediaSource, MediaStreamTrack, MediaTime,
    MediaTrackCapabilities, MediaTrackSettings, Pool, SourceControl,
};
use duet_session::audio_jitter::{AudioDecode, AudioPlayout, PlayoutKind, opus_has_fec};
use duet_session::{ClockRate, NtpTime, Played, RedPayload, RtpTimeline};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Packets that the worker may be behind: five seconds. The newest is lost and counted.
const INBOX_CAPACITY: usize = 256;

/// What one pull yields.
const BLOCK: Duration = Duration::from_millis(10);

/// A worker that is so late was asleep, machine and all: it does not catch up.
const MAX_LATE: Duration = Duration::from_millis(500);

/// After so long without a packet the worker sleeps until one comes.
const IDLE: Duration = Duration::from_secs(5);

/// What an inbound track is made with.
pub struct InboundAudioConfig {
    /// The receiver's clock: of arrival times and of the track's frames.
    pub clock: Arc<dyn Clock>,
    /// The remote track's label.
    pub label: String,
    /// Where it runs.
    pub workers: Workers,
}

/// The receiving end of one remote audio track. Dropping it ends the track and its worker; so does
/// the stop of the last track that it feeds.
pub struct InboundAudio {
    shared: Arc<Shared>,
    source: MediaSource,
    /// Started when the first packet comes.
    worker: Mutex<Option<Box<Worker>>>,
}

impl InboundAudio {
    /// A receiver, and the track that it feeds: 10 ms at a time, at 48 kHz, with as many channels as
    /// the first packet has. The track is muted until [`set_muted`](Self::set_muted) says otherwise.
    /// The worker starts with the first packet.
    pub fn new(config: InboundAudioConfig) -> (InboundAudio, MediaStreamTrack) {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            waker: config.workers.waker(),
            stats: Mutex::default(),
        });
        let source = MediaSource::new(
            MediaKind::Audio,
            config.label,
            MediaTrackSettings {
                sample_rate: Some(ClockRate::OPUS.hz()),
                ..Default::default()
            },
            MediaTrackCapabilities::default(),
            StopWithTracks(Arc::downgrade(&shared)),
        );
        source.set_muted(true);
        let track = source.create_track();
        let worker = Worker {
            shared: shared.clone(),
            clock: config.clock,
            channels: 1,
            source: source.clone(),
            playing: None,
            packets: Vec::new(),
        };
        let inbound = InboundAudio {
            shared,
            source,
            worker: Mutex::new(Some(Box::new(worker))),
        };
        (inbound, track)
    }

    /// A packet of this track that arrived at `arrival`. Never blocks.
    pub fn push(&self, packet: RtpPacket, arrival: MediaTime) {
        self.take(packet, None, arrival);
    }

    /// The same, where earlier packets may come along with it
    /// ([RFC 2198](https://www.rfc-editor.org/rfc/rfc2198)); `opus` is the payload type of what is in it.
    pub fn push_red(&self, packet: RtpPacket, opus: u8, arrival: MediaTime) {
        self.take(packet, Some(opus), arrival);
    }

    fn take(&self, packet: RtpPacket, red_of: Option<u8>, arrival: MediaTime) {
        let mut inbox = self.shared.inbox.lock();
        if inbox.closed {
            return;
        }
        inbox.received += 1;
        if inbox.packets.len() == INBOX_CAPACITY {
            inbox.overflow += 1;
            return;
        }
        let payload = packet.payload.clone();
        inbox.packets.push(Came {
            packet,
            red_of,
            arrival,
        });
        let idle = inbox.idle;
        drop(inbox);
        // The worker comes by every 10 ms anyway.
        if idle {
            let own = match red_of {
                Some(opus) => RedPayload::parse(&payload, opus).map(|red| red.primary),
                None => Ok(payload),
            };
            let stereo = own.is_ok_and(|own| opus_is_stereo(&own));
            self.wake(if stereo { 2 } else { 1 });
        }
    }

    /// A [sender report](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1): its NTP timestamp
    /// (seconds since 1900 in 32.32 bits) and its RTP timestamp.
    pub fn on_sender_report(&self, ntp: u64, rtp: u32) {
        self.shared.inbox.lock().report = Some((NtpTime(ntp), rtp));
    }

    /// Plays it in step with the others of `group`; with none from now on if there is no group.
    pub fn set_sync_group(&self, group: Option<&SyncGroup>) {
        self.shared.inbox.lock().sync = Some(group.cloned());
    }

    /// Mutes or unmutes the track, which fires its events.
    pub fn set_muted(&self, muted: bool) {
        self.source.set_muted(muted);
    }

    /// Ends the track, which fires `ended`, and the worker.
    pub fn end(&self) {
        self.shared.close();
        self.worker.lock().take();
        self.source.end();
    }

    /// Its counters so far.
    pub fn stats(&self) -> InboundAudioStats {
        let mut stats = *self.shared.stats.lock();
        let inbox = self.shared.inbox.lock();
        stats.packets_received = inbox.received;
        stats.packets_discarded += inbox.overflow;
        stats
    }

    fn wake(&self, channels: u16) {
        let worker = self.worker.lock().take();
        let Some(mut worker) = worker else {
            self.shared.waker.wake();
            return;
        };
        worker.channels = channels;
        self.source.set_settings(MediaTrackSettings {
            channel_count: Some(channels.into()),
            ..self.source.settings()
        });
        let clock = worker.clock.clone();
        let started = worker::start("audio-playout", &self.shared.waker, clock, *worker);
        if let Err(error) = started {
            tracing::error!(%error, "no thread for playing out");
            self.end();
        }
    }
}

impl Drop for InboundAudio {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nobody is left who could hear anything.
struct StopWithTracks(Weak<Shared>);

impl SourceControl for StopWithTracks {
    fn stop(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.close();
        }
    }
}

struct Shared {
    inbox: Mutex<Inbox>,
    waker: Waker,
    stats: Mutex<InboundAudioStats>,
}

/// A packet that came.
struct Came {
    packet: RtpPacket,
    /// It is one of redundancy, of sound of this payload type.
    red_of: Option<u8>,
    arrival: MediaTime,
}

struct Inbox {
    packets: Vec<Came>,
    received: u64,
    overflow: u64,
    report: Option<(NtpTime, u32)>,
    sync: Option<Option<SyncGroup>>,
    /// Whether the worker has to be woken up for a packet.
    idle: bool,
    closed: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox {
            packets: Vec::new(),
            received: 0,
            overflow: 0,
            report: None,
            sync: None,
            idle: true,
            closed: false,
        }
    }
}

impl Shared {
    fn close(&self) {
        let mut inbox = self.inbox.lock();
        inbox.closed = true;
        inbox.packets = Vec::new();
        drop(inbox);
        self.waker.wake();
    }
}

/// What plays out.
struct Worker {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    channels: u16,
    source: MediaSource,
    /// Made with the first step.
    playing: Option<Playing>,
    packets: Vec<Came>,
}

struct Playing {
    player: Player,
    /// When the next block is.
    due: MediaTime,
    /// When the last packet came.
    heard: MediaTime,
}

impl Work for Worker {
    fn step(&mut self) -> Next {
        let Some(mut playing) = self.playing.take().or_else(|| self.begin()) else {
            return Next::Over;
        };
        loop {
            if let Err(next) = self.take_in(&mut playing) {
                self.playing = Some(playing);
                return next;
            }
            let Playing { player, due, heard } = &mut playing;
            for came in self.packets.drain(..) {
                *heard = (*heard).max(came.arrival);
                player.push(came);
            }
            let block = player.pull(*due, self.clock.now());
            *self.shared.stats.lock() = player.stats;
            self.source.publish(&Frame::Audio(block));
            *due += BLOCK;
        }
    }
}

impl Worker {
    fn begin(&self) -> Option<Playing> {
        let decoder = match AudioCodec::Opus.decoder(self.channels) {
            Ok(decoder) => OpusDecode(decoder),
            Err(error) => {
                tracing::error!(%error, "no decoder");
                self.shared.close();
                self.source.end();
                return None;
            }
        };
        let now = self.clock.now();
        Some(Playing {
            player: Player::new(decoder, self.channels),
            due: now,
            heard: now,
        })
    }

    /// Takes out what came, once the next block is due; else when to come again.
    fn take_in(&mut self, playing: &mut Playing) -> Result<(), Next> {
        let Playing { player, due, heard } = playing;
        let mut inbox = self.shared.inbox.lock();
        if inbox.closed {
            return Err(Next::Over);
        }
        let now = self.clock.now();
        if inbox.packets.is_empty() && now.saturating_since(*heard) > IDLE {
            inbox.idle = true;
            return Err(Next::Woken);
        }
        if std::mem::take(&mut inbox.idle) || now.saturating_since(*due) > MAX_LATE {
            *due = now;
        }
        if *due > now {
            return Err(Next::At(*due));
        }
        // The two lists change places, so that neither allocates again.
        std::mem::swap(&mut inbox.packets, &mut self.packets);
        if let Some((ntp, rtp)) = inbox.report.take() {
            player.timeline.on_sender_report(ntp, rtp);
        }
        if let Some(group) = inbox.sync.take() {
            player.sync = group;
            player.playout.set_min_delay(Duration::ZERO);
        }
        Ok(())
    }
}

/// What plays one stream; without a worker.
struct Player {
    playout: AudioPlayout<OpusDecode>,
    timeline: RtpTimeline,
    sync: Option<SyncGroup>,
    pool: Pool<AudioBuffer>,
    /// Packets of redundancy that are none.
    broken: u64,
    stats: InboundAudioStats,
}

impl Player {
    fn new(decoder: OpusDecode, channels: u16) -> Self {
        Player {
            playout: AudioPlayout::new(decoder, channels),
            timeline: RtpTimeline::new(ClockRate::OPUS),
            sync: None,
            pool: Pool::new(16),
            broken: 0,
            stats: InboundAudioStats::default(),
        }
    }

    fn push(&mut self, came: Came) {
        let Came {
            packet,
            red_of,
            arrival,
        } = came;
        let timestamp = packet.timestamp;
        match red_of {
            None => self.playout.push(packet, arrival),
            Some(opus) => {
                if self.playout.push_red(&packet, opus, arrival).is_err() {
                    self.broken += 1;
                    return;
                }
            }
        }
        self.timeline.on_arrival(timestamp, arrival);
    }

    /// The block that is due at `due`.
    fn pull(&mut self, due: MediaTime, now: MediaTime) -> AudioFrame {
        let mut block = None;
        let Player { playout, pool, .. } = self;
        let buffer = pool.fill(|buffer| block = Some(playout.pull(now, buffer)));
        let block = block.filter(|block| block.kind != PlayoutKind::Silence);
        if let Some(block) = block {
            if matches!(block.kind, PlayoutKind::Normal) {
                self.stats.first_sound_time.get_or_insert(due);
            }
            let captured = block.rtp_timestamp;
            let captured = captured.and_then(|at| self.timeline.remote_time(at as u32));
            self.stats.shown = captured
                .map(|captured| (captured, due))
                .or(self.stats.shown);
            if let (Some(sync), Some(timestamp)) = (&self.sync, block.rtp_timestamp) {
                let played = Played {
                    at: due,
                    earliest: self.playout.earliest(timestamp),
                    needs: self.playout.needed_delay(),
                };
                let least = sync.played(MediaKind::Audio, captured, played);
                self.playout.set_min_delay(least);
            }
        }
        self.count(&buffer);
        AudioFrame::new(buffer, due)
    }

    fn count(&mut self, buffer: &AudioBuffer) {
        let samples = buffer.samples();
        let power: f32 = samples.iter().map(|s| s * s).sum();
        let mean = power / samples.len().max(1) as f32;
        let jitter = self.playout.stats();
        self.stats = InboundAudioStats {
            packets_received: self.stats.packets_received,
            packets_discarded: jitter.packets_discarded
                + jitter.packets_duplicated
                + jitter.packets_corrupt
                + self.broken,
            total_samples_received: jitter.total_samples_received,
            concealed_samples: jitter.concealed_samples,
            silent_concealed_samples: jitter.silent_concealed_samples,
            concealment_events: jitter.concealment_events,
            inserted_samples_for_deceleration: jitter.inserted_samples_for_deceleration,
            removed_samples_for_acceleration: jitter.removed_samples_for_acceleration,
            fec_packets_received: jitter.fec_packets_received,
            jitter_buffer_delay: jitter.jitter_buffer_delay,
            jitter_buffer_emitted_count: jitter.jitter_buffer_emitted_count,
            jitter_buffer_target_delay: jitter.jitter_buffer_target_delay,
            jitter_buffer_minimum_delay: jitter.jitter_buffer_minimum_delay,
            shown: self.stats.shown,
            target_delay: self.playout.target_delay(),
            audio_level: mean.sqrt().min(1.0),
            total_audio_energy: self.stats.total_audio_energy
                + f64::from(mean) * BLOCK.as_secs_f64(),
            total_samples_duration: self.stats.total_samples_duration + BLOCK,
            first_sound_time: self.stats.first_sound_time,
        };
    }
}

/// By the packet's [first byte](https://www.rfc-editor.org/rfc/rfc6716#section-3.1).
fn opus_is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 0x04 != 0)
}

/// A decoder as the playout wants it.
struct OpusDecode(Box<dyn AudioDecoder>);

impl AudioDecode for OpusDecode {
    type Error = CodecError;

    fn decode(&mut self, packet: &[u8], out: &mut AudioBuffer) -> Result<(), CodecError> {
        self.0.decode(packet, out)
    }

    fn decode_fec(
        &mut self,
        next: &[u8],
        frames: usize,
        out: &mut AudioBuffer,
    ) -> Result<(), CodecError> {
        self.0.decode_fec(next, frames, out)
    }

    fn conceal(&mut self, frames: usize, out: &mut AudioBuffer) -> Result<(), CodecError> {
        self.0.conceal(frames, out)
    }

    fn packet_frames(&self, packet: &[u8]) -> Option<usize> {
        self.0.packet_frames(packet)
    }

    fn has_fec(&self, packet: &[u8]) -> bool {
        opus_has_fec(packet)
    }
}
