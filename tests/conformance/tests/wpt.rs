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
fn a_blob_is_bytes_and_a_type_and_may_have_a_url() {
    assert_whole(&page(
        "a.html",
        r#"
        (async () => {
          const view = new Uint8Array([1, 2, 3, 255]).subarray(1);
          const blob = new Blob(["a\r\n", view, new Blob(["ü"])], { type: "Text/X", endings: "native" });
          const bytes = async (blob) => [...new Uint8Array(await blob.arrayBuffer())].join();
          check("parts", (await bytes(blob)) === "97,10,2,3,255,195,188");
          check("size and type", blob.size === 7 && blob.type === "text/x");
          const slice = blob.slice(-3, -2, "b");
          check("a slice", (await bytes(slice)) === "255" && slice.type === "b" && slice instanceof Blob);
          const url = URL.createObjectURL(blob);
          const found = await (await fetch(url)).blob();
          check("its URL", found !== blob && found.type === blob.type && (await bytes(found)) === (await bytes(blob)));
          check("its text", (await (await fetch(url)).text()) === (await blob.text()));
          URL.revokeObjectURL(url);
          check("revoked", (await fetch(url).catch((error) => error)) instanceof TypeError);
          for (const other of [new MediaStream(), undefined, {}, "blob"]) {
            try {
              check(`no URL for ${other}`, URL.createObjectURL(other));
            } catch (error) {
              check(`no URL for ${other}`, error instanceof TypeError);
            }
          }
          check("files", (await fetch("/resources/testharness.js")).ok && (await fetch("/none")).status === 404);
          done();
        })();
        "#,
    ));
}

#[test]
fn a_recording_comes_in_blobs_and_each_event_in_its_turn() {
    assert_whole(&page(
        "a.https.html",
        r#"
        const next = (target, type) =>
          new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
        (async () => {
          const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 160 } });
          const recorder = new MediaRecorder(stream, { mimeType: "video/webm" });
          recorder.start(50);
          check("recording", recorder.state === "recording" && recorder.mimeType === "video/webm");
          await next(recorder, "start");
          check("its type", recorder.mimeType === "video/webm;codecs=vp8,opus");
          check("started already", (() => {
            try { recorder.start(); } catch (error) { return error.name === "InvalidStateError"; }
          })());
          const blobs = [];
          let later = 0;
          recorder.addEventListener("dataavailable", ({ data, timecode }) => {
            blobs.push(data);
            check(`time ${blobs.length}`, timecode >= later);
            later = timecode;
          });
          await next(recorder, "dataavailable");
          await next(recorder, "dataavailable");
          const [audio] = stream.getAudioTracks();
          stream.removeTrack(audio);
          const { error, isTrusted } = await next(recorder, "error");
          check("the error", isTrusted && error instanceof DOMException && error.name === "InvalidModificationError");
          check("its sentence", error.message.startsWith("a track was added"));
          // All three are one task's; what was promised runs in between, or this would wait for ever.
          check("inactive", recorder.state === "inactive" && recorder.mimeType === "video/webm");
          await next(recorder, "dataavailable");
          await next(recorder, "stop");
          const whole = new Blob(blobs, { type: blobs[0].type });
          check("whole", whole.size > 2000 && whole.type === "video/webm;codecs=vp8,opus" || `${whole.size}`);
          const magic = new Uint8Array(await whole.slice(0, 4).arrayBuffer());
          check("EBML", [...magic].join() === "26,69,223,163");
          check("WebM", (await whole.slice(0, 64).text()).includes("webm"));
          const options = { audioBitrateMode: "sometimes" };
          check("no such mode", (() => {
            try { new MediaRecorder(stream, options); } catch (error) { return error instanceof TypeError; }
          })());
          done();
        })();
        "#,
    ));
}

#[test]
fn a_page_that_captures_from_a_canvas_has_a_document_that_makes_one() {
    assert_whole(&page(
        "a.html",
        r##"
        const canvas = document.body.appendChild(document.createElement("canvas"));
        canvas.id = "c";
        check("found", document.getElementById("c") === canvas && canvas.width === 300);
        const stream = canvas.captureStream();
        const [track] = stream.getTracks();
        check("a track", track instanceof CanvasCaptureMediaStreamTrack && track.canvas === canvas);
        check("nothing else", (() => {
          try { document.createElement("video"); } catch (error) { return error.name === "NotSupportedError"; }
        })());
        const context = canvas.getContext("2d");
        const audio = new AudioContext();
        const destination = audio.createMediaStreamDestination();
        const oscillator = audio.createOscillator();
        check("connected", oscillator.connect(destination) === destination);
        oscillator.start();
        stream.addTrack(destination.stream.getAudioTracks()[0]);
        const recorder = new MediaRecorder(stream);
        recorder.ondataavailable = ({ data }) => check("data", data.size > 2000 || `${data.size}`);
        recorder.onstop = () => done();
        let frames = 0;
        requestAnimationFrame(function draw(time) {
          check(`time ${frames}`, time > 0 && time <= performance.now());
          context.fillStyle = frames % 2 === 0 ? "red" : "#00FF00";
          context.fillStyle = "no colour";
          context.fillRect(0, 0, canvas.width, canvas.height / 2);
          frames += 1;
          if (frames < 20) return requestAnimationFrame(draw);
          check("the colour", context.fillStyle === "#00ff00");
          check("the size", track.getSettings().width === 300 && track.getSettings().height === 150);
          document.body.removeChild(canvas);
          audio.close().then(() => recorder.stop());
        });
        recorder.start();
        "##,
    ));
    let script = r#"
        check("no document", !("document" in self) && !("HTMLCanvasElement" in self));
        done();
    "#;
    assert_whole(&page("a.html", script));
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
