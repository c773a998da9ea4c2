//! The W3C's tests, where a checkout of them is named, and a page's own workings, where none is.
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

mod common;
use common::{assert_whole, page, page_within};
use duet_conformance::{Checkout, Expectations, HarnessStatus, TestStatus, run_all};
use std::time::Duration;

#[test]
fn the_w3cs_tests_go_as_expected() {
    let Some(path) = std::env::var_os("DUET_WPT") else {
        println!("skipped: DUET_WPT names no checkout of web-platform-tests");
        return;
    };
    let checkout = Checkout::open(path).unwrap();
    let expectations = Expectations::built_in().unwrap();
    let report = run_all(&checkout, &expectations, |_| true, |_, _| {}).unwrap();
    let surprises: Vec<_> = report.surprises().collect();
    assert!(surprises.is_empty(), "{surprises:#?}");
    assert!(report.totals().0 > 0);
}

#[test]
fn a_page_has_timers_events_and_errors() {
    assert_whole(&page(
        "a.html",
        r#"
        const order = [];
        const timer = setInterval(() => {
          order.push("tick");
          if (order.length < 4) return;
          clearInterval(timer);
          check("promises come before timers", order.join() === "script,promise,tick,tick");
          const target = new EventTarget();
          target.addEventListener("x", (event) => event.preventDefault(), { once: true });
          check("a listener cancels", !target.dispatchEvent(new Event("x", { cancelable: true })));
          check("and is heard once", target.dispatchEvent(new Event("x", { cancelable: true })));
          check("codes", new DOMException("m", "AbortError").code === 20 && DOMException.ABORT_ERR === 20);
          addEventListener("error", (event) => {
            check("an uncaught error is told", event.message === "thrown");
            done();
          });
          throw new Error("thrown");
        }, 1);
        order.push("script");
        Promise.resolve().then(() => order.push("promise"));
        "#,
    ));
}

#[test]
fn a_rejection_that_nobody_handles_is_told() {
    assert_whole(&page(
        "a.html",
        r#"
        addEventListener("unhandledrejection", (event) => {
          check("the reason", event.reason === 7);
          done();
        });
        Promise.reject(1).catch(() => {});
        Promise.reject(7);
        "#,
    ));
}

#[test]
fn devices_are_for_secure_pages_only() {
    let script = r#"
        const there = "MediaDevices" in self && "mediaDevices" in navigator && "getUserMedia" in navigator;
        check("devices", there === isSecureContext);
        check("tracks", "MediaStreamTrack" in self);
        check("secure", isSecureContext === location.pathname.includes("https"));
        done();
    "#;
    assert_whole(&page("a.html", script));
    assert_whole(&page("a.https.html", script));
}

#[test]
fn constraints_come_back_as_they_were_applied() {
    assert_whole(&page(
        "a.https.html",
        r#"
        (async () => {
          const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320 } });
          const [track] = stream.getTracks();
          check("the first", JSON.stringify(track.getConstraints()) === '{"width":320}');
          const wanted = { frameRate: { min: 1.5, max: 15 }, advanced: [{ facingMode: ["user"] }] };
          await track.applyConstraints(wanted);
          const back = JSON.stringify(track.getConstraints());
          const expected = '{"advanced":[{"facingMode":"user"}],"frameRate":{"max":15,"min":1.5}}';
          check("the second", back === expected || back);
          const error = await track.applyConstraints({ height: { exact: 5000 } }).catch((e) => e);
          check("a refusal", error instanceof OverconstrainedError && error.constraint === "height");
          check("keeps them", JSON.stringify(track.getConstraints()) === back);
          const nan = await track.applyConstraints({ frameRate: NaN }).catch((e) => e);
          check("no number", nan instanceof TypeError);
          done();
        })();
        "#,
    ));
}

#[test]
fn the_callback_form_tells_of_success_and_failure() {
    assert_whole(&page(
        "a.https.html",
        r#"
        navigator.getUserMedia({ audio: true }, (stream) => {
          check("a stream", stream instanceof MediaStream && stream.active);
          navigator.getUserMedia({}, () => check("no stream", false), (error) => {
            check("an error", error instanceof TypeError);
            done();
          });
        }, () => check("no error", false));
        "#,
    ));
}

#[test]
fn a_page_that_does_not_end_is_given_up() {
    let outcome = page("a.html", "check('never told', true);");
    assert_eq!(outcome.status, HarnessStatus::Timeout);
    let script = "check('x', 1 === 2); done(); for (;;) {}";
    let endless = page_within(Duration::from_secs(1), "a.html", script);
    let failed: Vec<_> = endless.tests.iter().map(|test| test.status).collect();
    assert_eq!(failed, [TestStatus::Fail]);
}
