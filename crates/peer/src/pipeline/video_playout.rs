//! From packets to pictures that are due: the jitter buffer, the decoder and the playout schedule in
//! one, without a thread.
//!
//! A frame waits for its time as bytes, and is decoded just before it, so that a long wait for the
//! sound costs no memory. It reads the clock that it is given, and nothing else happens by itself.

#[cfg(test)]
mod tests;

use super::SyncGroup;
use super::freeze::FreezeDetector;
use super::last_second::LastSecond;
use super::stats::InboundVideoStats;
use duet_codec::VideoDecoder;
use duet_media::{Clock, I420Buffer, MediaKind, MediaTime, VideoFrame};
use duet_session::{
    AssembledFrame, ClockRate, NtpTime, Played, PlayoutScheduler, RtpPacket, RtpTimeline,
    VideoEvent, VideoJitterBuffer, VideoJitterConfig, vp8_quantizer,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Frames that wait for their time at most: two seconds at 60 a second. When it is full all go, and a
/// key frame is asked for.
const CAPACITY: usize = 120;

/// A decoder that is so far behind does not catch up by itself: all that waits goes, and a key frame
/// is asked for.
const MAX_LATE: Duration = Duration::from_secs(1);

/// A picture so late is not shown if a newer one is there…
const STALE: Duration = Duration::from_millis(200);

/// … nor is one that came so late that its sound is over, if a newer one is due so soon after it: what a lost packet
/// held up comes all at once when that is there, and only the last of it would be seen.
const OUT_OF_STEP: Duration = Duration::from_millis(45);
const AT_ONCE: Duration = Duration::from_millis(4);

/// … and one so late for a loss not even if none is: a key frame, or what follows, will be there soon…
const OUTDATED: Duration = Duration::from_millis(350);

/// … unless nothing was shown for so long since the first of them.
const BLIND: Duration = Duration::from_secs(1);

/// What the least late of so many pictures in a row is late, sound is to wait for: a path that takes longer, or a sender
/// who is behind.
const LATE_IN_A_ROW: usize = 3;

/// Among so many frames at the beginning, the fastest sets the measure.
const BEGINNING: u64 = 30;

/// So much faster than all before (nanoseconds) is another measure.
const FASTER: i64 = 5_000_000;

/// What is to be done.
pub(super) enum VideoAction {
    /// Show it now.
    Show(VideoFrame),
    /// Ask the sender for a key frame.
    RequestKeyFrame,
}

pub(super) struct VideoPlayout {
    clock: Arc<dyn Clock>,
    decoder: Box<dyn VideoDecoder>,
    jitter: VideoJitterBuffer,
    timeline: RtpTimeline,
    scheduler: PlayoutScheduler,
    /// Least `decodable_at - capture`, in nanoseconds by two clocks, of the beginning.
    fastest: i64,
    sync: Option<SyncGroup>,
    waiting: VecDeque<Waiting>,
    ready: Option<Ready>,
    /// How long before its time a frame is decoded.
    lead: Duration,
    /// Since when outdated pictures are left out.
    blind_since: Option<MediaTime>,
    /// How late the last pictures shown were.
    late: [Duration; LATE_IN_A_ROW],
    freezes: FreezeDetector,
    shown: LastSecond,
    stats: InboundVideoStats,
}

/// A frame that is not decoded yet.
struct Waiting {
    frame: AssembledFrame,
    due: MediaTime,
    /// How much too late it came.
    late: Duration,
}

/// A picture that is not shown yet.
struct Ready {
    picture: Arc<I420Buffer>,
    due: MediaTime,
    late: Duration,
    /// It was late because a packet was lost, not because the path is slow.
    held_up: bool,
    rtp_timestamp: i64,
    first_arrival: MediaTime,
}

impl VideoPlayout {
    pub(super) fn new(clock: Arc<dyn Clock>, decoder: Box<dyn VideoDecoder>) -> Self {
        VideoPlayout {
            clock,
            decoder,
            jitter: VideoJitterBuffer::new(VideoJitterConfig::default()),
            timeline: RtpTimeline::new(ClockRate::VIDEO),
            scheduler: PlayoutScheduler::new(ClockRate::VIDEO),
            fastest: i64::MAX,
            sync: None,
            waiting: VecDeque::new(),
            ready: None,
            lead: Duration::ZERO,
            blind_since: None,
            late: [Duration::ZERO; LATE_IN_A_ROW],
            freezes: FreezeDetector::default(),
            shown: LastSecond::default(),
            stats: InboundVideoStats::default(),
        }
    }

    /// Takes a packet that came at `arrival`. [`poll`](Self::poll) afterwards, until it has nothing.
    pub(super) fn push(&mut self, packet: RtpPacket, arrival: MediaTime) {
        self.jitter.push(packet, arrival);
    }

    /// The same for a packet that was made of others.
    pub(super) fn push_made(&mut self, packet: RtpPacket, arrival: MediaTime) {
        self.jitter.push_made(packet, arrival);
    }

    pub(super) fn on_sender_report(&mut self, ntp: NtpTime, rtp_timestamp: u32) {
        self.timeline.on_sender_report(ntp, rtp_timestamp);
    }

    pub(super) fn set_rtt(&mut self, rtt: Duration) {
        self.jitter.set_rtt(rtt);
        self.scheduler.set_rtt(rtt);
    }

    pub(super) fn set_sync_group(&mut self, group: Option<SyncGroup>) {
        self.sync = group;
        self.scheduler.set_min_delay(Duration::ZERO);
    }

    /// The sender stopped on purpose.
    pub(super) fn pause(&mut self) {
        self.freezes.paused();
    }

    /// Packets were lost on the way here.
    pub(super) fn start_afresh(&mut self) {
        self.drop_waiting();
        self.jitter.demand_key_frame(self.clock.now());
    }

    /// What to do now; to be called until there is nothing more.
    pub(super) fn poll(&mut self) -> Option<VideoAction> {
        loop {
            let now = self.clock.now();
            if let Some(ready) = self.ready.take_if(|ready| ready.due <= now) {
                if !self.is_outdated(&ready, now) {
                    return Some(VideoAction::Show(self.show(ready, now)));
                }
                self.stats.frames_dropped += 1;
            }
            match self.jitter.poll(now) {
                Some(VideoEvent::Frame(frame)) => {
                    self.schedule(frame);
                    continue;
                }
                Some(VideoEvent::KeyFrameNeeded) => {
                    self.stats.key_frame_requests += 1;
                    return Some(VideoAction::RequestKeyFrame);
                }
                None => {}
            }
            let next = self.waiting.front()?;
            if now.saturating_since(next.due) > MAX_LATE {
                self.start_afresh();
                continue;
            }
            if self.ready.is_some() || now < next.due - self.lead {
                return None;
            }
            if let Some(next) = self.waiting.pop_front() {
                self.decode(next, now);
            }
        }
    }

    /// When to [`poll`](Self::poll) again although nothing came.
    pub(super) fn next_timeout(&self) -> Option<MediaTime> {
        let show = match (&self.ready, self.waiting.front()) {
            (Some(ready), _) => Some(ready.due),
            (None, Some(next)) => Some(next.due - self.lead),
            (None, None) => None,
        };
        let gap = self.jitter.next_timeout();
        show.into_iter().chain(gap).min()
    }

    pub(super) fn stats(&self) -> InboundVideoStats {
        let (jitter, freezes) = (self.jitter.counters(), self.freezes.totals);
        let now = self.clock.now();
        InboundVideoStats {
            packets_received: jitter.received,
            packets_discarded: jitter.duplicates + jitter.late + jitter.malformed + jitter.dropped,
            freeze_count: freezes.freezes,
            total_freezes_duration: freezes.freezes_duration,
            pause_count: freezes.pauses,
            total_pauses_duration: freezes.pauses_duration,
            total_inter_frame_delay: freezes.inter_frame_delay,
            total_squared_inter_frame_delay: freezes.squared_inter_frame_delay,
            frames_per_second: self.shown.count(now) as f64,
            playout_delay: self.scheduler.delay(),
            ..self.stats
        }
    }

    fn schedule(&mut self, frame: AssembledFrame) {
        self.stats.frames_received += 1;
        if frame.packets > 1 {
            self.stats.frames_assembled_from_multiple_packets += 1;
            self.stats.total_assembly_time +=
                frame.complete_at.saturating_since(frame.first_arrival);
        }
        self.timeline
            .on_arrival(frame.rtp_timestamp as u32, frame.complete_at);
        if self.waiting.len() == CAPACITY {
            self.start_afresh();
            self.stats.frames_dropped += 1;
            return;
        }
        if self.stats.frames_received <= BEGINNING {
            // A sender that was kept waiting begins with what it made meanwhile, all at once. That
            // is no jitter to make room for: what came late then says nothing about what follows.
            let captured = ClockRate::VIDEO.nanos(frame.rtp_timestamp);
            let offset = frame.decodable_at.as_nanos().saturating_sub(captured);
            if offset < self.fastest.saturating_sub(FASTER) {
                self.scheduler.reset();
            }
            self.fastest = self.fastest.min(offset);
        }
        let due = self.scheduler.schedule(frame.rtp_timestamp, &frame);
        let late = self.scheduler.lateness();
        self.waiting.push_back(Waiting { frame, due, late });
    }

    /// Whether a picture is better left out: those after it need it, nobody else does.
    fn is_outdated(&mut self, ready: &Ready, now: MediaTime) -> bool {
        let late = ready.late + now.saturating_since(ready.due);
        let newer = self.waiting.front().filter(|next| next.due <= now);
        if let Some(next) = newer {
            let unseen = next.due < ready.due + AT_ONCE;
            if late > STALE || ready.late > OUT_OF_STEP && unseen {
                return true;
            }
        }
        if late <= OUTDATED || !ready.held_up {
            self.blind_since = None;
            return false;
        }
        let since = *self.blind_since.get_or_insert(now);
        now.saturating_since(since) < BLIND
    }

    fn decode(&mut self, Waiting { frame, due, late }: Waiting, now: MediaTime) {
        self.stats.jitter_buffer_delay += now.saturating_since(frame.first_arrival);
        self.stats.jitter_buffer_emitted_count += 1;
        self.stats.jitter_buffer_target_delay += self.scheduler.delay();
        self.stats.jitter_buffer_minimum_delay += self.scheduler.needed_delay();
        let decoded = self.decoder.decode(&frame.data);
        let after = self.clock.now();
        let took = after.saturating_since(now);
        self.stats.total_decode_time += took;
        // Quick to grow, slow to shrink; never so long that it matters for memory.
        self.lead = took
            .max(self.lead - self.lead / 64)
            .min(Duration::from_millis(50));
        match decoded {
            Ok(picture) => {
                self.stats.frames_decoded += 1;
                self.stats.key_frames_decoded += u64::from(frame.key_frame);
                self.stats.qp_sum += vp8_quantizer(&frame.data).map_or(0, u64::from);
                match picture {
                    Some(picture) => {
                        self.stats.frame_width = picture.width();
                        self.stats.frame_height = picture.height();
                        self.ready = Some(Ready {
                            picture,
                            due,
                            late,
                            held_up: frame
                                .prompt_at
                                .is_none_or(|at| frame.decodable_at.saturating_since(at) > STALE),
                            rtp_timestamp: frame.rtp_timestamp,
                            first_arrival: frame.first_arrival,
                        });
                    }
                    None => self.stats.frames_dropped += 1,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a frame was not decoded");
                self.stats.decode_errors += 1;
                self.stats.frames_dropped += 1;
                self.start_afresh();
            }
        }
    }

    fn show(&mut self, ready: Ready, now: MediaTime) -> VideoFrame {
        self.stats.first_frame_time.get_or_insert(now);
        self.stats.total_processing_delay += now.saturating_since(ready.first_arrival);
        self.freezes.shown(now);
        self.shown.note(now);
        self.stats.frames_rendered += 1;
        let captured = self.timeline.remote_time(ready.rtp_timestamp as u32);
        self.stats.shown = captured.map(|captured| (captured, now));
        self.late.rotate_left(1);
        self.late[LATE_IN_A_ROW - 1] = ready.late;
        if let Some(sync) = &self.sync {
            let late = self.late.iter().min().copied().unwrap_or_default();
            let played = Played {
                at: now,
                earliest: self.scheduler.earliest(ready.rtp_timestamp).unwrap_or(now),
                needs: self.scheduler.needed_delay(),
                holds: self.scheduler.delay() + late,
            };
            let least = sync.played(MediaKind::Video, captured, played);
            self.scheduler.set_min_delay(least);
        }
        VideoFrame::new(ready.picture, ready.due)
    }

    fn drop_waiting(&mut self) {
        self.stats.frames_dropped += self.waiting.len() as u64;
        self.waiting.clear();
    }
}
