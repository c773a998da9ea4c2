//! The verdict in words, and its figures from the statistics.

use crate::failure::Failure;
use crate::report::Report;
use std::fmt::Write;
use std::path::Path;

/// The verdict for a person.
pub(crate) fn verdict(report: &Report) -> String {
    let mut text = String::new();
    if let Some(video) = &report.video {
        let _ = write!(
            text,
            "picture  {}x{}, {} of {} frames, {:.1}/s, {} freezes",
            video.width,
            video.height,
            video.frames_decoded,
            video.frames_sent,
            video.fps,
            video.freezes
        );
        if let Some(ms) = video.first_frame_ms {
            let _ = write!(text, ", first after {ms:.0} ms");
        }
        if let Some(latency) = video.latency_ms {
            let _ = write!(
                text,
                ", latency {:.0} ms (p95 {:.0})",
                latency.p50, latency.p95
            );
        }
        if let Some(psnr) = video.psnr_db {
            let _ = write!(text, ", {psnr:.1} dB");
        }
        text.push('\n');
    }
    if let Some(audio) = &report.audio {
        let _ = write!(
            text,
            "sound    {:.1} s, {:.1} % made up, pitch {}",
            audio.received,
            audio.concealed_ratio * 100.0,
            match audio.pitch_ok {
                Some(true) => "right",
                Some(false) => "wrong",
                None => "not known",
            }
        );
        if let Some(latency) = audio.latency_ms {
            let _ = write!(
                text,
                ", latency {:.0} ms (p95 {:.0})",
                latency.p50, latency.p95
            );
        }
        text.push('\n');
    }
    if let Some(offset) = report.av_offset_ms {
        let _ = writeln!(
            text,
            "lip-sync {:+.0} ms (p95 {:.0})",
            offset.p50, offset.p95
        );
    }
    let _ = write!(text, "cost     {:.2} cores", report.cpu.cores);
    if let Some(floor) = report.cpu.codec_floor_cores {
        let _ = write!(text, " ({floor:.2} of it codecs)");
    }
    let _ = writeln!(text, ", {:.0} MB", report.memory.peak_rss_mb);
    if report.pass {
        text.push_str("PASS: media arrived intact");
    } else {
        let _ = write!(text, "FAIL: {}", report.reasons.join("; "));
    }
    text
}

/// Whether a verdict can be written to a file: better known before the call than after it.
pub(crate) fn check_report(path: &Path) -> Result<(), Failure> {
    let part = part_of(path);
    let made = std::fs::write(&part, "").and_then(|()| std::fs::remove_file(&part));
    let why = match made {
        Ok(()) if !path.is_dir() => return Ok(()),
        Ok(()) => "it is a folder".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Failure::usage(format_args!(
        "--report {}: expected a file that can be written: {why}",
        path.display()
    )))
}

/// Where it is written before it is whole.
fn part_of(path: &Path) -> std::path::PathBuf {
    path.with_extension("part")
}

/// Writes the verdict to a file, whole or not at all, for whoever waits for it.
pub(crate) fn write_report(path: &Path, report: &Report) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format_args!("cannot write {}: {error}", path.display()))
    };
    let json = serde_json::to_string(report).map_err(|error| failed(&error))?;
    let part = part_of(path);
    std::fs::write(&part, json).map_err(|error| failed(&error))?;
    std::fs::rename(&part, path).map_err(|error| failed(&error))
}
