//! What waits for a recorder's thread: frames of its tracks, and what it is told to do, in the order
//! in which they came.
//!
//! Capacity: a second of each track ([`VIDEO_CAPACITY`] and [`AUDIO_CAPACITY`]). When there is no
//! room the newest frame is lost, and counted; what is told to do is never lost, and there is little
//! of it.

use duet_media::{Frame, MediaKind, MediaStreamTrack, MediaTime, Sink, SinkHandle};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Pictures of a track that may wait: a second at 30 a second.
pub(crate) const VIDEO_CAPACITY: usize = 30;
/// Stretches of sound of a track that may wait: a second of 10 ms each.
pub(crate) const AUDIO_CAPACITY: usize = 100;

/// Something to see to.
#[derive(Debug)]
pub(crate) enum Item<C> {
    /// A frame of the track of that number.
    Frame(usize, Frame),
    /// Something to do.
    Command(C),
    /// The track of that number has ended.
    Ended(usize),
}

/// Whether a recording can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Some track has shown nothing yet.
    Waiting,
    /// It begins with the earliest of the tracks' first frames; `None` if there is none at all.
    At(Option<MediaTime>),
}

struct Queue<C> {
    items: VecDeque<Item<C>>,
    tracks: Vec<Track>,
    /// Whether frames are taken: not while the recorder is paused.
    taking: bool,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    waiting: usize,
    lost: u64,
    ended: bool,
}

/// The queue between the sources' threads and one that encodes.
pub(crate) struct Inbox<C> {
    queue: Mutex<Queue<C>>,
    arrived: Condvar,
}

impl<C: Send + 'static> Inbox<C> {
    /// An inbox for `tracks`, and what keeps it filled.
    pub(crate) fn attach(tracks: &[MediaStreamTrack]) -> (Arc<Self>, Vec<SinkHandle>) {
        let inbox = Arc::new(Inbox {
            queue: Mutex::new(Queue {
                items: VecDeque::new(),
                tracks: vec![Track::default(); tracks.len()],
                taking: true,
                closed: false,
            }),
            arrived: Condvar::new(),
        });
        let sinks = tracks.iter().enumerate().map(|(number, track)| {
            let capacity = match track.kind() {
                MediaKind::Audio => AUDIO_CAPACITY,
                MediaKind::Video => VIDEO_CAPACITY,
            };
            track.add_sink(Arc::new(Feed {
                inbox: inbox.clone(),
                number,
                capacity,
            }))
        });
        let sinks = sinks.collect();
        (inbox, sinks)
    }

    /// Something to do, after the frames that are there already.
    pub(crate) fn tell(&self, command: C) {
        self.tell_and(command, |_| ());
    }

    /// Like [`Inbox::tell`]; no frame that comes after it is taken.
    pub(crate) fn tell_and_refuse(&self, command: C) {
        self.tell_and(command, |queue| queue.taking = false);
    }

    /// Like [`Inbox::tell`]; frames that come after it are taken again.
    pub(crate) fn tell_and_take(&self, command: C) {
        self.tell_and(command, |queue| queue.taking = true);
    }

    /// Nobody will look into it any more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.items.clear();
    }

    /// The oldest item, waiting up to `patience` for one.
    pub(crate) fn next(&self, patience: Duration) -> Option<Item<C>> {
        let mut queue = self.queue.lock();
        if queue.items.is_empty() {
            self.arrived
                .wait_while_for(&mut queue, |queue| queue.items.is_empty(), patience);
        }
        let item = queue.items.pop_front();
        if let Some(Item::Frame(track, _)) = &item {
            queue.tracks[*track].waiting -= 1;
        }
        item
    }

    /// Looks whether there is a frame of every live track, waiting up to `patience` for that. Once
    /// there is something to do, nobody waits any longer.
    pub(crate) fn beginning(&self, patience: Duration) -> Beginning {
        let mut queue = self.queue.lock();
        if queue.first() == Beginning::Waiting {
            self.arrived.wait_while_for(
                &mut queue,
                |queue| queue.first() == Beginning::Waiting,
                patience,
            );
        }
        queue.first()
    }

    /// The earliest frame that there is.
    pub(crate) fn earliest(&self) -> Option<MediaTime> {
        self.queue.lock().earliest()
    }

    /// Frames that found no room, by track.
    pub(crate) fn lost(&self) -> Vec<u64> {
        let queue = self.queue.lock();
        queue.tracks.iter().map(|track| track.lost).collect()
    }

    fn tell_and(&self, command: C, also: impl FnOnce(&mut Queue<C>)) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        also(&mut queue);
        queue.items.push_back(Item::Command(command));
        drop(queue);
        self.arrived.notify_all();
    }
}

impl<C> Queue<C> {
    fn first(&self) -> Beginning {
        let mut shown = vec![false; self.tracks.len()];
        for item in &self.items {
            match item {
                Item::Frame(track, _) => shown[*track] = true,
                Item::Command(_) => return Beginning::At(self.earliest()),
                Item::Ended(_) => {}
            }
        }
        let mut tracks = self.tracks.iter().zip(&shown);
        match tracks.all(|(track, shown)| *shown || track.ended) {
            true => Beginning::At(self.earliest()),
            false => Beginning::Waiting,
        }
    }

    /// Of the frames before anything to do.
    fn earliest(&self) -> Option<MediaTime> {
        let before = self
            .items
            .iter()
            .take_while(|item| !matches!(item, Item::Command(_)));
        let frames = before.filter_map(|item| match item {
            Item::Frame(_, frame) => Some(frame.capture_time()),
            Item::Command(_) | Item::Ended(_) => None,
        });
        frames.min()
    }
}

/// One track's way in.
struct Feed<C> {
    inbox: Arc<Inbox<C>>,
    number: usize,
    capacity: usize,
}

impl<C: Send + 'static> Sink for Feed<C> {
    fn accept(&self, frame: &Frame) {
        let mut queue = self.inbox.queue.lock();
        if queue.closed || !queue.taking {
            return;
        }
        let track = &mut queue.tracks[self.number];
        if track.waiting == self.capacity {
            track.lost += 1;
            return;
        }
        track.waiting += 1;
        queue
            .items
            .push_back(Item::Frame(self.number, frame.clone()));
        drop(queue);
        self.inbox.arrived.notify_all();
    }

    fn ended(&self) {
        let mut queue = self.inbox.queue.lock();
        if queue.closed || std::mem::replace(&mut queue.tracks[self.number].ended, true) {
            return;
        }
        queue.items.push_back(Item::Ended(self.number));
        drop(queue);
        self.inbox.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::{
        I420Buffer, MediaSource, MediaTrackCapabilities, MediaTrackSettings, VideoFrame,
    };

    fn source() -> MediaSource {
        MediaSource::new(
            MediaKind::Video,
            "test",
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
            (),
        )
    }

    fn frame(millis: i64) -> Frame {
        let picture = Arc::new(I420Buffer::new(2, 2));
        VideoFrame::new(picture, MediaTime::from_millis(millis)).into()
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_full_inbox_loses_the_newest_frame_and_counts_it() {
        let source = source();
        let tracks = [source.create_track()];
        let (inbox, _sinks) = Inbox::<()>::attach(&tracks);
        for n in 0..VIDEO_CAPACITY as i64 + 2 {
            source.publish(&frame(n));
        }
        assert_eq!(inbox.lost(), [2]);
        assert!(
            matches!(inbox.next(NOW), Some(Item::Frame(0, first)) if first.capture_time() == MediaTime::ZERO)
        );
        source.publish(&frame(100));
        assert_eq!(inbox.lost(), [2], "there is room again");
    }

    #[test]
    fn what_is_told_keeps_its_place_among_the_frames() {
        let source = source();
        let tracks = [source.create_track()];
        let (inbox, _sinks) = Inbox::attach(&tracks);
        source.publish(&frame(1));
        inbox.tell_and_refuse("pause");
        source.publish(&frame(2));
        inbox.tell_and_take("resume");
        source.publish(&frame(3));
        source.end();
        let seen: Vec<_> = std::iter::from_fn(|| inbox.next(NOW))
            .map(|item| match item {
                Item::Frame(_, frame) => frame.capture_time().as_millis().to_string(),
                Item::Command(command) => command.to_owned(),
                Item::Ended(track) => format!("ended {track}"),
            })
            .collect();
        assert_eq!(seen, ["1", "pause", "resume", "3", "ended 0"]);
    }

    #[test]
    fn it_begins_with_the_earliest_frame_once_all_have_shown_one() {
        let (first, second) = (source(), source());
        let tracks = [first.create_track(), second.create_track()];
        let (inbox, _sinks) = Inbox::<()>::attach(&tracks);
        first.publish(&frame(20));
        assert_eq!(inbox.beginning(NOW), Beginning::Waiting);
        second.publish(&frame(10));
        let ten = Some(MediaTime::from_millis(10));
        assert_eq!(inbox.beginning(NOW), Beginning::At(ten));
        inbox.tell(());
        second.publish(&frame(5));
        assert_eq!(inbox.beginning(NOW), Beginning::At(ten));
    }
}
