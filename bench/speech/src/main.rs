//! Speech through losses and jitter, written down as it is heard at the far side.
//!
//! `duet-bench-speech SPEECH.wav OUT [ROUNDS]` takes speech of one channel at 48 kHz, and writes a WAV file
//! for each link and player into `OUT`, and `OUT/traces.json`, which says what they are. Scoring them is
//! the business of `speech.py`. It is said once more than there are rounds: the first time is not scored.
//!
//! Packets go through a modelled link, sent as a call sends them, and what comes is played by our jitter
//! buffer and by the `neteq` crate, to the packet the same.

mod players;
mod trace;

use duet_session::sim::{Jitter, LinkConfig, Loss};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Hz.
const SAMPLE_RATE: u32 = 48_000;
/// Decides what is lost.
const SEED: u64 = 1;

/// What a link does, and how fast the speaker's sound card runs.
struct Scenario {
    name: &'static str,
    link: LinkConfig,
    card_hz: u32,
}

fn scenarios() -> Vec<Scenario> {
    let far = |loss, jitter| LinkConfig {
        delay: Duration::from_millis(50),
        jitter: Jitter::Uniform(Duration::from_millis(jitter)),
        loss,
        ..Default::default()
    };
    let scenario = |name, link| Scenario {
        name,
        link,
        card_hz: SAMPLE_RATE,
    };
    // Bursts of three packets on an average.
    let bursts = Loss::Burst {
        begin: 0.03,
        end: 0.33,
    };
    let overtaken = LinkConfig {
        reorder: 0.1,
        reorder_by: Duration::from_millis(60),
        ..far(Loss::None, 0)
    };
    vec![
        scenario("clean", far(Loss::None, 0)),
        scenario("5 % lost", far(Loss::Random(0.05), 0)),
        scenario("40 % lost", far(Loss::Random(0.4), 0)),
        scenario("8 % lost in bursts", far(bursts, 0)),
        scenario("jitter 30 ms", far(Loss::None, 30)),
        scenario("jitter 100 ms", far(Loss::None, 100)),
        scenario("5 % lost, jitter 30 ms", far(Loss::Random(0.05), 30)),
        scenario("10 % overtaken by up to 60 ms", overtaken),
        Scenario {
            card_hz: SAMPLE_RATE + 15,
            ..scenario("clock 312 ppm fast", far(Loss::None, 0))
        },
    ]
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (speech, out, rounds) = match &arguments[..] {
        [speech, out] => (speech, out, 1),
        [speech, out, rounds] => (speech, out, rounds.to_str().unwrap_or_default().parse()?),
        _ => return Err("duet-bench-speech SPEECH.wav OUT [ROUNDS]".into()),
    };
    let (speech, out) = (read(Path::new(speech))?, PathBuf::from(out));
    std::fs::create_dir_all(&out)?;
    let said = speech.repeat(rounds + 1);
    let seconds = |samples: usize| Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE));
    let span = Span {
        from: seconds(speech.len()),
        until: seconds(said.len()),
    };
    let mut runs = Vec::new();
    for scenario in scenarios() {
        let trace = trace::make(&said, &scenario.link, SEED, scenario.card_hz)?;
        let ours = players::ours(&trace.arrivals, &span)?;
        let theirs = players::neteq(&trace.arrivals, &span)?;
        for (player, heard) in [("duet", ours), ("neteq", theirs)] {
            let mut run = heard.keep(&out, scenario.name, player)?;
            run["begun_samples"] = json!(speech.len());
            run["card_hz"] = json!(scenario.card_hz);
            run["packets_with_copies"] = json!(trace.with_copies as f64 / trace.sent.max(1) as f64);
            runs.push(run);
        }
    }
    let told = json!({ "rounds": rounds, "runs": runs });
    std::fs::write(out.join("traces.json"), serde_json::to_vec_pretty(&told)?)?;
    Ok(())
}

/// The part of the speech that is scored: all but the first round, in which a jitter buffer gets to know
/// its path.
struct Span {
    from: Duration,
    until: Duration,
}

/// What was heard, from the moment on at which the first sample of the speech was said.
struct Heard {
    sound: Vec<f32>,
    counters: Value,
}

impl Heard {
    fn keep(&self, out: &Path, scenario: &str, player: &str) -> Result<Value, Failure> {
        let name = format!("{}.{player}.wav", scenario.replace([' ', '%', ','], ""));
        write(&out.join(&name), &self.sound)?;
        let mut run = self.counters.clone();
        run["scenario"] = json!(scenario);
        run["player"] = json!(player);
        run["file"] = json!(name);
        Ok(run)
    }
}

fn read(path: &Path) -> Result<Vec<f32>, Failure> {
    let mut wav = hound::WavReader::open(path)?;
    let spec = wav.spec();
    let (format, bits) = (spec.sample_format, spec.bits_per_sample);
    if (format, bits) != (hound::SampleFormat::Int, 16)
        || (spec.channels, spec.sample_rate) != (1, SAMPLE_RATE)
    {
        return Err("speech is of one channel of 16 bits at 48 kHz".into());
    }
    let samples: Result<Vec<i16>, _> = wav.samples().collect();
    let samples = samples?.into_iter();
    Ok(samples.map(|sample| f32::from(sample) / 32_768.0).collect())
}

fn write(path: &Path, sound: &[f32]) -> Result<(), Failure> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec)?;
    for sample in sound {
        wav.write_sample((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16)?;
    }
    wav.finalize()?;
    Ok(())
}
