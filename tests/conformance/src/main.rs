//! `duet-conformance PATH-TO-WPT`: runs the tests, prints the table, and fails if anything is not as the
//! expectations say.

use clap::Parser;
use duet_conformance::{Checkout, Expectations, Outcome, run_all};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the W3C's tests of media capture and of WebRTC on Duet's model.
#[derive(Parser)]
struct Options {
    /// A checkout of web-platform-tests.
    checkout: PathBuf,
    /// Only files whose path contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// What to hold the outcome against, if not what this program was built with.
    #[arg(long)]
    expectations: Option<PathBuf>,
    /// Also say how each test went, of files that are not whole.
    #[arg(long)]
    verbose: bool,
    /// Write the table to this file as well.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match conform(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn conform(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    let checkout = Checkout::open(&options.checkout)?;
    let expectations = match &options.expectations {
        Some(path) => Expectations::parse(&std::fs::read_to_string(path)?)?,
        None => Expectations::built_in()?,
    };
    let chosen = |path: &str| path.contains(&options.only);
    let began = std::time::Instant::now();
    let tell = |path: &str, outcome: &Outcome| {
        let (passed, all) = (outcome.passed(), outcome.tests.len());
        let seconds = began.elapsed().as_secs();
        eprintln!("{seconds:4} s  {passed:3} / {all:3}  {path}");
        if !options.verbose || outcome.is_whole() {
            return;
        }
        println!("{path}: {:?} {:?}", outcome.status, outcome.message);
        for test in &outcome.tests {
            println!("  {:?} {:?}: {:?}", test.status, test.name, test.message);
        }
    };
    let report = run_all(&checkout, &expectations, chosen, tell)?;
    let table = report.table();
    writeln!(std::io::stdout(), "{table}")?;
    if let Some(path) = &options.write {
        std::fs::write(path, format!("{PREFACE}{table}"))?;
    }
    let mut as_expected = true;
    for (path, surprise) in report.surprises() {
        eprintln!("{path}: {surprise}");
        as_expected = false;
    }
    Ok(as_expected)
}

const PREFACE: &str = include_str!("../preface.md");
