//! A call from the first offer to the end, over real sockets on 127.0.0.1.

mod common;

use common::{Camera, Viewer, microphone, millis, negotiate, pair_of, within};
use duet_peer::{DataChannelMessage, PeerConnectionEvent as Event, RTCDataChannelInit};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn picture_and_sound_go_both_ways() {
    let context = common::context();
    let (mut a, mut b) = pair_of(context.clone(), context.clone()).await;
    let mut tasks = Vec::new();
    for end in [&a, &b] {
        let (camera, track) = Camera::new(&context, 640, 360);
        tasks.push(camera.roll());
        end.pc.add_track(&track, &[]).await.unwrap();
        let (task, track) = microphone(&context);
        tasks.push(task);
        end.pc.add_track(&track, &[]).await.unwrap();
        std::mem::forget(track);
    }
    let start = context.clock.now();
    negotiate(&a.pc, &b.pc).await;
    let negotiated = context.clock.now();
    a.connected().await;
    let connected = context.clock.now();
    for end in [&mut a, &mut b] {
        for _ in 0..2 {
            let event = end.track().await;
            let viewer = Viewer::of(&event.track);
            let frame = viewer.frame().await;
            assert_eq!(frame.kind(), event.track.kind());
            println!(
                "{} after {:.1} ms",
                event.track.kind(),
                millis(start, context.clock.now())
            );
            common::unmuted(&event.track).await;
        }
    }
    println!(
        "negotiated {:.1} ms, connected {:.1} ms",
        millis(start, negotiated),
        millis(start, connected)
    );
    a.pc.close().await;
    b.pc.close().await;
    tasks.iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn a_data_channel_carries_text_and_bytes_both_ways() {
    let (a, mut b) = common::pair().await;
    let ours =
        a.pc.create_data_channel("chat", RTCDataChannelInit::default())
            .await
            .unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b
        .wait("a data channel", |event| match event {
            Event::DataChannel(channel) => Some(channel.clone()),
            _ => None,
        })
        .await;
    assert_eq!(theirs.label(), "chat");
    assert!(within("open", ours.opened()).await && within("open", theirs.opened()).await);
    let (mut at_a, mut at_b) = (ours.messages(), theirs.messages());
    ours.send_text("grüezi").await.unwrap();
    theirs.send(&[0, 255, 7]).await.unwrap();
    let text = within("a message", at_b.recv()).await;
    assert_eq!(text, Some(DataChannelMessage::Text("grüezi".into())));
    let bytes = within("a message", at_a.recv()).await;
    assert_eq!(
        bytes,
        Some(DataChannelMessage::Binary(vec![0, 255, 7].into()))
    );
    ours.close().await.unwrap();
    assert_eq!(within("the end", at_b.recv()).await, None);
    a.pc.close().await;
    assert!(ours.send_text("too late").await.is_err());
    b.pc.close().await;
}
