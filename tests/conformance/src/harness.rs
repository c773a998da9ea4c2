//! What the harness says of a file's tests:
//! <https://web-platform-tests.org/writing-tests/testharness-api.html>.

use serde::Deserialize;

/// How a file went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the harness fared as a whole.
    pub status: HarnessStatus,
    /// What the harness said about itself, if it was not well.
    pub message: Option<String>,
    /// Its tests, in their order.
    pub tests: Vec<TestResult>,
}

/// How the harness fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HarnessStatus {
    /// It came to its end.
    Ok,
    /// An exception that no test caught, or a page that does not work at all.
    Error,
    /// It did not come to its end in time.
    Timeout,
    /// It saw at once that it makes no sense here.
    PreconditionFailed,
}

/// How one test went.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TestResult {
    /// Its name, by which expectations refer to it.
    pub name: String,
    /// How it went.
    #[serde(deserialize_with = "test_status")]
    pub status: TestStatus,
    /// Why it did not pass.
    pub message: Option<String>,
}

/// How a test went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestStatus {
    /// As it should.
    Pass,
    /// Something was asserted that is not so.
    Fail,
    /// It did not come to its end in time.
    Timeout,
    /// It never began, or never ended.
    NotRun,
    /// It saw at once that it makes no sense here.
    PreconditionFailed,
}

/// The harness's last word.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    tests: Vec<TestResult>,
    status: u8,
    message: Option<String>,
}

impl From<Done> for Outcome {
    fn from(done: Done) -> Self {
        let status = match done.status {
            0 => HarnessStatus::Ok,
            2 => HarnessStatus::Timeout,
            3 => HarnessStatus::PreconditionFailed,
            _ => HarnessStatus::Error,
        };
        Outcome {
            status,
            message: done.message,
            tests: done.tests,
        }
    }
}

impl Outcome {
    /// How many tests passed.
    pub fn passed(&self) -> usize {
        let passed = |test: &&TestResult| test.status == TestStatus::Pass;
        self.tests.iter().filter(passed).count()
    }

    /// Whether all passed, and there were any.
    pub fn is_whole(&self) -> bool {
        self.status == HarnessStatus::Ok
            && !self.tests.is_empty()
            && self.passed() == self.tests.len()
    }
}

fn test_status<'de, D: serde::Deserializer<'de>>(status: D) -> Result<TestStatus, D::Error> {
    Ok(match u8::deserialize(status)? {
        0 => TestStatus::Pass,
        1 => TestStatus::Fail,
        2 => TestStatus::Timeout,
        4 => TestStatus::PreconditionFailed,
        _ => TestStatus::NotRun,
    })
}
