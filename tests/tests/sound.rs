//! The program with a real microphone and a real speaker, as the system's sound server has them.

use duet_tests::{Call, PATIENCE, Server, SoundServer};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// What the sound server itself sings, in Hz.
const SUNG_HZ: f64 = 523.0;
/// And after it was started anew.
const SUNG_LATER_HZ: f64 = 659.0;

/// A throat that sings, and a loudspeaker. The microphones are the monitors of both.
fn devices(hz: f64) -> [String; 5] {
    [
        "load-module module-null-sink sink_name=throat rate=48000 channels=2".into(),
        format!("load-module module-sine sink=throat frequency={hz}"),
        "load-module module-null-sink sink_name=loudspeaker rate=48000 channels=2".into(),
        "set-default-sink loudspeaker".into(),
        "set-default-source loudspeaker.monitor".into(),
    ]
}

/// The sound server is killed in mid-call and comes back with another song: it is heard all the way round,
/// through two microphones and a speaker that are open again.
#[test]
fn a_call_outlives_the_sound_server() {
    let first = devices(SUNG_HZ);
    let mut sound = SoundServer::with_devices(&first.each_ref().map(String::as_str));
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let report_words = report.display().to_string();
    let mut near = Call::to(server.url())
        .sound(&sound)
        .microphone("device:pulseaudio:throat.monitor")
        .camera("none")
        .with(["--name", "Near", "--verify", "--report", &report_words])
        .with(["--duration", "60s"])
        .start();
    near.wait_for("nobody else", PATIENCE);
    let mut far = Call::to(server.url())
        .sound(&sound)
        .microphone("default")
        .speaker("default")
        .camera("none")
        .with(["--name", "Far", "--duration", "15s"])
        .start();
    far.wait_for("playing on", PATIENCE);
    far.wait_for("in a call with Near", PATIENCE);
    let second = devices(SUNG_LATER_HZ);
    sound.restart(&second.each_ref().map(String::as_str));
    let ended = far.finish(PATIENCE);
    assert!(ended.status.success(), "{}", ended.said);
    near.wait_for("Far left", PATIENCE);
    near.interrupt();
    near.finish(PATIENCE);
    assert_sung(&report, SUNG_LATER_HZ);
}

/// What came back where it was sung.
fn assert_sung(report: &Path, sung: f64) {
    let text = std::fs::read_to_string(report).expect("the endpoint leaves a report");
    let report: Value = serde_json::from_str(&text).expect("the report is JSON");
    let audio = &report["audio"];
    let hz = audio["pitch_hz"].as_f64().unwrap_or(f64::NAN);
    assert!((hz - sung).abs() < sung * 0.02, "{report}");
    let seconds = Duration::from_secs_f64(audio["received"].as_f64().unwrap_or(0.0));
    assert!(seconds > Duration::from_secs(3), "{report}");
}

/// A tone is sung into the first microphone, played on the other side's speaker, heard there by the
/// second microphone, and read back where it came from. The microphones are the speakers' monitors, which
/// are left as they are: of others the echo would be taken out, and that tone with it.
#[test]
fn a_tone_goes_through_both_microphones_and_a_speaker_and_comes_back() {
    let lines = devices(SUNG_HZ);
    let sound = SoundServer::with_devices(&lines.each_ref().map(String::as_str));
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let report_words = report.display().to_string();
    let mut near = Call::to(server.url())
        .sound(&sound)
        .microphone("device:pulseaudio:throat.monitor")
        .camera("none")
        .with(["--name", "Near", "--verify", "--report", &report_words])
        .with(["--duration", "60s"])
        .start();
    near.wait_for("nobody else", PATIENCE);
    let mut far = Call::to(server.url())
        .sound(&sound)
        .microphone("default")
        .speaker("default")
        .camera("none")
        .with(["--name", "Far", "--duration", "8s"])
        .start();
    far.wait_for("playing on", PATIENCE);
    far.wait_for("in a call with Near", PATIENCE);
    let ended = far.finish(PATIENCE);
    assert!(ended.status.success(), "{}", ended.said);
    near.wait_for("Far left", PATIENCE);
    near.interrupt();
    near.finish(PATIENCE);

    assert_sung(&report, SUNG_HZ);
}
