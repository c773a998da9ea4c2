//! A stream that is encoded for as long as somebody reads it.

use super::reader::{Outlet, Reader, pipe};
use crate::encode::{Encoding, EncodingConfig, KeyFrames};
use crate::inbox::{Inbox, Item};
use crate::mime;
use crate::options::{Kinds, MediaRecorderOptions};
use crate::webm::{Block, Muxer, TrackEntry};
use duet_media::{MediaKind, MediaStream, MediaStreamTrack, SinkHandle, TrackState};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often the stream is asked for its tracks when nothing else happens.
const LOOK: Duration = Duration::from_millis(100);
/// Readers of one stream at once.
const MOST_READERS: usize = 64;

/// Why a stream cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// None of its tracks is live.
    Ended,
    /// It has too many readers, or the system grants no thread.
    Busy,
}

/// A stream that has a URL.
pub(super) struct Live {
    stream: MediaStream,
    /// Its bitrates count.
    options: MediaRecorderOptions,
    /// Bytes that may wait for each reader.
    capacity: usize,
    broadcast: Arc<Mutex<Option<Broadcast>>>,
}

/// What is known of a running thread.
struct Broadcast {
    inbox: Arc<Inbox<Command>>,
    mime_type: String,
    /// Readers that the thread was told of, ever: it may end once it has seen as many off.
    joined: u64,
    left: u64,
}

enum Command {
    Join(Outlet),
    Close,
}

impl Live {
    pub(super) fn new(stream: MediaStream, options: MediaRecorderOptions, capacity: usize) -> Self {
        Live {
            stream,
            options,
            capacity,
            broadcast: Arc::default(),
        }
    }

    pub(super) fn stream(&self) -> &MediaStream {
        &self.stream
    }

    /// What is read, and its MIME type.
    pub(super) fn open(&self) -> Result<(String, Reader), Refusal> {
        if !self.stream.active() {
            return Err(Refusal::Ended);
        }
        let mut running = self.broadcast.lock();
        let broadcast = match &mut *running {
            Some(broadcast) => broadcast,
            none => none.insert(self.start()?),
        };
        if broadcast.joined - broadcast.left >= MOST_READERS as u64 {
            return Err(Refusal::Busy);
        }
        let (outlet, reader) = pipe(self.capacity);
        broadcast.joined += 1;
        broadcast.inbox.tell(Command::Join(outlet));
        Ok((broadcast.mime_type.clone(), reader))
    }

    /// Whoever reads it comes to the end.
    pub(super) fn close(&self) {
        if let Some(broadcast) = &*self.broadcast.lock() {
            broadcast.inbox.tell(Command::Close);
        }
    }

    fn start(&self) -> Result<Broadcast, Refusal> {
        let members = self.stream.get_tracks();
        let live = members
            .iter()
            .filter(|track| track.ready_state() == TrackState::Live);
        let tracks: Vec<_> = live.cloned().collect();
        let has = |kind| tracks.iter().any(|track| track.kind() == kind);
        let kinds = Kinds {
            audio: has(MediaKind::Audio),
            video: has(MediaKind::Video),
        };
        let config = EncodingConfig {
            bitrates: self.options.bitrates_for(kinds),
            key_frames: KeyFrames::default(),
        };
        let (inbox, sinks) = Inbox::attach(&tracks);
        let worker = Worker {
            stream: self.stream.clone(),
            members,
            live: tracks.len(),
            encoding: Encoding::new(&tracks, &config),
            begins_with: match kinds.video {
                true => MediaKind::Video,
                false => MediaKind::Audio,
            },
            kinds: tracks.iter().map(MediaStreamTrack::kind).collect(),
            inbox: inbox.clone(),
            _sinks: sinks,
            readers: Vec::new(),
            broadcast: self.broadcast.clone(),
        };
        thread::Builder::new()
            .name("live-url".into())
            .spawn(move || worker.run())
            .map_err(|_| Refusal::Busy)?;
        Ok(Broadcast {
            inbox,
            mime_type: mime::extended("", kinds.video, kinds.audio),
            joined: 0,
            left: 0,
        })
    }
}

/// The thread.
struct Worker {
    stream: MediaStream,
    members: Vec<MediaStreamTrack>,
    /// How many tracks have not ended.
    live: usize,
    encoding: Encoding,
    /// Of what kind the first block of a reader is: a key frame where there are pictures.
    begins_with: MediaKind,
    kinds: Vec<MediaKind>,
    inbox: Arc<Inbox<Command>>,
    _sinks: Vec<SinkHandle>,
    readers: Vec<Seat>,
    broadcast: Arc<Mutex<Option<Broadcast>>>,
}

/// A reader, and its WebM.
struct Seat {
    outlet: Outlet,
    /// Once it has begun: with what came at that time.
    muxer: Option<(Muxer, Duration)>,
}

impl Worker {
    fn run(mut self) {
        while self.step() {
            if self.nobody_reads() {
                return;
            }
        }
        // Whoever comes from now on begins anew, if there is anything to begin with.
        *self.broadcast.lock() = None;
        self.inbox.close();
        if self.encoding.finish().is_ok() {
            self.hand_on();
        }
    }

    /// Sees to one thing; false if there is nothing more to see to.
    fn step(&mut self) -> bool {
        if self.stream.get_tracks() != self.members {
            return false;
        }
        match self.inbox.next(LOOK) {
            None => true,
            Some(Item::Frame(track, frame)) => {
                if !self.encoding.runs() {
                    self.encoding.begin(frame.capture_time());
                }
                if let Err(error) = self.encoding.take(track, &frame) {
                    tracing::warn!(%error, "a live stream cannot be encoded");
                    return false;
                }
                self.hand_on();
                true
            }
            Some(Item::Command(Command::Join(outlet))) => {
                self.readers.push(Seat {
                    outlet,
                    muxer: None,
                });
                self.encoding.want_key_frames();
                true
            }
            Some(Item::Command(Command::Close)) => false,
            Some(Item::Ended(track)) => {
                self.live -= 1;
                self.live > 0 && self.encoding.end(track).is_ok()
            }
        }
    }

    fn hand_on(&mut self) {
        while let Some(block) = self.encoding.pop() {
            let begins = block.key_frame && self.kinds.get(block.track) == Some(&self.begins_with);
            let entries = self.encoding.describe();
            let before = self.readers.len();
            self.readers
                .retain_mut(|seat| seat.take(&block, begins, &entries));
            let left = before - self.readers.len();
            if left > 0
                && let Some(broadcast) = &mut *self.broadcast.lock()
            {
                broadcast.left += left as u64;
            }
        }
    }

    /// Whether the thread may end. Nobody can join between the look and the end.
    fn nobody_reads(&self) -> bool {
        if !self.readers.is_empty() {
            return false;
        }
        let mut broadcast = self.broadcast.lock();
        let alone = broadcast
            .as_ref()
            .is_none_or(|broadcast| broadcast.joined > 0 && broadcast.joined == broadcast.left);
        if alone {
            *broadcast = None;
            self.inbox.close();
        }
        alone
    }
}

impl Seat {
    /// False if nobody reads it any more.
    fn take(&mut self, block: &Block, begins: bool, entries: &[TrackEntry]) -> bool {
        let mut bytes = Vec::with_capacity(block.data.len() + 16);
        let (muxer, start) = match &mut self.muxer {
            Some(begun) => begun,
            None if !begins => return self.outlet.is_read(),
            none => none.insert((Muxer::new(entries.to_vec(), &mut bytes), block.time)),
        };
        let Some(time) = block.time.checked_sub(*start) else {
            return true;
        };
        let mine = Block {
            time,
            ..block.clone()
        };
        // A stream's sizes stay unknown.
        drop(muxer.write(&mine, &mut bytes));
        self.outlet.push(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_devices::synthetic::{SyntheticCamera, SyntheticCameraConfig};
    use duet_media::MonotonicClock;
    use futures::StreamExt;
    use futures::executor::block_on;

    fn live(capacity: usize) -> Live {
        let config = SyntheticCameraConfig {
            width: 160,
            height: 90,
            ..Default::default()
        };
        let camera = SyntheticCamera::start(config, Arc::new(MonotonicClock::new()));
        Live::new(
            MediaStream::from_tracks([camera]),
            MediaRecorderOptions::default(),
            capacity,
        )
    }

    #[test]
    fn a_reader_that_reads_nothing_is_dropped_and_the_others_go_on() {
        let live = live(50_000);
        let (_, slow) = live.open().unwrap();
        let (_, mut quick) = live.open().unwrap();
        let mut read = 0;
        while read < 200_000 {
            let bytes = block_on(quick.next()).expect("no end for the quick one");
            read += bytes.unwrap().len();
        }
        let left: Vec<_> = block_on(slow.collect());
        assert!(
            left.is_empty(),
            "nothing is kept for a reader that was dropped"
        );
        drop(quick);
    }

    #[test]
    fn nobody_encodes_for_nobody() {
        let live = live(50_000);
        let (_, mut reader) = live.open().unwrap();
        assert!(block_on(reader.next()).is_some());
        let running = live.broadcast.clone();
        assert!(running.lock().is_some());
        drop(reader);
        let (_, again) = live.open().unwrap();
        drop(again);
        // The thread notices with the next picture.
        let tracks = live.stream.get_tracks();
        let queue = Arc::new(duet_media::FrameQueue::new(1));
        let _sink = tracks[0].add_sink(queue.clone());
        for _ in 0..300 {
            drop(queue.pop_timeout(Duration::from_secs(10)));
            if running.lock().is_none() {
                return;
            }
        }
        panic!("it still encodes");
    }
}
