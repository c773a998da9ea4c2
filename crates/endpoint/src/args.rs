//! The command line: what may be said, and what is said back when it makes no sense.

use crate::ways::{Ways, ice_server};
use clap::{Args, Parser, Subcommand, ValueHint};
use duet_devices::SourceSpec;
use duet_peer::RTCIceServer;
use duet_signaling::message::MAX_NAME_CHARS;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The browser's media model without the browser: camera and microphone in a WebRTC call.
#[derive(Debug, Parser)]
#[command(
    name = "duet",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Tell less: warnings and errors only. RUST_LOG says it finer.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the signaling server, with the browser client inside it.
    Serve(Serve),
    /// Join a room, and be in a call with whoever is there or comes.
    Call(Call),
    /// Record camera and microphone to a WebM file.
    Record(Record),
    /// List cameras, microphones and speakers.
    Devices(Devices),
    /// Call oneself over real sockets, and judge what arrived.
    Loopback(Loopback),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  duet completions bash > /etc/bash_completion.d/duet")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  duet serve                                   http://localhost:8080, for browsers on this machine
  duet serve --listen 0.0.0.0:8443 --tls-self-signed
  duet serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  duet serve --camera default --microphone default     and prints a URL for <video>, ffplay or VLC")]
pub(crate) struct Serve {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub(crate) tls_key: Option<PathBuf>,
    /// HTTPS with a certificate made on the spot. Browsers will ask before they trust it.
    #[arg(long, conflicts_with = "tls_cert")]
    pub(crate) tls_self_signed: bool,
    /// A STUN or TURN server that clients are told of; may be given several times.
    /// TURN takes its credentials in the URL: turn:USER:PASSWORD@HOST:PORT.
    #[arg(long = "ice-server", value_name = "URL", value_parser = ice_server)]
    pub(crate) ice_servers: Vec<RTCIceServer>,
    /// How many may be in a room.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=16))]
    pub(crate) room_size: u16,
    /// Another origin whose pages may connect, as https://example.org; may be given several times.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allow_origins: Vec<String>,
    #[command(flatten, next_help_heading = "A live stream under a URL")]
    pub(crate) live: Live,
}

/// What is shown under a URL, if anything is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Live {
    /// Show this camera: default, none, synthetic, file:PATH, once:PATH or device:ID. The URL is printed on
    /// standard output; whoever knows it sees and hears, until the server ends.
    #[arg(long, default_value = "none", value_name = "SOURCE", value_parser = source)]
    pub(crate) camera: SourceSpec,
    /// Let this microphone be heard.
    #[arg(long, default_value = "none", value_name = "SOURCE", value_parser = source)]
    pub(crate) microphone: SourceSpec,
    #[command(flatten)]
    pub(crate) picture: Picture,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Sources: default, none, synthetic, file:PATH (Y4M, WAV, WebM, IVF or Ogg Opus, in a loop),
once:PATH (not in a loop), device:ID; for a picture also screen, screen:NAME or window:TITLE
(under X11; see `duet devices`).

Examples:
  duet call demo --server http://localhost:8080
  duet call demo --server https://example.org --camera synthetic --microphone synthetic --speaker none
  duet call demo --server http://localhost:8080 --camera file:clip.y4m --microphone none --duration 30s
  duet call demo --server http://localhost:8080 --camera file:talk.webm --microphone file:talk.webm --record them.webm
  duet call demo --server http://localhost:8080 --camera synthetic --microphone synthetic --verify --duration 20s
  duet call demo --server https://example.org --ice-server turns:ann:secret@turn.example:443 --ice-transport-policy relay"
)]
pub(crate) struct Call {
    /// The room: 1 to 64 letters, digits, - or _.
    #[arg(value_parser = room_name)]
    pub(crate) room: String,
    /// The signaling server: an http, https, ws or wss URL.
    #[arg(long, value_name = "URL", value_parser = server_url, value_hint = ValueHint::Url)]
    pub(crate) server: Url,
    #[command(flatten)]
    pub(crate) media: MediaArgs,
    /// Where to play the other side: default, none, or a device id.
    #[arg(long, default_value = "default", value_name = "DEVICE|none")]
    pub(crate) speaker: String,
    /// The name that the other side sees.
    #[arg(long, value_name = "NAME", value_parser = display_name)]
    pub(crate) name: Option<String>,
    /// Hang up after so long, as 90s, 5m, 1h or 500ms.
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Record what the other side sends to this WebM file. Who comes back or comes later gets a file of
    /// its own, with a number in its name.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,
    /// Show statistics once a second on standard output: a table at a terminal, else lines.
    #[arg(long)]
    pub(crate) stats: bool,
    /// Write statistics to this file, a JSON object a line and second.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) stats_file: Option<PathBuf>,
    /// Read back the test picture and tone that the other side sends (another Duet's synthetic
    /// sources), print a verdict at the end, and exit with 1 if they did not arrive intact.
    #[arg(long, requires = "duration")]
    pub(crate) verify: bool,
    /// With --verify: write the verdict to this file, as JSON.
    #[arg(long, value_name = "FILE", requires = "verify", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// Accept a certificate that nobody vouches for. For self-made ones, in tests.
    #[arg(long)]
    pub(crate) insecure: bool,
    #[command(flatten, next_help_heading = "The way to the other side")]
    pub(crate) ways: Ways,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The file is WebM, with VP8 and Opus. What was recorded before a crash can be played.
It ends with Ctrl-C, after --duration, or with its sources.

Examples:
  duet record talk.webm
  duet record talk.webm --camera synthetic --microphone synthetic --duration 10s
  duet record talk.webm --camera screen --size 1920x1080 --frame-rate 15
  duet record picture.webm --microphone none --size 1920x1080 --video-kbps 5000
  duet record talk.webm --camera once:talk.y4m --microphone once:talk.wav"
)]
pub(crate) struct Record {
    /// The file to write; one that is there is written anew.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) media: MediaArgs,
    /// Stop after so long, as 90s, 5m, 1h or 500ms.
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  duet devices\n  duet devices --json")]
pub(crate) struct Devices {
    /// As one JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 if media arrived intact, 1 if not, 2 for a usage error.

Examples:
  duet loopback
  duet loopback --duration 60s --json
  duet loopback --camera file:clip.y4m --microphone none
  duet loopback --ice-server turn:ann:secret@turn.example --ice-transport-policy relay"
)]
pub(crate) struct Loopback {
    /// How long, as 90s, 5m, 1h or 500ms.
    #[arg(long, default_value = "10s", value_name = "T", value_parser = duration)]
    pub(crate) duration: Duration,
    /// The camera.
    #[arg(long, default_value = "synthetic", value_name = "SOURCE", value_parser = source)]
    pub(crate) camera: SourceSpec,
    /// The microphone.
    #[arg(long, default_value = "synthetic", value_name = "SOURCE", value_parser = source)]
    pub(crate) microphone: SourceSpec,
    #[command(flatten)]
    pub(crate) picture: Picture,
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write statistics to this file, a JSON object a line and second.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) stats_file: Option<PathBuf>,
}

/// What is captured.
#[derive(Debug, Args)]
pub(crate) struct MediaArgs {
    /// The camera.
    #[arg(long, default_value = "default", value_name = "SOURCE", value_parser = source)]
    pub(crate) camera: SourceSpec,
    /// The microphone.
    #[arg(long, default_value = "default", value_name = "SOURCE", value_parser = source)]
    pub(crate) microphone: SourceSpec,
    #[command(flatten)]
    pub(crate) picture: Picture,
}

/// How large and how fast the picture is wanted.
#[derive(Debug, Clone, Args)]
pub(crate) struct Picture {
    /// The picture's size, as 1280x720.
    #[arg(long, default_value = "1280x720", value_name = "WxH", value_parser = size)]
    pub(crate) size: (u32, u32),
    /// Frames a second.
    #[arg(long, default_value_t = 30, value_name = "FPS", value_parser = clap::value_parser!(u16).range(1..=120))]
    pub(crate) frame_rate: u16,
    /// At most so many kilobits of video a second.
    #[arg(long, default_value_t = 2_000, value_name = "KBPS", value_parser = clap::value_parser!(u32).range(50..=50_000))]
    pub(crate) video_kbps: u32,
}

fn source(text: &str) -> Result<SourceSpec, String> {
    SourceSpec::parse(text).map_err(|error| error.to_string())
}

fn room_name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a room's name has 1 to 64 letters, digits, - or _".to_owned())
    }
}

fn display_name(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_NAME_CHARS).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a name has 1 to {MAX_NAME_CHARS} characters, none of them a control character"
        ))
    }
}

fn server_url(text: &str) -> Result<Url, String> {
    let expected = "expected a URL such as http://localhost:8080 or https://example.org";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") || url.host().is_none() {
        return Err(expected.to_owned());
    }
    Ok(url)
}

fn duration(text: &str) -> Result<Duration, String> {
    let expected = "expected a time such as 500ms, 90s, 5m or 1h, above zero and up to a week";
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| expected.to_owned())?;
    let seconds = match &text[digits..] {
        "ms" => number / 1_000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(expected.to_owned()),
    };
    if !(0.001..=604_800.0).contains(&seconds) {
        return Err(expected.to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let expected = "expected WIDTHxHEIGHT, such as 1280x720, from 16x16 to 4096x2304";
    let (width, height) = text.split_once('x').ok_or(expected)?;
    match (width.parse(), height.parse()) {
        (Ok(w), Ok(h)) if (16..=4096).contains(&w) && (16..=2304).contains(&h) => Ok((w, h)),
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_and_sizes_are_read_or_refused() {
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "s", "-1s", "0", "1 day", "1e9h", "999999h", "é"] {
            assert!(duration(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(size("640x360"), Ok((640, 360)));
        for bad in ["640", "0x0", "640x", "99999x99999", "-1x-1"] {
            assert!(size(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_senseless_call_is_a_usage_error() {
        for bad in [
            ["call", "no spaces", "--server", "http://localhost"].as_slice(),
            &["call", "demo", "--server", "localhost"],
            &["call", "demo", "--server", "ftp://localhost"],
            &[
                "call",
                "demo",
                "--server",
                "http://localhost",
                "--camera",
                "webcam",
            ],
            &[
                "call",
                "demo",
                "--server",
                "http://localhost",
                "--duration",
                "soon",
            ],
            &["serve", "--tls-cert", "only-half.pem"],
            &["loopback", "--size", "huge"],
            &["loopback", "--ice-server", "turn:nobody@turn.example"],
            &["loopback", "--ice-server", "stuns:stun.example"],
            &["loopback", "--ice-transport-policy", "none"],
            &["serve", "--ice-server", "http://turn.example"],
        ] {
            let error = Cli::try_parse_from(["duet"].iter().chain(bad)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad:?}");
        }
    }
}
