//! RTP packets to a remote video track: the handle, and the thread that decodes.

use super::stats::InboundVideoStats;
use super::video_playout::{VideoAction, VideoPlayout};
use super::{Feedback, RtpPacket, SyncGroup};
use duet_codec::VideoCodec;
use duet_media::{
    Clock, Frame, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings, SourceControl,
};
use duet_session::NtpTime;
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// Packets that the thread may be behind: over a second at 20 Mbit/s. When it is full the newest is
/// lost and counted, and decoding begins anew with a key frame.
const INBOX_CAPACITY: usize = 2_048;

/// So many packets wake the thread even if none of them ends a frame.
const WAKE_AFTER: usize = 64;

/// What an inbound track is made with.
pub struct InboundVideoConfig {
    /// The receiver's clock: of arrival times and of the track's frames.
    pub clock: Arc<dyn Clock>,
    /// Whom to ask for key frames.
    pub feedback: Arc<dyn Feedback>,
    /// The remote track's label.
    pub label: String,
}

/// The receiving end of one remote video track. Dropping it ends the track and its thread; so does
/// the stop of the last track that it feeds.
pub struct InboundVideo {
    shared: Arc<Shared>,
    source: MediaSource,
    /// Taken by the thread when the first packet comes.
    worker: Mutex<Option<Worker>>,
}

impl InboundVideo {
    /// A receiver, and the track that it feeds. The track is muted until
    /// [`set_muted`](Self::set_muted) says otherwise. The thread starts with the first packet.
    pub fn new(config: InboundVideoConfig) -> (InboundVideo, MediaStreamTrack) {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            changed: Condvar::new(),
            stats: Mutex::default(),
        });
        let source = MediaSource::new(
            MediaKind::Video,
            config.label,
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
            StopWithTracks(Arc::downgrade(&shared)),
        );
        source.set_muted(true);
        let track = source.create_track();
        let worker = Worker {
            shared: shared.clone(),
            clock: config.clock,
            feedback: config.feedback,
            source: source.clone(),
        };
        let inbound = InboundVideo {
            shared,
            source,
            worker: Mutex::new(Some(worker)),
        };
        (inbound, track)
    }

    /// A packet of this track that arrived at `arrival`. Never blocks.
    pub fn push(&self, packet: RtpPacket, arrival: MediaTime) {
        let mut inbox = self.shared.inbox.lock();
        if inbox.closed {
            return;
        }
        if inbox.packets.len() == INBOX_CAPACITY {
            inbox.overflow += 1;
            return;
        }
        // Sleeping through the packets of a frame saves a wake-up for each.
        let expected = inbox
            .last
            .map(|(number, time)| (number.wrapping_add(1), time));
        let place = (packet.sequence_number, packet.timestamp);
        let wake = packet.marker || expected != Some(place) || inbox.packets.len() >= WAKE_AFTER;
        inbox.last = Some(place);
        inbox.packets.push((packet, arrival));
        inbox.wake |= wake;
        drop(inbox);
        if wake {
            self.wake();
        }
    }

    /// A [sender report](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1): its NTP timestamp
    /// (seconds since 1900 in 32.32 bits) and its RTP timestamp.
    pub fn on_sender_report(&self, ntp: u64, rtp: u32) {
        // It can wait until there is a packet: nothing is shown without one.
        self.shared.inbox.lock().report = Some((NtpTime(ntp), rtp));
    }

    /// The round trip to the sender: how long a retransmission may take. 50 ms until it is known.
    pub fn set_round_trip_time(&self, rtt: Duration) {
        self.shared.inbox.lock().rtt = Some(rtt);
    }

    /// Plays it in step with the others of `group`; with none from now on if there is no group.
    pub fn set_sync_group(&self, group: Option<&SyncGroup>) {
        self.shared.inbox.lock().sync = Some(group.cloned());
    }

    /// Mutes or unmutes the track, which fires its events.
    pub fn set_muted(&self, muted: bool) {
        if muted {
            self.shared.inbox.lock().paused = true;
        }
        self.source.set_muted(muted);
    }

    /// Ends the track, which fires `ended`, and the thread.
    pub fn end(&self) {
        self.shared.close();
        self.worker.lock().take();
        self.source.end();
    }

    /// Its counters so far.
    pub fn stats(&self) -> InboundVideoStats {
        let mut stats = *self.shared.stats.lock();
        let overflow = self.shared.inbox.lock().overflow;
        stats.packets_received += overflow;
        stats.packets_discarded += overflow;
        stats
    }

    fn wake(&self) {
        let worker = self.worker.lock().take();
        let Some(worker) = worker else {
            self.shared.changed.notify_one();
            return;
        };
        let started = thread::Builder::new()
            .name("video-decoder".into())
            .spawn(move || worker.run());
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a decoder");
            self.end();
        }
    }
}

impl Drop for InboundVideo {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nobody is left who could see anything.
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
    changed: Condvar,
    stats: Mutex<InboundVideoStats>,
}

#[derive(Default)]
struct Inbox {
    packets: Vec<(RtpPacket, MediaTime)>,
    /// Sequence number and timestamp of the last one.
    last: Option<(u16, u32)>,
    overflow: u64,
    report: Option<(NtpTime, u32)>,
    rtt: Option<Duration>,
    sync: Option<Option<SyncGroup>>,
    paused: bool,
    wake: bool,
    closed: bool,
}

impl Shared {
    fn close(&self) {
        let mut inbox = self.inbox.lock();
        inbox.closed = true;
        inbox.packets = Vec::new();
        drop(inbox);
        self.changed.notify_one();
    }
}

/// The thread.
struct Worker {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    feedback: Arc<dyn Feedback>,
    source: MediaSource,
}

impl Worker {
    fn run(self) {
        let decoder = match VideoCodec::Vp8.decoder() {
            Ok(decoder) => decoder,
            Err(error) => {
                tracing::error!(%error, "no decoder");
                self.shared.close();
                self.source.end();
                return;
            }
        };
        let mut playout = VideoPlayout::new(self.clock.clone(), decoder);
        let mut packets = Vec::new();
        let mut overflow = 0;
        let mut size = (0, 0);
        while self.wait(&mut playout, &mut packets, &mut overflow) {
            for (packet, arrival) in packets.drain(..) {
                playout.push(packet, arrival);
            }
            while let Some(action) = playout.poll() {
                match action {
                    VideoAction::Show(frame) => {
                        let shown = (frame.width(), frame.height());
                        if std::mem::replace(&mut size, shown) != shown {
                            self.source.set_settings(MediaTrackSettings {
                                width: Some(shown.0),
                                height: Some(shown.1),
                                ..Default::default()
                            });
                        }
                        self.source.publish(&Frame::Video(frame));
                    }
                    VideoAction::RequestKeyFrame => self.feedback.request_key_frame(),
                }
            }
            *self.shared.stats.lock() = playout.stats();
        }
    }

    /// Waits until there is something to do, and takes it out; false once it is over.
    fn wait(
        &self,
        playout: &mut VideoPlayout,
        packets: &mut Vec<(RtpPacket, MediaTime)>,
        overflow: &mut u64,
    ) -> bool {
        let timeout = playout.next_timeout();
        let mut inbox = self.shared.inbox.lock();
        while !inbox.closed && !inbox.wake {
            let Some(at) = timeout else {
                self.shared.changed.wait(&mut inbox);
                continue;
            };
            let left = at.saturating_since(self.clock.now());
            if left.is_zero() {
                break;
            }
            self.shared.changed.wait_for(&mut inbox, left);
        }
        inbox.wake = false;
        // The two lists change places, so that neither allocates again.
        std::mem::swap(&mut inbox.packets, packets);
        if let Some((ntp, rtp)) = inbox.report.take() {
            playout.on_sender_report(ntp, rtp);
        }
        if let Some(rtt) = inbox.rtt.take() {
            playout.set_rtt(rtt);
        }
        if let Some(group) = inbox.sync.take() {
            playout.set_sync_group(group);
        }
        if std::mem::take(&mut inbox.paused) {
            playout.pause();
        }
        if std::mem::replace(overflow, inbox.overflow) != inbox.overflow {
            playout.start_afresh();
        }
        !inbox.closed
    }
}
