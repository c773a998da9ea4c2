//! Duet as a peer of the rivals' benchmark; `bench/rivals/README.md` has the protocol. It leans on the
//! facade crate alone, as any program would.
//!
//! `duet-bench-peer send CLIP` or `duet-bench-peer recv CLIP`, with JSON lines on standard input and
//! output.

mod barcode;
mod clip;
mod receive;
mod sound;

use clip::Clip;
use duet::media::{MediaStream, MonotonicClock};
use duet::peer::{
    NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCError,
    RTCIceCandidateInit, RTCPeerConnection, RTCRtpEncodingParameters, RTCRtpTransceiverDirection,
    RTCRtpTransceiverInit, RTCSdpType, RTCSessionDescription,
};
use receive::Receiver;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader};

/// The cap on video that the benchmark asks of everybody, unless `RIVALS_MAX_KBPS` says otherwise.
const MAX_KBPS: u32 = 2_000;

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Command { cmd: String },
    Signal(Signal),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Signal {
    Offer { sdp: String },
    Answer { sdp: String },
    Ice { candidate: String, mline: u16 },
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (role, clip) = match words.as_slice() {
        [role, clip] if role == "send" || role == "recv" => (role.as_str(), PathBuf::from(clip)),
        _ => {
            eprintln!("usage: duet-bench-peer send|recv CLIP");
            return ExitCode::from(2);
        }
    };
    match run(role == "send", clip).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            emit(&json!({ "type": "error", "message": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

async fn run(sends: bool, clip: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(MonotonicClock::new());
    let max_bitrate = match std::env::var("RIVALS_MAX_KBPS") {
        Ok(kbps) => kbps.parse::<u32>()?,
        Err(_) => MAX_KBPS,
    }
    .saturating_mul(1_000);
    let mut context = PeerContext::new(clock.clone());
    context.network = NetworkPolicy::All;
    context.mdns = true;
    context.max_bitrate = max_bitrate.saturating_add(64_000);
    if let Ok(kbps) = std::env::var("RIVALS_START_KBPS") {
        context.start_bitrate = kbps.parse::<u32>()?.saturating_mul(1_000);
    }
    let connection = RTCPeerConnection::new(RTCConfiguration::default(), context).await?;
    let mut events = connection.events();
    let receiver = Receiver::new();
    let mut sinks = Vec::new();
    let mut playing = None;
    let clip = if sends {
        Some(Clip::open(&clip, clock)?)
    } else {
        None
    };
    emit(&json!({ "type": "ready" }));

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { break };
                match serde_json::from_str(&line) {
                    Ok(Message::Command { cmd }) => match (cmd.as_str(), &clip) {
                        ("start", Some(clip)) => {
                            eprintln!("{:.1} start", epoch_ms());
                            offer(&connection, &clip.stream, max_bitrate).await?;
                            playing = Some(clip.play());
                        }
                        ("mark", _) => receiver.forget(),
                        ("speak", Some(clip)) => clip.voice.speak(),
                        ("stop", Some(clip)) => emit(&json!({ "type": "result", "said": clip.voice.said() })),
                        ("stop", None) => emit(&receiver.result()?),
                        ("stat", _) => emit(&stat(&connection, sends, &receiver).await?),
                        _ => {}
                    },
                    Ok(Message::Signal(signal)) => on_signal(&connection, signal).await?,
                    Err(error) => eprintln!("not a message of the benchmark: {error}"),
                }
            }
            Some(event) = events.recv() => match event {
                PeerConnectionEvent::IceCandidate(Some(candidate)) => emit(&serde_json::to_value(Signal::Ice {
                    candidate: candidate.candidate,
                    mline: candidate.sdp_mline_index.unwrap_or(0),
                })?),
                PeerConnectionEvent::Track(event) => sinks.push(event.track.add_sink(receiver.clone())),
                PeerConnectionEvent::ConnectionStateChange(state) => eprintln!("{:.1} {state}", epoch_ms()),
                _ => {}
            },
        }
    }
    drop(playing);
    drop(sinks);
    connection.close().await;
    Ok(())
}

async fn offer(
    connection: &RTCPeerConnection,
    stream: &MediaStream,
    max_bitrate: u32,
) -> Result<(), RTCError> {
    for track in stream.get_tracks() {
        let encoding = RTCRtpEncodingParameters {
            max_bitrate: Some(max_bitrate),
            ..RTCRtpEncodingParameters::default()
        };
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::SendOnly,
            streams: vec![stream.clone()],
            send_encodings: vec![encoding],
        };
        connection.add_transceiver_with_track(&track, init).await?;
    }
    connection.set_local_description(None).await?;
    describe(connection).await;
    Ok(())
}

async fn on_signal(connection: &RTCPeerConnection, signal: Signal) -> Result<(), RTCError> {
    eprintln!(
        "{:.1} {}",
        epoch_ms(),
        match signal {
            Signal::Offer { .. } => "offer",
            Signal::Answer { .. } => "answer",
            _ => "ice",
        }
    );
    match signal {
        Signal::Offer { sdp } => {
            let offer = RTCSessionDescription::new(RTCSdpType::Offer, sdp);
            connection.set_remote_description(offer).await?;
            connection.set_local_description(None).await?;
            describe(connection).await;
        }
        Signal::Answer { sdp } => {
            let answer = RTCSessionDescription::new(RTCSdpType::Answer, sdp);
            connection.set_remote_description(answer).await?;
        }
        Signal::Ice { candidate, mline } => {
            let candidate = RTCIceCandidateInit {
                candidate,
                sdp_mline_index: Some(mline),
                ..RTCIceCandidateInit::default()
            };
            if let Err(error) = connection.add_ice_candidate(Some(candidate)).await {
                eprintln!("a candidate was refused: {error}");
            }
        }
    }
    Ok(())
}

async fn describe(connection: &RTCPeerConnection) {
    if let Some(description) = connection.local_description().await {
        let sdp = description.sdp;
        let signal = match description.sdp_type {
            RTCSdpType::Offer => Signal::Offer { sdp },
            _ => Signal::Answer { sdp },
        };
        emit(&json!(signal));
    }
}

/// The call's totals, out of its statistics.
async fn stat(
    connection: &RTCPeerConnection,
    sends: bool,
    receiver: &Receiver,
) -> Result<Value, serde_json::Error> {
    let report = serde_json::to_value(connection.get_stats().await.ok())?;
    let (direction, bytes, packets) = if sends {
        ("outbound-rtp", "bytesSent", "packetsSent")
    } else {
        ("inbound-rtp", "bytesReceived", "packetsReceived")
    };
    let total = |kind: &str, member: &str| -> u64 {
        let all = report.as_array().into_iter().flatten();
        let ours = all.filter(|s| s["type"] == direction && s["kind"] == kind);
        ours.filter_map(|s| s[member].as_u64()).sum()
    };
    let mut stat = json!({
        "type": "stat",
        "video_bytes": total("video", bytes),
        "audio_packets": total("audio", packets),
        "audio_bytes": total("audio", bytes),
        "report": report,
    });
    if !sends {
        stat["heard"] = receiver.heard().into();
        stat["concealed"] = total("audio", "concealedSamples").into();
        stat["samples"] = total("audio", "totalSamplesReceived").into();
    }
    Ok(stat)
}

/// Writes a line to standard output, whole.
pub(crate) fn emit(message: &Value) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // A kit that no longer listens has ended the call.
    let _ = writeln!(out, "{message}").and_then(|()| out.flush());
}

/// Milliseconds since the Unix epoch.
pub(crate) fn epoch_ms() -> f64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs_f64() * 1_000.0
}
