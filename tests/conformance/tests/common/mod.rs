//! Pages with a harness of their own.
#![allow(dead_code, reason = "not every test uses all of it")]

use duet_conformance::{Checkout, Outcome, Script, TestFile, User, run};
use std::time::Duration;

/// A page whose harness is a few lines of our own: `check(name, truth)`, and `done()` at the end.
pub(crate) fn page(path: &str, script: &str) -> Outcome {
    page_within(Duration::from_secs(10), path, script)
}

pub(crate) fn page_within(patience: Duration, path: &str, script: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let resources = directory.path().join("resources");
    std::fs::create_dir(&resources).unwrap();
    std::fs::write(resources.join("testharness.js"), HARNESS).unwrap();
    let checkout = Checkout::open(directory.path()).unwrap();
    let file = TestFile {
        path: path.into(),
        scripts: vec![script_of("harness", HARNESS), script_of("test", script)],
        long: false,
        forbidden: Vec::new(),
    };
    run(&file, &checkout, &User::default(), patience).unwrap()
}

fn script_of(name: &str, source: &str) -> Script {
    Script {
        name: name.into(),
        source: source.into(),
    }
}

const HARNESS: &str = r#"
const tests = [];
let finished = () => {};
const add_test_state_callback = (f) => {}, add_result_callback = add_test_state_callback;
const add_completion_callback = (f) => { finished = f; };
Object.assign(self, { add_test_state_callback, add_result_callback, add_completion_callback });
const check = (name, truth) => tests.push({ name, status: truth === true ? 0 : 1, message: `${truth}` });
const done = () => finished(tests, { status: 0 });
"#;

pub(crate) fn assert_whole(outcome: &Outcome) {
    assert!(outcome.is_whole(), "{outcome:#?}");
}
