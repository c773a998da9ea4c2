//! The program `duet`. Each command has a file of its own; this one only chooses.

mod args;
mod call;
mod codec_floor;
mod devices;
mod failure;
mod local;
mod loopback;
mod probe;
mod record;
mod report;
mod resources;
mod serve;
mod speaker;
mod statistics;
mod stats_file;
mod stats_table;
mod tell;
mod ways;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use std::process::ExitCode;
use tell::Tell;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tell::start_log(cli.quiet);
    let tell = Tell::new(cli.quiet);
    match run(cli.command, &tell) {
        Ok(code) => code,
        Err(failure) => {
            tell.warn(format_args!("duet: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(command: Command, tell: &Tell) -> Result<ExitCode, Failure> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "duet", &mut script);
            tell::print(String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Devices(options) => devices::run(&options),
        Command::Serve(options) => runtime()?.block_on(serve::run(options, tell)),
        Command::Call(options) => runtime()?.block_on(call::run(options, tell)),
        Command::Record(options) => runtime()?.block_on(record::run(options, tell)),
        Command::Loopback(options) => runtime()?.block_on(loopback::run(options, tell)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // Two workers carry any number of calls that one machine can encode; more would only wake each other.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the system grants no threads: {error}")))
}
