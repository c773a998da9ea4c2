//! Reading back what arrived. A probe is a sink on a remote track: it reads the marks of the synthetic
//! camera and the beeps and tones of the synthetic microphone, and keeps figures.
//!
//! What it deliberately is not: it takes no part in the call, and judges nothing; [`crate::report`]
//! does.

mod audio;
mod likeness;
mod video;

pub(crate) use audio::AudioProbe;
pub(crate) use likeness::{Kept, Original};
pub(crate) use video::VideoProbe;

use crate::report::{
    AudioReport, CpuReport, Distribution, MemoryReport, OffsetReport, Report, VideoReport,
};
use crate::resources::peak_rss_mb;
use duet_media::MediaTime;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The figures of both probes, to be judged. `started` is when negotiation began.
pub(crate) fn build_report(
    video: Option<&VideoProbe>,
    audio: Option<&AudioProbe>,
    started: MediaTime,
    elapsed: Duration,
    concealed_ratio: f64,
    pitch_is_known: bool,
) -> Report {
    let video = video.map(VideoProbe::figures);
    let audio = audio.map(AudioProbe::figures);
    let offsets = match (&video, &audio) {
        (Some(video), Some(audio)) => offsets(&video.flashes, &audio.beeps),
        _ => Vec::new(),
    };
    Report {
        pass: false,
        reasons: Vec::new(),
        duration_s: elapsed.as_secs_f64(),
        video: video.map(|video| {
            let shown = match (video.first_at, video.last_at) {
                (Some(first), Some(last)) => last.saturating_since(first).as_secs_f64(),
                _ => 0.0,
            };
            VideoReport {
                width: video.size.0,
                height: video.size.1,
                frames_sent: video.captured,
                frames_decoded: video.decoded,
                frames_unreadable: video.unreadable,
                fps: video.decoded.saturating_sub(1) as f64 / shown.max(1e-9),
                first_frame_ms: video
                    .first_at
                    .map(|at| at.saturating_since(started).as_secs_f64() * 1_000.0),
                latency_ms: Distribution::of(&video.ages),
                freezes: video.freezes,
                longest_gap_ms: video.longest_gap_ms,
                psnr_db: video.psnr_db,
            }
        }),
        audio: audio.map(|audio| AudioReport {
            received: audio.played.as_secs_f64(),
            latency_ms: Distribution::of(&audio.delays),
            concealed_ratio,
            pitch_ok: pitch_is_known.then(|| audio.pitch_ok()),
            pitch_hz: audio.pitch_hz,
            beeps: audio.beeps.len() as u64,
        }),
        av_offset_ms: OffsetReport::of(&offsets),
        cpu: CpuReport {
            cores: 0.0,
            codec_floor_cores: None,
        },
        memory: MemoryReport {
            peak_rss_mb: peak_rss_mb(),
        },
    }
}

/// Times in microseconds up to a minute, to three digits; longer ones count as a minute.
pub(crate) fn time_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are constant and in order")
}

/// Notes a time in milliseconds; a negative one counts as none.
fn record_ms(histogram: &mut Histogram<u32>, ms: f64) {
    histogram.saturating_record((ms.max(0.0) * 1_000.0) as u64);
}

/// How far each second's beep came after its flash, given the delay of each in milliseconds by
/// second. Seconds of which only one was noticed are left out.
pub(crate) fn offsets(flashes: &[(u64, f64)], beeps: &[(u64, f64)]) -> Vec<f64> {
    let flashes: std::collections::HashMap<u64, f64> = flashes.iter().copied().collect();
    let both = beeps.iter().filter_map(|(second, beep)| {
        let flash = flashes.get(second)?;
        Some(beep - flash)
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::offsets;

    #[test]
    fn only_seconds_with_both_marks_count() {
        let flashes = [(1, 20.0), (2, 22.0), (4, 21.0)];
        let beeps = [(2, 30.0), (3, 31.0), (4, 11.0)];
        assert_eq!(offsets(&flashes, &beeps), [8.0, -10.0]);
    }
}
