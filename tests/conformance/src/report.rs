//! How the files fared against what was expected of them.

use crate::expectations::{Expectations, Expected};
use crate::harness::{HarnessStatus, Outcome, TestResult, TestStatus};
use std::cmp::Reverse;
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
    /// How many tests each of the reasons took.
    pub missed: BTreeMap<String, usize>,
    /// What is not as expected, in sentences.
    pub surprises: Vec<String>,
}

impl Verdict {
    /// Holds a file's outcome against what was expected of it.
    pub fn of(outcome: &Outcome, expected: &Expected) -> Self {
        let mut surprises = Vec::new();
        let well = outcome.status == HarnessStatus::Ok;
        let hangs = |test: &TestResult| {
            test.status == TestStatus::Timeout && expected.flaky(&test.name).is_some()
        };
        match (&expected.harness, well) {
            // One of those that pass or do not has kept it from its end.
            (None, false) if outcome.tests.iter().any(hangs) => {}
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
            if expected.flaky(&test.name).is_some() {
                continue;
            }
            match (expected.miss(&test.name).is_some(), passed) {
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
        for name in expected.missed() {
            if outcome.tests.iter().all(|test| test.name != name) {
                surprises.push(format!("\"{name}\" is expected to fail, and is not there"));
            }
        }
        let mut reasons: Vec<_> = expected.reasons().map(str::to_owned).collect();
        reasons.sort();
        reasons.dedup();
        let mut missed = BTreeMap::new();
        for test in &outcome.tests {
            let excuse = expected
                .miss(&test.name)
                .or_else(|| expected.flaky(&test.name));
            if let (Some(reason), false) = (excuse, test.status == TestStatus::Pass) {
                *missed.entry(reason.to_owned()).or_default() += 1;
            }
        }
        Verdict {
            passed: outcome.passed(),
            all: outcome.tests.len(),
            reasons,
            missed,
            surprises,
        }
    }

    fn skipped(reason: &str) -> Self {
        Verdict {
            passed: 0,
            all: 0,
            reasons: vec![reason.into()],
            missed: BTreeMap::new(),
            surprises: Vec::new(),
        }
    }

    fn surprise(text: impl Into<String>) -> Self {
        Verdict {
            passed: 0,
            all: 0,
            reasons: Vec::new(),
            missed: BTreeMap::new(),
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

    /// In Markdown: each directory's totals, the files, and what stands in the way of what does not pass.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| directory | files run | whole | tests passed | |\n|---|---:|---:|---:|---:|"
        );
        for directory in self.directories() {
            let files = || {
                self.files
                    .iter()
                    .filter(|(path, _)| directory_of(path) == directory)
            };
            let verdicts = || files().map(|(_, verdict)| verdict);
            let ran = verdicts().filter(|verdict| verdict.all > 0).count();
            let whole = verdicts().filter(|verdict| verdict.is_whole()).count();
            let passed: usize = verdicts().map(|verdict| verdict.passed).sum();
            let all: usize = verdicts().map(|verdict| verdict.all).sum();
            let percent = match all {
                0 => String::new(),
                all => format!("{:.1} %", passed as f64 * 100.0 / all as f64),
            };
            let _ = writeln!(
                text,
                "| `{directory}` | {ran} | {whole} | {passed} / {all} | {percent} |"
            );
        }
        for directory in self.directories() {
            let _ = writeln!(text, "\n## `{directory}`\n");
            let _ = writeln!(text, "| file | passed | why not all |\n|---|---:|---|");
            for (path, verdict) in &self.files {
                let Some(name) = path
                    .strip_prefix(directory)
                    .and_then(|p| p.strip_prefix('/'))
                else {
                    continue;
                };
                if directory_of(path) != directory {
                    continue;
                }
                let count = match verdict.all {
                    0 => "not run".to_string(),
                    all => format!("{} / {all}", verdict.passed),
                };
                let reasons = verdict.reasons.join("; ");
                let _ = writeln!(text, "| `{name}` | {count} | {reasons} |");
            }
        }
        let mut reasons = BTreeMap::<&str, usize>::new();
        for (reason, count) in self.files.values().flat_map(|verdict| &verdict.missed) {
            *reasons.entry(reason).or_default() += count;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| Reverse(*count));
        if !reasons.is_empty() {
            let _ = writeln!(
                text,
                "\n## What did not pass\n\n| tests | why |\n|---:|---|"
            );
        }
        for (reason, count) in reasons {
            let _ = writeln!(text, "| {count} | {reason} |");
        }
        text
    }

    fn directories(&self) -> Vec<&str> {
        let mut directories: Vec<_> = self.files.keys().map(|path| directory_of(path)).collect();
        directories.sort_unstable();
        directories.dedup();
        directories
    }
}

fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_may_be_flaky_surprises_nobody() {
        use TestStatus::{Fail, Pass};
        let mut expected = expected(&[]);
        expected.flaky.insert("a race".into(), vec!["a".into()]);
        for status in [Pass, Fail] {
            let verdict = Verdict::of(&outcome(&[("a", status)]), &expected);
            assert!(verdict.surprises.is_empty());
            assert_eq!(verdict.passed, usize::from(status == Pass));
        }
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
        let table = report.table();
        assert!(table.contains("| `a.html` | 1 / 1 |  |"), "{table}");
        assert!(
            table.contains("| `m` | 1 | 1 | 1 / 1 | 100.0 % |"),
            "{table}"
        );
    }
}
