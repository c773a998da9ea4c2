//! The verdict on a call whose content was read back: figures, and whether they are good enough.

use hdrhistogram::Histogram;
use serde::Serialize;

/// What `duet loopback --json` and `duet call --verify --report` write.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Whether media arrived intact.
    pub(crate) pass: bool,
    /// Why not; empty if it did.
    pub(crate) reasons: Vec<String>,
    /// How long the call was measured, in seconds.
    pub(crate) duration_s: f64,
    /// Of the picture; absent if none was asked for.
    pub(crate) video: Option<VideoReport>,
    /// Of the sound; absent if none was asked for.
    pub(crate) audio: Option<AudioReport>,
    /// How far the sound comes after the picture, in ms (negative: before), by flash and beep.
    pub(crate) av_offset_ms: Option<OffsetReport>,
    /// What it cost.
    pub(crate) cpu: CpuReport,
    /// What it took.
    pub(crate) memory: MemoryReport,
}

/// Of the picture.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VideoReport {
    /// Width of the last picture, in pixels.
    pub(crate) width: u32,
    /// Height of the last picture, in pixels.
    pub(crate) height: u32,
    /// Pictures that the far side captured while this side watched: known by their numbers.
    pub(crate) frames_sent: u64,
    /// Pictures that were decoded, each number once.
    pub(crate) frames_decoded: u64,
    /// Decoded pictures whose marks could not be read.
    pub(crate) frames_unreadable: u64,
    /// Decoded pictures a second.
    pub(crate) fps: f64,
    /// From the start of negotiation to the first decoded picture, in ms.
    pub(crate) first_frame_ms: Option<f64>,
    /// From capture to decoded and due, in ms. Absent if the stamps are of another clock.
    pub(crate) latency_ms: Option<Distribution>,
    /// Gaps of more than 200 ms.
    pub(crate) freezes: u64,
    /// The longest gap, in ms.
    pub(crate) longest_gap_ms: f64,
    /// Likeness to the picture that was sent, of the luma, in dB; the median of samples.
    pub(crate) psnr_db: Option<f64>,
}

/// Of the sound.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AudioReport {
    /// Seconds of sound that were played out.
    pub(crate) received: f64,
    /// From capture to playout, by the beeps, in ms.
    pub(crate) latency_ms: Option<Distribution>,
    /// Share of the samples that were made up.
    pub(crate) concealed_ratio: f64,
    /// Whether the tone had the pitch that was sent, nearly all of the time. Absent if what was sent
    /// is not known: it was not the synthetic microphone.
    pub(crate) pitch_ok: Option<bool>,
    /// The median of the pitches that were heard, in Hz.
    pub(crate) pitch_hz: Option<f64>,
    /// Beeps that were heard.
    pub(crate) beeps: u64,
}

/// A distribution of times, in ms.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Distribution {
    /// The median.
    pub(crate) p50: f64,
    /// Nineteen in twenty are no greater.
    pub(crate) p95: f64,
    /// The greatest.
    pub(crate) max: f64,
}

/// How far sound comes after its picture, in ms.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct OffsetReport {
    /// The median, signed.
    pub(crate) p50: f64,
    /// Nineteen in twenty are no further off, either way.
    pub(crate) p95: f64,
}

/// What it cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CpuReport {
    /// The whole process's use, in cores: user and system time over wall time.
    pub(crate) cores: f64,
    /// What encoding and decoding the same frames takes alone, in cores, measured in the same run.
    pub(crate) codec_floor_cores: Option<f64>,
}

/// What it took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct MemoryReport {
    /// The whole process's greatest resident size, in MB (10^6 bytes).
    pub(crate) peak_rss_mb: f64,
}

impl Distribution {
    /// Of the given times in microseconds; none of none.
    pub(crate) fn of(times: &Histogram<u32>) -> Option<Distribution> {
        let ms = |us: u64| us as f64 / 1_000.0;
        (!times.is_empty()).then(|| Distribution {
            p50: ms(times.value_at_quantile(0.5)),
            p95: ms(times.value_at_quantile(0.95)),
            max: ms(times.max()),
        })
    }
}

impl OffsetReport {
    /// Of the given signed offsets; none of none.
    pub(crate) fn of(offsets: &[f64]) -> Option<OffsetReport> {
        let mut sorted = offsets.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut sizes: Vec<f64> = offsets.iter().map(|offset| offset.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        Some(OffsetReport {
            p50: percentile(&sorted, 0.5)?,
            p95: percentile(&sizes, 0.95)?,
        })
    }
}

/// The smallest value that `share` of the sorted values do not exceed.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// What "intact" means. None of it is about speed: a busy machine must not fail a call that it
/// carried; how fast it was is in the figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectations {
    /// The least share of the captured pictures that must have been decoded.
    pub(crate) frames: f64,
    /// The most gaps of over 200 ms.
    pub(crate) freezes: u64,
    /// The least likeness, in dB.
    pub(crate) psnr_db: f64,
    /// The greatest share of made-up sound.
    pub(crate) concealed_ratio: f64,
    /// The greatest distance between picture and sound at p95, in ms.
    pub(crate) av_offset_ms: f64,
}

impl Default for Expectations {
    fn default() -> Self {
        Expectations {
            frames: 0.9,
            freezes: 2,
            psnr_db: 28.0,
            concealed_ratio: 0.1,
            av_offset_ms: 120.0,
        }
    }
}

impl Report {
    /// Judges the figures: fills in `pass` and `reasons`.
    pub(crate) fn judge(&mut self, expected: &Expectations) {
        let mut reasons = Vec::new();
        if let Some(video) = &self.video {
            video.judge(expected, &mut reasons);
        }
        if let Some(audio) = &self.audio {
            audio.judge(expected, &mut reasons);
        }
        if let Some(offset) = &self.av_offset_ms
            && offset.p95 > expected.av_offset_ms
        {
            reasons.push(format!(
                "picture and sound are {:.0} ms apart at p95, more than {:.0}",
                offset.p95, expected.av_offset_ms
            ));
        }
        self.pass = reasons.is_empty();
        self.reasons = reasons;
    }
}

impl VideoReport {
    fn judge(&self, expected: &Expectations, reasons: &mut Vec<String>) {
        if self.frames_decoded == 0 {
            reasons.push("no picture arrived".to_owned());
            return;
        }
        let share = self.frames_decoded as f64 / self.frames_sent.max(1) as f64;
        if share < expected.frames {
            reasons.push(format!(
                "only {} of {} pictures arrived",
                self.frames_decoded, self.frames_sent
            ));
        }
        if self.frames_unreadable * 50 > self.frames_decoded {
            reasons.push(format!(
                "{} pictures were too damaged to read",
                self.frames_unreadable
            ));
        }
        if self.freezes > expected.freezes {
            reasons.push(format!(
                "the picture froze {} times, for {:.0} ms at the longest",
                self.freezes, self.longest_gap_ms
            ));
        }
        if let Some(psnr) = self.psnr_db
            && psnr < expected.psnr_db
        {
            reasons.push(format!(
                "the picture is blurred: {psnr:.1} dB, less than {:.0}",
                expected.psnr_db
            ));
        }
    }
}

impl AudioReport {
    fn judge(&self, expected: &Expectations, reasons: &mut Vec<String>) {
        if self.received == 0.0 {
            reasons.push("no sound arrived".to_owned());
            return;
        }
        if self.pitch_ok == Some(false) {
            reasons.push("the sound does not have the pitch that was sent".to_owned());
        }
        if self.concealed_ratio > expected.concealed_ratio {
            reasons.push(format!(
                "{:.1} % of the sound was made up for what did not arrive",
                self.concealed_ratio * 100.0
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let times = Some(Distribution {
            p50: 10.0,
            p95: 12.0,
            max: 20.0,
        });
        Report {
            pass: false,
            reasons: Vec::new(),
            duration_s: 10.0,
            video: Some(VideoReport {
                width: 1280,
                height: 720,
                frames_sent: 300,
                frames_decoded: 300,
                frames_unreadable: 0,
                fps: 30.0,
                first_frame_ms: Some(60.0),
                latency_ms: times,
                freezes: 0,
                longest_gap_ms: 40.0,
                psnr_db: Some(38.0),
            }),
            audio: Some(AudioReport {
                received: 10.0,
                latency_ms: times,
                concealed_ratio: 0.0,
                pitch_ok: Some(true),
                pitch_hz: Some(440.0),
                beeps: 10,
            }),
            av_offset_ms: OffsetReport::of(&[-3.0, 5.0]),
            cpu: CpuReport {
                cores: 0.5,
                codec_floor_cores: Some(0.4),
            },
            memory: MemoryReport { peak_rss_mb: 90.0 },
        }
    }

    #[test]
    fn a_good_call_passes_and_each_fault_has_its_reason() {
        let expected = Expectations::default();
        let mut report = good();
        report.judge(&expected);
        assert!(report.pass, "{:?}", report.reasons);

        type Spoil = fn(&mut Report);
        let faults: [(&str, Spoil); 7] = [
            ("no picture", |r| {
                r.video.as_mut().unwrap().frames_decoded = 0
            }),
            ("only 200", |r| {
                r.video.as_mut().unwrap().frames_decoded = 200
            }),
            ("froze", |r| r.video.as_mut().unwrap().freezes = 3),
            ("blurred", |r| {
                r.video.as_mut().unwrap().psnr_db = Some(20.0)
            }),
            ("no sound", |r| r.audio.as_mut().unwrap().received = 0.0),
            ("pitch", |r| {
                r.audio.as_mut().unwrap().pitch_ok = Some(false)
            }),
            ("apart", |r| r.av_offset_ms = OffsetReport::of(&[300.0])),
        ];
        for (words, spoil) in faults {
            let mut report = good();
            spoil(&mut report);
            report.judge(&expected);
            assert!(!report.pass);
            assert!(report.reasons[0].contains(words), "{:?}", report.reasons);
        }
    }

    #[test]
    fn percentiles_are_of_the_sample() {
        let mut times = Histogram::new(3).unwrap();
        (1..=100).for_each(|ms| times.record(ms * 1_000).unwrap());
        let distribution = Distribution::of(&times).unwrap();
        assert!((distribution.p50 - 50.0).abs() < 0.1 && (distribution.p95 - 95.0).abs() < 0.1);
        let offsets: Vec<f64> = (-50..50).map(f64::from).collect();
        let offset = OffsetReport::of(&offsets).unwrap();
        assert_eq!((offset.p50, offset.p95), (-1.0, 47.0));
    }
}
