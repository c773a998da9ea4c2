//! Runs the laboratory's experiments and prints what was measured, one line of JSON for each run; or
//! writes all of it, with how each run went, into a file.

mod experiments;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use duet_network::Jitter;
use experiments::{ALL, Experiment, Measured, Setting, summary};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Runs the network laboratory's experiments: whole calls over modelled links, in virtual time.
///
/// With TIMELINE in the environment each tenth of a second of a run is told on standard error.
#[derive(Parser)]
struct Options {
    /// Which; all where none is named.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(ALL.iter().map(|it| it.name)))]
    names: Vec<String>,
    /// How often each is run, with seeds from the first one on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    runs: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What each datagram may take longer on every link, in milliseconds: a truncated Gaussian's size.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter: u64,
    /// How many runs go on at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// Where the numbers and time series go, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let wanted = |it: &&Experiment| {
        options.names.is_empty() || options.names.iter().any(|name| name == it.name)
    };
    let told: Vec<Value> = ALL
        .iter()
        .filter(wanted)
        .map(|experiment| tell(experiment, &options))
        .collect();
    let Some(path) = &options.json else {
        return ExitCode::SUCCESS;
    };
    let told = json!({ "jitter_ms": options.jitter, "experiments": told });
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, &told)?;
        file.flush()
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn tell(experiment: &Experiment, options: &Options) -> Value {
    let seeds: Vec<u64> = (0..options.runs).map(|n| options.seed + n).collect();
    let run = &|seed: &u64| {
        let started = Instant::now();
        let measured = (experiment.run)(Setting {
            seed: *seed,
            jitter: match options.jitter {
                0 => Jitter::None,
                most => Jitter::Gaussian(Duration::from_millis(most)),
            },
        });
        let took = started.elapsed().as_secs_f64();
        let rows = json!(measured.rows);
        println!("{}, seed {seed}: {rows} ({took:.1} s)", experiment.name);
        measured
    };
    let jobs = usize::try_from(options.jobs).unwrap_or(1);
    let together = |seeds: &[u64]| {
        thread::scope(|scope| {
            let begin = |seed| scope.spawn(move || run(seed));
            let begun: Vec<_> = seeds.iter().map(begin).collect();
            let end =
                |it: thread::ScopedJoinHandle<'_, Measured>| it.join().expect("an experiment");
            begun.into_iter().map(end).collect::<Vec<_>>()
        })
    };
    let runs: Vec<Measured> = seeds.chunks(jobs).flat_map(together).collect();
    let summary = summary(&runs);
    if options.runs > 1 {
        println!("{}, {} runs: {summary}", experiment.name, options.runs);
    }
    json!({
        "name": experiment.name,
        "title": experiment.title,
        "section": experiment.section,
        "seeds": seeds,
        "summary": summary,
        "runs": runs,
    })
}
