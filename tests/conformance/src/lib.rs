//! Runs the W3C's own tests of media capture and of WebRTC on our objects.
//!
//! A test file of [web-platform-tests](https://web-platform-tests.org) is taken as it is. A JavaScript
//! engine runs it, in what its harness calls a shell. The names of the specifications are there:
//! `glue/` converts and dispatches, and every state and every decision is `duet-media`'s,
//! `duet-devices'`, `duet-recorder`'s and `duet-peer`'s, asked through one door.
//!
//! What it is not: no page. There is no second window, no document, and no element but one: a file that
//! captures a stream from a canvas is given a document that makes canvases and nothing else. Files that
//! need more are left out, each with its reason, in the [expectations](Expectations).

mod agenda;
mod blob;
mod canvas;
mod checkout;
mod dictionaries;
mod door;
mod expectations;
mod harness;
mod made;
mod page;
mod record;
mod registry;
mod report;
mod rtc;
mod sound;
mod suite;
mod user;

pub use checkout::{Checkout, Script, TestFile};
pub use expectations::{Expectations, ExpectationsError, Expected};
pub use harness::{HarnessStatus, Outcome, TestResult, TestStatus};
pub use page::{PageError, run};
pub use report::{Report, Verdict};
pub use suite::{SuiteError, run_all};
pub use user::{Device, User};
