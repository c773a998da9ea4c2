//! How a page sees connections: what changes when, and what is the same object.
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

mod common;
use common::{assert_whole, page};

#[test]
fn a_step_of_negotiation_is_seen_at_once_and_whole() {
    assert_whole(&page(
        "webrtc/a.html",
        r#"
        (async () => {
          const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
          const seen = [];
          a.addTransceiver("audio");
          const offer = await a.createOffer();
          b.onsignalingstatechange = () => {
            seen.push(`state ${b.signalingState} ${b.remoteDescription.type}`);
            Promise.resolve().then(() => seen.push("a promise"));
          };
          b.ontrack = ({ track, receiver, transceiver }) => {
            seen.push("track");
            check("the receiver's track", receiver.track === track);
            check("the connection's receiver", b.getReceivers()[0] === receiver);
            check("the connection's transceiver", b.getTransceivers()[0] === transceiver);
            check("its section", transceiver.mid !== null);
          };
          const done = b.setRemoteDescription(offer).then(() => seen.push("done"));
          check("nothing yet", b.signalingState === "stable" && b.remoteDescription === null);
          await done;
          const order = "state have-remote-offer offer,a promise,track,done";
          check("the order", seen.join() === order || seen.join());
          a.close();
          b.close();
          check("closed", a.signalingState === "closed");
          finish();
        })();
        const finish = done;
        "#,
    ));
}

#[test]
fn what_is_refused_at_once_is_told_in_the_same_task() {
    assert_whole(&page(
        "webrtc/a.html",
        r#"
        (async () => {
          const connection = new RTCPeerConnection();
          let later = false;
          setTimeout(() => { later = true; }, 0);
          const error = await connection.createAnswer().catch((error) => error);
          check("the error", error instanceof DOMException && error.name === "InvalidStateError");
          check("at once", !later);
          connection.close();
          const closed = await connection.createOffer().catch((error) => error.name);
          check("closed", closed === "InvalidStateError");
          let kind;
          try { connection.addTransceiver("smell"); } catch (thrown) { kind = thrown; }
          check("no such kind", kind instanceof TypeError);
          done();
        })();
        "#,
    ));
}

#[test]
fn a_channel_carries_text_and_bytes_between_two_connections() {
    assert_whole(&page(
        "webrtc/a.html",
        r#"
        (async () => {
          const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
          a.onicecandidate = ({ candidate }) => b.addIceCandidate(candidate);
          b.onicecandidate = ({ candidate }) => a.addIceCandidate(candidate);
          const channel = a.createDataChannel("words");
          const opened = new Promise((resolve) => { channel.onopen = resolve; });
          const offered = new Promise((resolve) => { b.ondatachannel = resolve; });
          await a.setLocalDescription();
          await b.setRemoteDescription(a.localDescription);
          await b.setLocalDescription();
          await a.setRemoteDescription(b.localDescription);
          const other = (await offered).channel;
          await opened;
          check("its label", other.label === "words" && other.readyState === "open");
          const message = () => new Promise((resolve) => { other.onmessage = ({ data }) => resolve(data); });
          let heard = message();
          channel.send("gr\u00fc\u00df dich \u{1f600}");
          check("text", await heard === "gr\u00fc\u00df dich \u{1f600}");
          other.binaryType = "arraybuffer";
          heard = message();
          channel.send(Uint8Array.of(0, 127, 128, 255));
          check("bytes", new Uint8Array(await heard).join() === "0,127,128,255");
          const closed = new Promise((resolve) => { other.onclose = resolve; });
          channel.close();
          check("at once", channel.readyState === "closing");
          await closed;
          check("there too", other.readyState === "closed");
          a.close();
          b.close();
          done();
        })();
        "#,
    ));
}
