//! How the files fared against what was expected of them.

use crate::expectations::{Expectations, Expected};
use crate::harness::{HarnessStatus, Outcome, TestStatus};
use std::collections::BTreeMap;
use std::fmt::Write;

/// All files, and whether all is as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    files: BTreeMap<String, Verdict>,
}

/// How one file fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many of its tests passed.
    pub passed: usize,
    /// How many tests it has.
    pub all: usize,
    /// Why what did not pass did not.
    pub reasons: Vec<String>,
    /// What is not as expected, in sentences.
    pub surprises: Vec<String>,
}

impl Verdict {
    /// Holds a file's outcome against what was expected of it.
    pub fn of(outcome: &Outcome, expected: &Expected) -> Self {
        let mut surprises = Vec::new();
        let well = outcome.status == HarnessStatus::Ok;
        match (&expected.harness, well) {
            (None, false) => {
                let message = outcome
                    .message
                    .as_deref()
                    .unwrap_or("it did not come to an end");
                surprises.push(format!("the harness: {:?}, {message}", outcome.status));
            }
            (Some(_), true) => {
                surprises.push("the harness is well, and was not expected to be".into())
            }
            _ => {}
        }
        if outcome.tests.is_empty() {
            surprises.push("it has no tests".into());
        }
        for test in &outcome.tests {
            let passed = test.status == TestStatus::Pass;
            match (expected.misses.contains_key(&test.name), passed) {
                (true, true) => {
                    surprises.push(format!("\"{}\" passes, and was not expected to", test.name));
                }
                (false, false) => {
                    let message = test.message.as_deref().unwrap_or("");
                    surprises.push(format!("\"{}\": {:?}, {message}", test.name, test.status));
                }
                _ => {}
            }
        }
        for name in expected.misses.keys() {
            if outcome.tests.iter().all(|test| test.name != *name) {
                surprises.push(format!("\"{name}\" is expected to fail, and is not there"));
            }
        }
        let mut reasons: Vec<_> = expected.misses.values().cloned().collect();
        reasons.extend(expected.harness.clone());
        reasons.sort();
        reasons.dedup();
        Verdict {
            passed: outcome.passed(),
            all: outcome.tests.len(),
            reasons,
            surprises,
        }
    }

    fn skipped(reason: &str) -> Self {
        Verdict {
            passed: 0,
            all: 0,
            reasons: vec![reason.into()],
            surprises: Vec::new(),
        }
    }

    fn surprise(text: impl Into<String>) -> Self {
        Verdict {
            passed: 0,
            all: 0,
            reasons: Vec::new(),
            surprises: vec![text.into()],
        }
    }

    /// Whether every test of it passed.
    pub fn is_whole(&self) -> bool {
        self.all > 0 && self.passed == self.all && self.reasons.is_empty()
    }
}

impl Report {
    /// Notes how a file fared.
    pub fn add(&mut self, path: &str, verdict: Verdict) {
        self.files.insert(path.into(), verdict);
    }

    /// Notes a file that was not run.
    pub fn skip(&mut self, path: &str, reason: &str) {
        self.add(path, Verdict::skipped(reason));
    }

    /// Notes a file that could not be run, which is never expected.
    pub fn fail(&mut self, path: &str, why: impl Into<String>) {
        self.add(path, Verdict::surprise(why));
    }

    /// Notes the files that are listed and were not found.
    pub fn expect_all(&mut self, expectations: &Expectations, chosen: impl Fn(&str) -> bool) {
        for path in expectations.files().filter(|path| chosen(path)) {
            if !self.files.contains_key(&path) {
                self.fail(&path, "it is listed, and is not in the checkout");
            }
        }
    }

    /// What is not as expected, file by file.
    pub fn surprises(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.flat_map(|(path, verdict)| {
            let surprises = verdict.surprises.iter();
            surprises.map(move |surprise| (path.as_str(), surprise.as_str()))
        })
    }

    /// Tests that passed, and tests that ran.
    pub fn totals(&self) -> (usize, usize) {
        let files = self.files.values();
        files.fold((0, 0), |(passed, all), verdict| {
            (passed + verdict.passed, all + verdict.all)
        })
    }

    /// A table in Markdown, and a sentence that sums it up.
    pub fn table(&self) -> String {
        let (passed, all) = self.totals();
        let ran = self.files.values().filter(|verdict| verdict.all > 0);
        let (whole, ran) = ran.fold((0, 0), |(whole, ran), verdict| {
            (whole + usize::from(verdict.is_whole()), ran + 1)
        });
        let mut text = format!(
            "{passed} of {all} tests pass, in {ran} files, {whole} of them whole.\n\n\
             | file | passed | why not all |\n|---|---:|---|\n"
        );
        for (path, verdict) in &self.files {
            let count = match verdict.all {
                0 => "not run".to_string(),
                all => format!("{} / {all}", verdict.passed),
            };
            let reasons = verdict.reasons.join("; ");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| `{path}` | {count} | {reasons} |");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::TestResult;

    fn outcome(tests: &[(&str, TestStatus)]) -> Outcome {
        let tests = tests.iter().map(|(name, status)| TestResult {
            name: (*name).into(),
            status: *status,
            message: None,
        });
        Outcome {
            status: HarnessStatus::Ok,
            message: None,
            tests: tests.collect(),
        }
    }

    fn expected(misses: &[&str]) -> Expected {
        let misses = misses
            .iter()
            .map(|name| ((*name).into(), "a reason".into()));
        Expected {
            misses: misses.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_miss_without_a_reason_and_a_pass_with_one_are_surprises() {
        use TestStatus::{Fail, NotRun, Pass};
        let count = |tests: &[(&str, TestStatus)], misses: &[&str]| {
            Verdict::of(&outcome(tests), &expected(misses))
                .surprises
                .len()
        };
        assert_eq!(count(&[("a", Pass), ("b", Fail)], &["b"]), 0);
        assert_eq!(count(&[("a", Pass), ("b", NotRun)], &[]), 1);
        assert_eq!(count(&[("a", Pass)], &["a"]), 1);
        assert_eq!(count(&[("a", Pass)], &["gone"]), 1);
        assert_eq!(count(&[], &[]), 1);
        let mut late = outcome(&[("a", Pass)]);
        late.status = HarnessStatus::Timeout;
        assert_eq!(Verdict::of(&late, &expected(&[])).surprises.len(), 1);
    }

    #[test]
    fn a_file_that_vanished_is_a_surprise() {
        let expectations = Expectations::parse("[m.\"a.html\"]\n[m.\"b.html\"]").unwrap();
        let mut report = Report::default();
        report.add(
            "m/a.html",
            Verdict::of(&outcome(&[("x", TestStatus::Pass)]), &expected(&[])),
        );
        report.expect_all(&expectations, |_| true);
        let surprises: Vec<_> = report.surprises().map(|(path, _)| path).collect();
        assert_eq!(surprises, ["m/b.html"]);
        assert_eq!(report.totals(), (1, 1));
        assert!(report.table().contains("| `m/a.html` | 1 / 1 |  |"));
    }
}
