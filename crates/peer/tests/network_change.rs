//! A machine whose addresses change in mid-call, in a network namespace of its own: the real kernel
//! tells of it. Alone in its program, which runs itself anew inside.

#![cfg(target_os = "linux")]

mod common;
#[path = "common/namespace.rs"]
mod namespace;

use common::{End, keep_negotiating, negotiate, trickle, within};
use duet_peer::{
    DataChannelMessage, NetworkPolicy, PeerContext, RTCDataChannel, RTCDataChannelInit,
    RTCPeerConnection,
};
use namespace::{in_namespace, ip};
use std::time::{Duration, Instant};

async fn end() -> (End, RTCDataChannel) {
    let context = PeerContext {
        network: NetworkPolicy::NoLoopback,
        mdns: false,
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

fn address(pc: &RTCPeerConnection) -> Option<String> {
    let ice = pc.sctp()?.transport().ice_transport();
    ice.get_selected_candidate_pair()?.local.address
}

#[test]
fn a_call_follows_the_machine_from_one_address_to_another() {
    in_namespace(
        "a_call_follows_the_machine_from_one_address_to_another",
        inside(),
    );
}

async fn inside() {
    ip("link set lo up");
    ip("link add name wire0 type veth peer name wire1");
    ip("link set wire0 up");
    ip("address add 10.81.0.1/24 dev wire0");
    let ((mut a, ours), (mut b, theirs)) = (end().await, end().await);
    trickle(&mut a, &mut b);
    negotiate(&a.pc, &b.pc).await;
    a.connected().await;
    b.connected().await;
    assert!(within("open", ours.opened()).await && within("open", theirs.opened()).await);
    assert_eq!(address(&a.pc).as_deref(), Some("10.81.0.1"));

    // Both ends lose their address, so that either may want to.
    let negotiating = keep_negotiating(&a.pc, &b.pc);
    ip("address delete 10.81.0.1/24 dev wire0");
    ip("address add 10.81.0.2/24 dev wire0");
    let changed = Instant::now();
    let moved = async {
        while address(&a.pc).as_deref() != Some("10.81.0.2") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("another address", moved).await;
    let mut messages = theirs.messages();
    ours.send_text("moved").await.expect("an open channel");
    let message = within("a message", messages.recv()).await;
    assert_eq!(message, Some(DataChannelMessage::Text("moved".into())));
    let took = changed.elapsed();
    println!("moved within {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    negotiating.abort();
    a.pc.close().await;
    b.pc.close().await;
}
