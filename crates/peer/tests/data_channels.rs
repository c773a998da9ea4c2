//! Data channels: what comes before anybody asks, and what both sides hear of an end.

mod common;

use common::{End, negotiate, pair, within};
use duet_peer::{
    DataChannelEvent as Told, DataChannelMessage as Message, PeerConnectionEvent as Event,
    RTCDataChannel, RTCDataChannelInit, RTCDataChannelState,
};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

/// More of them than wait anywhere between two programs.
const LARGE: usize = 8 << 10;
const MANY: usize = 1_500;
/// As many wait for the program.
const WAITING: usize = (1 << 20) / LARGE;

async fn open(end: &End, label: &str, negotiated_id: Option<u16>) -> RTCDataChannel {
    let init = RTCDataChannelInit {
        negotiated_id,
        ..Default::default()
    };
    let channel = end.pc.create_data_channel(label, init).await;
    channel.expect("a channel")
}

/// Its events from now on.
fn events(channel: &RTCDataChannel) -> mpsc::Receiver<Told> {
    let (tx, rx) = mpsc::channel(1_024);
    let subscription = channel.subscribe(move |event| {
        // A test that has seen enough no longer listens.
        let _ = tx.try_send(event.clone());
    });
    subscription.forever();
    rx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_negotiated_channel_is_heard() {
    let (a, b) = pair().await;
    let (ours, theirs) = (open(&a, "", Some(0)).await, open(&b, "", Some(0)).await);
    let mut at_b = events(&theirs);
    negotiate(&a.pc, &b.pc).await;
    assert!(within("open", ours.opened()).await && within("open", theirs.opened()).await);
    ours.close().await.unwrap();
    let mut heard = Vec::new();
    while heard.last() != Some(&Told::Close) {
        heard.push(within("the end", at_b.recv()).await.unwrap());
    }
    assert_eq!(heard, [Told::Open, Told::Closing, Told::Close]);
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_negotiated_late_opens() {
    let (a, b) = pair().await;
    let first = open(&a, "first", None).await;
    negotiate(&a.pc, &b.pc).await;
    assert!(within("open", first.opened()).await);
    let (ours, theirs) = (open(&a, "", Some(9)).await, open(&b, "", Some(9)).await);
    assert!(within("open", ours.opened()).await && within("open", theirs.opened()).await);
    let mut messages = theirs.messages();
    ours.send_text("hello").await.unwrap();
    let hello = Some(Message::Text("hello".into()));
    assert_eq!(within("a message", messages.recv()).await, hello);
    a.pc.close().await;
    b.pc.close().await;
}

/// The channel that the other side opened, out of the queue of events.
async fn opened_to(end: &mut End) -> RTCDataChannel {
    end.wait("a channel", |event| match event {
        Event::DataChannel(channel) => Some(channel.clone()),
        _ => None,
    })
    .await
}

async fn closed(channel: &RTCDataChannel) {
    within("the end", async {
        while channel.ready_state() != RTCDataChannelState::Closed {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A channel over which two messages went, and that is closed, before its program looked for it.
async fn all_before_anybody_asks() -> (End, End, RTCDataChannel) {
    let (a, mut b) = pair().await;
    let ours = open(&a, "early", None).await;
    negotiate(&a.pc, &b.pc).await;
    assert!(within("open", ours.opened()).await);
    ours.send_text("one").await.expect("it is open");
    ours.send_text("two").await.expect("it is open");
    let theirs = opened_to(&mut b).await;
    ours.close().await.expect("it is open");
    closed(&theirs).await;
    (a, b, theirs)
}

fn text(text: &str) -> Message {
    Message::Text(text.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_for_the_first_who_asks() {
    let (a, b, theirs) = all_before_anybody_asks().await;
    let mut messages = theirs.messages();
    assert_eq!(
        within("a message", messages.recv()).await,
        Some(text("one"))
    );
    assert_eq!(
        within("a message", messages.recv()).await,
        Some(text("two"))
    );
    assert_eq!(within("the end", messages.recv()).await, None);
    let mut events = events(&theirs);
    for event in [Told::Open, Told::Closing, Told::Close] {
        assert_eq!(within("an event", events.recv()).await, Some(event));
    }
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_the_first_handler() {
    let (a, b, theirs) = all_before_anybody_asks().await;
    let mut events = events(&theirs);
    let (one, two) = (Told::Message(text("one")), Told::Message(text("two")));
    for event in [Told::Open, one, two, Told::Closing, Told::Close] {
        assert_eq!(within("an event", events.recv()).await, Some(event));
    }
    let mut messages = theirs.messages();
    let first = within("a message", messages.recv()).await;
    assert_eq!(first, Some(text("one")), "who reads has them, too");
    a.pc.close().await;
    b.pc.close().await;
}

/// Two ends and a channel that the first fills, as a task.
async fn filled(many: usize) -> (End, End, RTCDataChannel, tokio::task::JoinHandle<()>) {
    let (a, mut b) = pair().await;
    let ours = open(&a, "full", None).await;
    negotiate(&a.pc, &b.pc).await;
    assert!(within("open", ours.opened()).await);
    let theirs = opened_to(&mut b).await;
    let filling = tokio::spawn(async move {
        for n in 0..many {
            let sent = ours.send(&[(n % 251) as u8; LARGE]).await;
            sent.expect("it is open");
        }
    });
    (a, b, theirs, filling)
}

async fn received(end: &End) -> f64 {
    let report = end.pc.get_stats().await.expect("it is connected");
    let counts = report.of_type("data-channel");
    counts
        .filter_map(|stats| stats.number("messagesReceived"))
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_not_read_yet_slows_the_other_side_down_and_loses_nothing() {
    let (a, b, theirs, filling) = filled(MANY).await;
    within("all sent", filling).await.unwrap();
    // 1 MiB, and one that waits outside.
    let waiting = (WAITING + 1) as f64;
    within("as many as may wait", async {
        while received(&b).await < waiting {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(received(&b).await, waiting);
    let mut messages = theirs.messages();
    for n in 0..MANY {
        let expected = Message::Binary(vec![(n % 251) as u8; LARGE].into());
        let message = within("a message", messages.recv()).await;
        assert!(message == Some(expected), "the {n}th");
    }
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_let_go_holds_up_no_other() {
    let (a, mut b, theirs, filling) = filled(MANY).await;
    within("all sent", filling).await.unwrap();
    drop(theirs);
    let other = open(&a, "other", None).await;
    let at_b = opened_to(&mut b).await;
    assert!(within("open", other.opened()).await);
    let mut messages = at_b.messages();
    other.send_text("through").await.unwrap();
    let through = within("a message", messages.recv()).await;
    assert_eq!(through, Some(text("through")));
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_nobody_reads_can_be_closed() {
    // More than wait for the program, and less than SCTP has to hold back.
    let (a, b, theirs, filling) = filled(WAITING + 100).await;
    within("all sent", filling).await.unwrap();
    within("as many as may wait", async {
        while received(&b).await < (WAITING + 1) as f64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    theirs.close().await.unwrap();
    closed(&theirs).await;
    let mut messages = theirs.messages();
    for _ in 0..WAITING {
        assert!(within("a message", messages.recv()).await.is_some());
    }
    assert_eq!(within("the end", messages.recv()).await, None);
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_has_handlers_hears_every_message() {
    let (a, b, theirs, filling) = filled(MANY).await;
    let (all, heard) = (Arc::new(Notify::new()), std::sync::Mutex::new(0));
    let tell = all.clone();
    let _subscription = theirs.subscribe(move |event| {
        if let Told::Message(_) = event {
            let mut heard = heard.lock().unwrap();
            *heard += 1;
            if *heard == MANY {
                tell.notify_one();
            }
        }
    });
    within("all messages", all.notified()).await;
    within("all sent", filling).await.unwrap();
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_right_before_the_close_is_heard() {
    let (a, mut b) = pair().await;
    let first = open(&a, "first", None).await;
    negotiate(&a.pc, &b.pc).await;
    assert!(within("open", first.opened()).await);
    opened_to(&mut b).await;
    let mut pairs = Vec::new();
    for _ in 0..10 {
        let ours = open(&a, "", None).await;
        pairs.push((ours, opened_to(&mut b).await));
    }
    for (n, (ours, theirs)) in pairs.iter().enumerate() {
        theirs.send_text("meow").await.unwrap();
        theirs.close().await.unwrap();
        let mut messages = ours.messages();
        let meow = within("a message", messages.recv()).await;
        assert_eq!(meow, Some(text("meow")), "the {n}th");
        assert_eq!(within("the end", messages.recv()).await, None);
        closed(theirs).await;
    }
    a.pc.close().await;
    b.pc.close().await;
}
