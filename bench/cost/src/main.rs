//! What a frame's way costs, in processor time, copies and allocations; `docs/performance.md` has what
//! it said last. `script/bench` builds it with optimisation and runs it.
//!
//! Timings are printed, never judged. What is judged is what does not depend on the machine: a program
//! that allocates in the steady state, copies twice, or loses a picture ends with 1.

mod cpu;
mod look;
mod raw;
mod recorder;
mod sight;
mod sight_received;
mod sound;
mod steady;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What went wrong, in sentences; nothing is good.
type Faults = Vec<String>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let seconds = |word: &str| word.parse().ok().filter(|s| (2..=3_600).contains(s));
    let faults = match words.as_slice() {
        ["frames"] => frames(8),
        ["frames", word] if let Some(seconds) = seconds(word) => frames(seconds),
        ["recorder"] => recorder::run(30),
        ["recorder", word] if let Some(seconds) = seconds(word) => recorder::run(seconds),
        _ => {
            eprintln!("usage: duet-bench-cost frames|recorder [SECONDS, 2 to 3600]");
            return ExitCode::from(2);
        }
    };
    for fault in &faults {
        eprintln!("FAULT: {fault}");
    }
    ExitCode::from(u8::from(!faults.is_empty()))
}

/// Every way of a frame, each for so many seconds.
fn frames(seconds: u32) -> Faults {
    let mut faults = sight::run(seconds);
    faults.extend(sight_received::run(seconds));
    faults.extend(sound::run(seconds));
    faults
}
