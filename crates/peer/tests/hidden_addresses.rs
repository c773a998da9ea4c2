//! Ends that hide their addresses behind names, in a network namespace of their own, where nobody else answers
//! for names. Alone in its program, which runs itself anew inside.

#![cfg(target_os = "linux")]

mod common;
#[path = "common/namespace.rs"]
mod namespace;

use common::{End, negotiate, within};
use duet_peer::{
    DataChannelMessage, NetworkPolicy, PeerConnectionEvent as Event, PeerContext, RTCDataChannel,
    RTCDataChannelInit,
};
use namespace::{in_namespace, ip};

#[test]
fn a_call_finds_its_way_by_names_that_say_no_address() {
    in_namespace(
        "a_call_finds_its_way_by_names_that_say_no_address",
        inside(),
    );
}

async fn end() -> (End, RTCDataChannel) {
    let context = PeerContext {
        network: NetworkPolicy::NoLoopback,
        hide_addresses: true,
        ..PeerContext::default()
    };
    let end = End::new(context).await;
    let init = RTCDataChannelInit {
        negotiated_id: Some(1),
        ..Default::default()
    };
    let channel = end.pc.create_data_channel("data", init).await;
    (end, channel.expect("a channel"))
}

/// Carries candidates until the last, and returns them.
async fn carry(from: &mut End, to: &End) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let event = within("a candidate", from.candidates().recv()).await;
        let Some(Event::IceCandidate(Some(candidate))) = event else {
            return lines;
        };
        lines.push(candidate.candidate.clone());
        let added = to.pc.add_ice_candidate(Some(candidate)).await;
        added.expect("a good candidate");
    }
}

async fn inside() {
    for arguments in [
        "link set lo up",
        "link add name wire0 type veth peer name wire1",
        "link set wire0 up",
        "link set wire1 up",
        "address add 10.82.0.1/24 dev wire0",
        "address add fd00:82::1/64 dev wire0 nodad",
        "route add 224.0.0.0/4 dev wire0",
    ] {
        ip(arguments);
    }
    let ((mut a, ours), (mut b, theirs)) = (end().await, end().await);
    negotiate(&a.pc, &b.pc).await;
    let mut lines = carry(&mut a, &b).await;
    // One for each side: IPv6 has no names.
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.extend(carry(&mut b, &a).await);
    let descriptions = [
        a.pc.local_description().await,
        b.pc.local_description().await,
    ];
    for told in lines
        .into_iter()
        .chain(descriptions.into_iter().flatten().map(|it| it.sdp))
    {
        assert!(told.contains(".local "), "{told}");
        assert!(
            !told.contains("10.82.0.1") && !told.contains("fd00:82"),
            "{told}"
        );
    }
    a.connected().await;
    b.connected().await;
    assert!(within("open", ours.opened()).await && within("open", theirs.opened()).await);
    let mut messages = theirs.messages();
    ours.send_text("by name").await.expect("an open channel");
    let message = within("a message", messages.recv()).await;
    assert_eq!(message, Some(DataChannelMessage::Text("by name".into())));
    a.pc.close().await;
    b.pc.close().await;
}
