//! What a page is yet to be told: the queue of its event loop.
//! <https://html.spec.whatwg.org/multipage/webappapis.html#event-loops>

use crate::door::Thrown;
use duet_devices::MediaDeviceInfo;
use duet_media::{MediaStream, MediaStreamTrack};
use duet_recorder::RecorderTask;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

/// Something that a page is told, one after the other.
#[derive(Debug)]
pub(crate) enum Task {
    /// All its scripts have run.
    Load,
    /// A timer is due.
    Timer(u64),
    /// What it asked for is there, or failed.
    Settled(u64, Result<Answer, Thrown>),
    /// An event on a track.
    Track(String, &'static str),
    /// A track was added to a stream, or removed, from elsewhere.
    Stream(String, &'static str, MediaStreamTrack),
    /// A step of the recorder of that number.
    Recorder(u64, RecorderTask),
    /// There are other devices now.
    Devices(Vec<MediaDeviceInfo>),
    /// What the glue has a name for.
    Told(Value),
}

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Nothing,
    Stream(MediaStream),
    Devices(Vec<MediaDeviceInfo>),
    Json(Value),
}

/// The queue. Unbounded: it is filled by one page's own doings, and by its devices' rare events.
pub(crate) struct Agenda {
    sender: Sender<Task>,
    receiver: Receiver<Task>,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    next_id: u64,
    under_way: usize,
    /// When the page is quiet although something outside might still speak; `None` if nothing can.
    listening_until: Option<Instant>,
}

/// So long the other ends of a page's connections may be silent before it is quiet.
const SILENCE: Duration = Duration::from_secs(9);

/// Puts a task on a page's agenda; a page that is gone misses nothing.
pub(crate) fn tell(sender: &Sender<Task>, task: Task) {
    let _ = sender.send(task);
}

/// Why there is no task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// None of the page's doings is under way, and no timer runs.
    Quiet,
    /// Something will come, but has not in time.
    Late,
}

impl Agenda {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Agenda {
            sender,
            receiver,
            timers: BinaryHeap::new(),
            next_id: 0,
            under_way: 0,
            listening_until: None,
        }
    }

    /// For other threads, to add tasks.
    pub(crate) fn sender(&self) -> Sender<Task> {
        self.sender.clone()
    }

    /// Starts a timer, or one of that id anew.
    pub(crate) fn start_timer(&mut self, delay: Duration, id: Option<u64>) -> u64 {
        let id = id.unwrap_or_else(|| self.new_id());
        self.timers.push(Reverse((Instant::now() + delay, id)));
        id
    }

    /// Notes a request; it is under way until its [`Task::Settled`] is taken.
    pub(crate) fn start_request(&mut self) -> u64 {
        self.hold();
        self.new_id()
    }

    /// From now on something outside may speak, or nothing any more.
    pub(crate) fn listen(&mut self, to_somebody: bool) {
        self.listening_until = to_somebody.then(|| Instant::now() + SILENCE);
    }

    /// Something is under way, of which tasks may come until it is [released](Agenda::release).
    pub(crate) fn hold(&mut self) {
        self.under_way += 1;
    }

    pub(crate) fn release(&mut self) {
        self.under_way -= 1;
    }

    /// The next task that is there now.
    pub(crate) fn try_next(&mut self) -> Option<Task> {
        match self.receiver.try_recv() {
            Ok(task) => Some(self.taken(task)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.due_timer(),
        }
    }

    /// The next task, waiting for one until `deadline`.
    pub(crate) fn next(&mut self, deadline: Instant) -> Result<Task, Idle> {
        if let Some(task) = self.try_next() {
            return Ok(task);
        }
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let idle = timer.is_none() && self.under_way == 0;
        let quiet_at = idle.then(|| self.listening_until.unwrap_or_else(Instant::now));
        if quiet_at.is_some_and(|at| at <= Instant::now()) {
            return Err(Idle::Quiet);
        }
        let until = timer.or(quiet_at).unwrap_or(deadline).min(deadline);
        let patience = until.saturating_duration_since(Instant::now());
        match self.receiver.recv_timeout(patience) {
            Ok(task) => Ok(self.taken(task)),
            Err(_) => self.due_timer().ok_or(Idle::Late),
        }
    }

    fn taken(&mut self, task: Task) -> Task {
        if let Some(until) = &mut self.listening_until {
            *until = Instant::now() + SILENCE;
        }
        if matches!(task, Task::Settled(..)) {
            self.release();
        }
        task
    }

    fn due_timer(&mut self) -> Option<Task> {
        let Reverse((due, id)) = *self.timers.peek()?;
        (due <= Instant::now()).then(|| {
            self.timers.pop();
            Task::Timer(id)
        })
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn timers_come_in_their_order_and_after_what_is_there() {
        let mut agenda = Agenda::new();
        assert_eq!(agenda.next(soon()).unwrap_err(), Idle::Quiet);
        let late = agenda.start_timer(Duration::from_millis(20), None);
        let early = agenda.start_timer(Duration::ZERO, None);
        agenda.sender().send(Task::Load).unwrap();
        assert!(matches!(agenda.next(soon()), Ok(Task::Load)));
        for expected in [early, late] {
            assert!(matches!(agenda.next(soon()), Ok(Task::Timer(id)) if id == expected));
        }
        assert_eq!(agenda.next(soon()).unwrap_err(), Idle::Quiet);
    }

    #[test]
    fn a_request_is_waited_for_until_it_is_settled() {
        let mut agenda = Agenda::new();
        let id = agenda.start_request();
        let now = Instant::now();
        assert_eq!(agenda.next(now).unwrap_err(), Idle::Late);
        let settled = Task::Settled(id, Ok(Answer::Nothing));
        agenda.sender().send(settled).unwrap();
        assert!(matches!(agenda.next(soon()), Ok(Task::Settled(..))));
        assert_eq!(agenda.next(soon()).unwrap_err(), Idle::Quiet);
    }
}
