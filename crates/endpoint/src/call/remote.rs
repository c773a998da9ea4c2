//! The other side's tracks: played, and with `--verify` read back.

use crate::args::Call;
use crate::failure::Failure;
use crate::probe::{AudioProbe, Original, VideoProbe, build_report};
use crate::report::{CpuReport, Report};
use crate::resources::CpuMeter;
use crate::speaker::Loudspeaker;
use crate::tell::Tell;
use duet_devices::{MediaDevices, Speaker};
use duet_media::{Clock, MediaKind, MediaStreamTrack, MediaTime, MonotonicClock, SinkHandle};
use std::sync::Arc;

/// What is done with the other side's tracks.
pub(super) struct Remote {
    clock: Arc<MonotonicClock>,
    loudspeaker: Option<Loudspeaker>,
    verification: Option<Verification>,
    /// What hangs on the tracks of a connection.
    attached: Vec<(u64, Attached)>,
    tracks: Vec<(u64, MediaStreamTrack)>,
}

/// Held for its end: dropping it detaches.
enum Attached {
    Probe(#[expect(dead_code)] SinkHandle),
    Played(#[expect(dead_code)] Speaker),
}

struct Verification {
    video: Arc<VideoProbe>,
    audio: Arc<AudioProbe>,
    meter: CpuMeter,
    /// When the first negotiation began.
    called: Option<MediaTime>,
}

impl Remote {
    pub(super) fn new(
        options: &Call,
        devices: &MediaDevices,
        clock: Arc<MonotonicClock>,
        tell: &Tell,
    ) -> Result<Self, Failure> {
        let verification = options.verify.then(|| Verification {
            video: VideoProbe::new(clock.clone(), Original::Painted),
            audio: AudioProbe::new(clock.clone()),
            meter: CpuMeter::start(),
            called: None,
        });
        Ok(Remote {
            loudspeaker: Loudspeaker::choose(&options.speaker, devices, clock.clone(), tell)?,
            clock,
            verification,
            attached: Vec::new(),
            tracks: Vec::new(),
        })
    }

    /// A negotiation begins.
    pub(super) fn calling(&mut self, now: MediaTime) {
        if let Some(verification) = &mut self.verification {
            verification.called.get_or_insert(now);
        }
    }

    /// The connection brought a track.
    pub(super) fn attach(&mut self, link: u64, track: &MediaStreamTrack) {
        // It comes again with other streams.
        let known = (link, track.clone());
        if self.tracks.contains(&known) {
            return;
        }
        self.tracks.push(known);
        if track.kind() == MediaKind::Audio
            && let Some(speaker) = self.loudspeaker.as_ref().and_then(|l| l.play(track))
        {
            self.attached.push((link, Attached::Played(speaker)));
        }
        if let Some(verification) = &self.verification {
            let sink = match track.kind() {
                MediaKind::Video => track.add_sink(verification.video.clone()),
                MediaKind::Audio => track.add_sink(verification.audio.clone()),
            };
            self.attached.push((link, Attached::Probe(sink)));
        }
    }

    /// The connection is over.
    pub(super) fn detach(&mut self, link: u64) {
        self.attached.retain(|(other, _)| *other != link);
        self.tracks.retain(|(other, _)| *other != link);
    }

    /// With `--verify`: the figures, still to be judged.
    pub(super) fn report(&self, concealed_ratio: f64) -> Option<Report> {
        let verification = self.verification.as_ref()?;
        let now = self.clock.now();
        let called = verification.called.unwrap_or(now);
        let mut report = build_report(
            Some(&*verification.video),
            Some(&*verification.audio),
            called,
            now.saturating_since(called),
            concealed_ratio,
            true,
        );
        report.cpu = CpuReport {
            cores: verification.meter.cores(),
            codec_floor_cores: None,
        };
        Some(report)
    }
}
