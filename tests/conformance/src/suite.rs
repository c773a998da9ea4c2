//! All files, one after the other.

use crate::{Checkout, Expectations, Outcome, PageError, Report, Verdict, run};
use std::time::Duration;

/// Why the files could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The checkout cannot be read.
    #[error("the checkout: {0}")]
    Checkout(#[from] std::io::Error),
    /// The engine, or our glue.
    #[error(transparent)]
    Page(#[from] PageError),
}

/// Runs every file of the directories that there are expectations of, if its path is `chosen`.
/// `heard` is told how each went.
///
/// # Errors
/// [`SuiteError`]. What is not as expected is in the report.
pub fn run_all(
    checkout: &Checkout,
    expectations: &Expectations,
    chosen: impl Fn(&str) -> bool,
    mut heard: impl FnMut(&str, &Outcome),
) -> Result<Report, SuiteError> {
    let mut report = Report::default();
    for directory in expectations.directories() {
        for path in checkout.list(directory)?.iter().filter(|path| chosen(path)) {
            let expected = expectations.of(path);
            if let Some(reason) = &expected.skip {
                report.skip(path, reason);
                continue;
            }
            let file = match checkout.read(path) {
                Ok(file) => file,
                Err(error) => {
                    report.fail(path, error.to_string());
                    continue;
                }
            };
            let patience = match (path.starts_with("webrtc/"), file.long) {
                (true, false) => OF_CALLS,
                (true, true) => OF_LONG_CALLS,
                (false, true) => LONG,
                (false, false) => USUAL,
            };
            let outcome = run(&file, checkout, &expected.user, patience)?;
            heard(path, &outcome);
            report.add(path, Verdict::of(&outcome, &expected));
        }
    }
    report.expect_all(expectations, chosen);
    Ok(report)
}

/// How long a file may take, as the tests' own runner has it.
const USUAL: Duration = Duration::from_secs(10);
/// One that makes calls: less than its runner's patience for long ones, and more than for others.
const OF_CALLS: Duration = Duration::from_secs(20);
const OF_LONG_CALLS: Duration = Duration::from_secs(40);
/// And one that asks for more.
const LONG: Duration = Duration::from_secs(60);
