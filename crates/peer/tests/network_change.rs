//! A machine whose addresses change in mid-call, in a network namespace of its own: the real kernel
//! tells of it. Alone in its program, which runs itself anew inside.

#![cfg(target_os = "linux")]

mod common;

use common::{End, negotiate, trickle, within};
use duet_peer::{
    DataChannelMessage, NetworkPolicy, PeerConnectionEvent as Event, PeerContext, RTCDataChannel,
    RTCDataChannelInit, RTCPeerConnection,
};
use std::process::Command;
use std::time::{Duration, Instant};

const INSIDE: &str = "DUET_TEST_NAMESPACE";
const NAME: &str = "a_call_follows_the_machine_from_one_address_to_another";

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status();
    assert!(done.is_ok_and(|status| status.success()), "ip {arguments}");
}

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
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(inside());
    }
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]);
        command
    };
    if !namespace().arg("true").status().is_ok_and(|s| s.success()) {
        println!("skipped: no network namespace can be had here");
        return;
    }
    let ourselves = std::env::current_exe().expect("our own name");
    let inside = namespace()
        .arg(ourselves)
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(inside.is_ok_and(|status| status.success()));
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

    let (one, other) = (a.pc.clone(), b.pc.clone());
    let (mut of_one, mut of_other) = (one.events(), other.events());
    // What every program does. Both ends lose their address, so that either may want it.
    let negotiating = tokio::spawn(async move {
        loop {
            let (event, from, to) = tokio::select! {
                event = of_one.recv() => (event, &one, &other),
                event = of_other.recv() => (event, &other, &one),
            };
            match event {
                Some(Event::NegotiationNeeded) if from.negotiation_needed() => {
                    negotiate(from, to).await;
                }
                Some(_) => {}
                None => return,
            }
        }
    });
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
