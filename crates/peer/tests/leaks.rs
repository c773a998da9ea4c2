//! A hundred calls in one process leave nothing behind. Alone in its program: it counts what the
//! whole process has.

mod common;

use common::{Camera, PATIENCE, Viewer, microphone, negotiate, pair_of, within};
use duet_media::{Clock, MediaTime, TrackState};
use duet_peer::{EncoderHub, PeerContext, RTCDataChannelInit};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    tasks: usize,
    resident_kb: usize,
}

fn held() -> Held {
    let count = |path: &str| std::fs::read_dir(path).map(Iterator::count).unwrap_or(0);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|kb| kb.trim().strip_suffix(" kB")?.parse().ok());
    Held {
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        tasks: tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        resident_kb: resident.unwrap_or(0),
    }
}

/// The clock of one call, which tells when the last of its parts has let go of it: connections, tasks,
/// decoders and encoders.
struct CallClock {
    clock: Arc<dyn Clock>,
    gone: Option<oneshot::Sender<()>>,
}

impl CallClock {
    fn context(of: &PeerContext) -> (PeerContext, oneshot::Receiver<()>) {
        let (gone, heard) = oneshot::channel();
        let clock = Arc::new(CallClock {
            clock: of.clock.clone(),
            gone: Some(gone),
        });
        let context = PeerContext {
            encoders: EncoderHub::new(clock.clone()),
            clock,
            ..of.clone()
        };
        (context, heard)
    }
}

impl Clock for CallClock {
    fn now(&self) -> MediaTime {
        self.clock.now()
    }

    fn unix_time(&self, time: MediaTime) -> Duration {
        self.clock.unix_time(time)
    }
}

impl Drop for CallClock {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            // The test may have failed already.
            let _ = gone.send(());
        }
    }
}

/// Waits until no more is held than `before`. All parts of the calls have ended by then; what is left
/// is the kernel's: a thread stands in the list for a moment after its last instruction, and nothing
/// tells when it goes.
async fn settle(before: Held) -> Held {
    let start = std::time::Instant::now();
    within("all to end", async {
        loop {
            let now = held();
            let over = now.descriptors > before.descriptors
                || now.threads > before.threads
                || now.tasks > before.tasks;
            if !over {
                return now;
            }
            if start.elapsed() > PATIENCE / 2 {
                panic!("{now:?} is more than {before:?}");
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_calls_leave_nothing_behind() {
    let context = common::context();
    let (camera, video) = Camera::new(&context, 160, 90);
    let camera = camera.roll();
    let (hum, audio) = microphone(&context);
    let call = async |close_first_only: bool| {
        let (of_call, gone) = CallClock::context(&context);
        let (mut a, mut b) = pair_of(of_call.clone(), of_call).await;
        a.pc.add_track(&video, &[]).await.unwrap();
        a.pc.add_track(&audio, &[]).await.unwrap();
        let channel =
            a.pc.create_data_channel("d", RTCDataChannelInit::default())
                .await
                .unwrap();
        negotiate(&a.pc, &b.pc).await;
        let tracks = [b.track().await.track, b.track().await.track];
        for track in &tracks {
            Viewer::of(track).frame().await;
        }
        a.connected().await;
        a.pc.close().await;
        if !close_first_only {
            b.pc.close().await;
            assert!(
                tracks
                    .iter()
                    .all(|track| track.ready_state() == TrackState::Ended)
            );
        }
        // Dropped without a close, the other end goes by itself.
        drop((a, b, channel, tracks));
        within("the end of all parts of the call", gone)
            .await
            .expect("the clock tells");
    };
    for warm_up in 0..4 {
        call(warm_up % 2 == 0).await;
    }
    let base = Held {
        // The camera's and the microphone's tasks, and the allocator's habits.
        tasks: 2,
        ..settle(Held { tasks: 2, ..held() }).await
    };
    for number in 0..20 {
        call(number % 4 == 0).await;
    }
    let early = settle(base).await;
    for number in 0..80 {
        call(number % 4 == 0).await;
    }
    let late = settle(base).await;
    println!("{base:?}\n{early:?}\n{late:?}");
    let grown = late.resident_kb.saturating_sub(early.resident_kb);
    assert!(grown < 4_096, "{grown} kB more after 80 more calls");
    assert_eq!(video.ready_state(), TrackState::Live);
    assert_eq!(audio.ready_state(), TrackState::Live);
    camera.abort();
    hum.abort();
}
