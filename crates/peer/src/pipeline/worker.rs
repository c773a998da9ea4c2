//! What the pipeline's encoders and playouts run on.
//!
//! Each is a [`Work`]: a step that does what is due and says when it wants the next one. Here is what
//! gives it that step: a thread of its own, or a task on the runtime of whoever started it. It knows
//! nothing of media.

use duet_media::{Clock, MediaTime};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;

/// Where encoders, decoders and playouts run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Workers {
    /// Each on a thread of its own, so that they use all of the machine and hold up nobody.
    #[default]
    Threads,
    /// As tasks of the Tokio runtime on which they are started. On a runtime whose time is paused a
    /// whole call then runs in virtual time; on any other, coding holds up
    /// whoever shares its thread.
    Tasks,
}

/// Something that does a step at a time.
pub(super) trait Work: Send + 'static {
    /// Does what is due now. Woken for nothing, it finds nothing to do.
    fn step(&mut self) -> Next;
}

/// When a [`Work`] wants its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// When it is woken.
    Woken,
    /// Then, or when it is woken before.
    At(MediaTime),
    /// Never.
    Over,
}

/// Wakes one worker, also before it is started. Clones wake the same one.
#[derive(Clone)]
pub(super) enum Waker {
    Thread(Arc<Flag>),
    Task(Arc<Notify>),
}

/// Whether somebody called since the last step.
#[derive(Default)]
pub(super) struct Flag {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    /// Has the worker do a step. Never blocks.
    pub(super) fn wake(&self) {
        match self {
            Waker::Thread(flag) => {
                *flag.woken.lock() = true;
                flag.changed.notify_one();
            }
            Waker::Task(notify) => notify.notify_one(),
        }
    }
}

impl Flag {
    /// Until it is woken, or `timeout` is over.
    fn wait(&self, timeout: Option<Duration>) {
        let mut woken = self.woken.lock();
        while !*woken {
            match timeout {
                None => self.changed.wait(&mut woken),
                Some(timeout) => {
                    self.changed.wait_for(&mut woken, timeout);
                    break;
                }
            }
        }
        *woken = false;
    }
}

impl Workers {
    pub(super) fn waker(self) -> Waker {
        match self {
            Workers::Threads => Waker::Thread(Arc::default()),
            Workers::Tasks => Waker::Task(Arc::default()),
        }
    }
}

/// Starts `work`, which ends when it says so. `clock` is that of its times.
///
/// # Errors
/// Where no thread is to be had.
pub(super) fn start(
    name: &str,
    waker: &Waker,
    clock: Arc<dyn Clock>,
    mut work: impl Work,
) -> io::Result<()> {
    match waker.clone() {
        Waker::Thread(flag) => {
            let thread = thread::Builder::new().name(name.into());
            thread.spawn(move || {
                loop {
                    match work.step() {
                        Next::Woken => flag.wait(None),
                        Next::At(time) => flag.wait(Some(time.saturating_since(clock.now()))),
                        Next::Over => return,
                    }
                }
            })?;
        }
        Waker::Task(notify) => {
            tokio::spawn(async move {
                loop {
                    match work.step() {
                        Next::Woken => notify.notified().await,
                        Next::At(time) => {
                            let left = time.saturating_since(clock.now());
                            // A timer that is due at once gives nobody else a turn.
                            tokio::task::yield_now().await;
                            tokio::select! {
                                biased;
                                () = notify.notified() => {}
                                () = tokio::time::sleep(left) => {}
                            }
                        }
                        Next::Over => return,
                    }
                }
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::MonotonicClock;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Tells of each step, and does what it is told.
    struct Told(Receiver<Next>, SyncSender<()>);

    impl Work for Told {
        fn step(&mut self) -> Next {
            self.1.send(()).expect("the test listens");
            self.0.try_recv().unwrap_or(Next::Over)
        }
    }

    fn started(workers: Workers, script: &[Next]) -> (Waker, Receiver<()>) {
        let (tell, told) = sync_channel(16);
        let (step, steps) = sync_channel(16);
        for next in script {
            tell.send(*next).expect("there is room");
        }
        let clock = Arc::new(MonotonicClock::new());
        let waker = workers.waker();
        start("told", &waker, clock, Told(told, step)).expect("a thread is to be had");
        (waker, steps)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_thread_steps_when_woken_and_when_it_is_time() {
        let soon = MediaTime::from_millis(1);
        let (waker, steps) = started(Workers::Threads, &[Next::Woken, Next::At(soon)]);
        steps.recv_timeout(LONG).expect("the first step");
        waker.wake();
        steps.recv_timeout(LONG).expect("a step when woken");
        steps.recv_timeout(LONG).expect("a step when it is time");
        assert!(steps.recv().is_err(), "it is over");
    }

    #[test]
    fn a_call_before_the_start_is_not_lost() {
        let waker = Workers::Threads.waker();
        waker.wake();
        let (tell, told) = sync_channel(1);
        let (step, steps) = sync_channel(4);
        tell.send(Next::Woken).expect("there is room");
        let clock = Arc::new(MonotonicClock::new());
        start("told", &waker, clock, Told(told, step)).expect("a thread is to be had");
        steps.recv_timeout(LONG).expect("the first step");
        steps
            .recv_timeout(LONG)
            .expect("the step that it was woken for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_steps_in_virtual_time() {
        struct Hours(u8, Arc<Notify>);
        impl Work for Hours {
            fn step(&mut self) -> Next {
                self.0 -= 1;
                if self.0 == 0 {
                    self.1.notify_one();
                    return Next::Over;
                }
                // By a clock that stands at zero, each is an hour away.
                Next::At(MediaTime::from_millis(3_600_000))
            }
        }
        let begun = tokio::time::Instant::now();
        let over = Arc::new(Notify::new());
        let waker = Workers::Tasks.waker();
        let clock = Arc::new(duet_media::ManualClock::default());
        start("hours", &waker, clock, Hours(4, over.clone())).expect("there is a runtime");
        over.notified().await;
        assert_eq!(begun.elapsed().as_secs(), 3 * 3_600);
    }
}
