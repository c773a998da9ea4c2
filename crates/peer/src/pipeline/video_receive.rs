//! RTP packets to a remote video track: the handle, and the worker that decodes.

use super::stats::InboundVideoStats;
use super::video_playout::{VideoAction, VideoPlayout};
use super::worker::{self, Next, Waker, Work, Workers};
use super::{Feedback, RtpPacket, SyncGroup};
use duet_codec::VideoCodec;
use duet_media::{
    Clock, Frame, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings, SourceControl,
};
use duet_session::NtpTime;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Packets that the worker may be behind: over a second at 20 Mbit/s. When it is full the newest is
/// lost and counted, and decoding begins anew with a key frame.
const INBOX_CAPACITY: usize = 2_048;

/// So many packets wake the worker even if none of them ends a frame.
const WAKE_AFTER: usize = 64;

/// What an inbound track is made with.
pub struct InboundVideoConfig {
    /// The receiver's clock: of arrival times and of the track's frames.
    pub clock: Arc<dyn Clock>,
    /// Whom to ask for key frames.
    pub feedback: Arc<dyn Feedback>,
    /// The remote track's label.
    pub label: String,
    /// Where it runs.
    pub workers: Workers,
}

/// The receiving end of one remote video track. Dropping it ends the track and its worker; so does
/// the stop of the last track that it feeds.
pub struct InboundVideo {
    shared: Arc<Shared>,
    source: MediaSource,
    /// Started when the first packet comes.
    worker: Mutex<Option<Box<Worker>>>,
}

impl InboundVideo {
    /// A receiver, and the track that it feeds. The track is muted until
    /// [`set_muted`](Self::set_muted) says otherwise. The worker starts with the first packet.
    pub fn new(config: InboundVideoConfig) -> (InboundVideo, MediaStreamTrack) {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            waker: config.workers.waker(),
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
            playout: None,
            packets: Vec::new(),
            overflow: 0,
            size: (0, 0),
        };
        let inbound = InboundVideo {
            shared,
            source,
            worker: Mutex::new(Some(Box::new(worker))),
        };
        (inbound, track)
    }

    /// A packet of this track that arrived at `arrival`. Never blocks.
    pub fn push(&self, packet: RtpPacket, arrival: MediaTime) {
        self.take_in(packet, arrival, false);
    }

    /// The same for a packet that never came, and was made of what did: how late it is tells nothing of the path.
    pub(crate) fn push_made(&self, packet: RtpPacket, arrival: MediaTime) {
        self.take_in(packet, arrival, true);
    }

    fn take_in(&self, packet: RtpPacket, arrival: MediaTime, made: bool) {
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
        inbox.packets.push((packet, arrival, made));
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

    /// Decodes nothing until [`go_on`](Self::go_on), which whoever calls this brings about soon: packets wait.
    pub(crate) fn hold(&self) {
        self.shared.inbox.lock().held = true;
    }

    /// Goes on, if it was held.
    pub(crate) fn go_on(&self) {
        if std::mem::take(&mut self.shared.inbox.lock().held) {
            self.shared.waker.wake();
        }
    }

    /// Mutes or unmutes the track, which fires its events.
    pub fn set_muted(&self, muted: bool) {
        if muted {
            self.shared.inbox.lock().paused = true;
        }
        self.source.set_muted(muted);
    }

    /// Ends the track, which fires `ended`, and the worker.
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
            self.shared.waker.wake();
            return;
        };
        let clock = worker.clock.clone();
        let started = worker::start("video-decoder", &self.shared.waker, clock, *worker);
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
    waker: Waker,
    stats: Mutex<InboundVideoStats>,
}

#[derive(Default)]
struct Inbox {
    packets: Vec<(RtpPacket, MediaTime, bool)>,
    /// Sequence number and timestamp of the last one.
    last: Option<(u16, u32)>,
    overflow: u64,
    report: Option<(NtpTime, u32)>,
    rtt: Option<Duration>,
    sync: Option<Option<SyncGroup>>,
    paused: bool,
    held: bool,
    wake: bool,
    closed: bool,
}

impl Shared {
    fn is_held(&self) -> bool {
        let inbox = self.inbox.lock();
        inbox.held && !inbox.closed
    }

    fn close(&self) {
        let mut inbox = self.inbox.lock();
        inbox.closed = true;
        inbox.packets = Vec::new();
        drop(inbox);
        self.waker.wake();
    }
}

/// What decodes.
struct Worker {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    feedback: Arc<dyn Feedback>,
    source: MediaSource,
    /// Made with the first step: a decoder takes memory, and many tracks never come.
    playout: Option<VideoPlayout>,
    packets: Vec<(RtpPacket, MediaTime, bool)>,
    overflow: u64,
    /// Of the last picture shown.
    size: (u32, u32),
}

impl Work for Worker {
    fn step(&mut self) -> Next {
        if self.shared.is_held() {
            return Next::Woken;
        }
        let Some(mut playout) = self.playout.take().or_else(|| self.begin()) else {
            return Next::Over;
        };
        while self.take_in(&mut playout) {
            self.play(&mut playout);
            let due = playout.next_timeout();
            if due.is_some_and(|due| due <= self.clock.now()) || self.shared.inbox.lock().wake {
                continue;
            }
            self.playout = Some(playout);
            return due.map_or(Next::Woken, Next::At);
        }
        Next::Over
    }
}

impl Worker {
    fn begin(&self) -> Option<VideoPlayout> {
        match VideoCodec::Vp8.decoder() {
            Ok(decoder) => Some(VideoPlayout::new(self.clock.clone(), decoder)),
            Err(error) => {
                tracing::error!(%error, "no decoder");
                self.shared.close();
                self.source.end();
                None
            }
        }
    }

    /// Takes out what has come; false once it is over.
    fn take_in(&mut self, playout: &mut VideoPlayout) -> bool {
        let mut inbox = self.shared.inbox.lock();
        inbox.wake = false;
        // The two lists change places, so that neither allocates again.
        std::mem::swap(&mut inbox.packets, &mut self.packets);
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
        if std::mem::replace(&mut self.overflow, inbox.overflow) != inbox.overflow {
            playout.start_afresh();
        }
        !inbox.closed
    }

    fn play(&mut self, playout: &mut VideoPlayout) {
        for (packet, arrival, made) in self.packets.drain(..) {
            match made {
                true => playout.push_made(packet, arrival),
                false => playout.push(packet, arrival),
            }
        }
        while let Some(action) = playout.poll() {
            match action {
                VideoAction::Show(frame) => {
                    let shown = (frame.width(), frame.height());
                    if std::mem::replace(&mut self.size, shown) != shown {
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
