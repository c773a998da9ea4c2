//! `duet call --record`: what the other side sends, in a file.
//!
//! A recording has the tracks that it began with. Who comes later, comes back, or brings another track gets
//! a file of its own: NAME-2, NAME-3 and so on.

use crate::failure::Failure;
use crate::record::{PATIENCE, open, summary};
use crate::tell::Tell;
use duet_media::{MediaStream, MediaStreamTrack};
use duet_recorder::{MediaRecorder, MediaRecorderOptions, Output, RecorderEvent};
use std::path::{Path, PathBuf};

pub(super) struct Recordings {
    tell: Tell,
    path: PathBuf,
    /// The first file, which is opened before the call: then one that cannot be written is noticed.
    first: Option<Output>,
    files: usize,
    links: Vec<Recorded>,
}

/// What one connection brings.
struct Recorded {
    link: u64,
    tracks: Vec<MediaStreamTrack>,
    connected: bool,
    running: Option<Running>,
}

struct Running {
    recorder: MediaRecorder,
    path: PathBuf,
}

impl Recordings {
    pub(super) fn open(path: &Path, tell: Tell) -> Result<Self, Failure> {
        Ok(Recordings {
            tell,
            first: Some(open(path)?),
            path: path.to_owned(),
            files: 0,
            links: Vec::new(),
        })
    }

    /// The connection brought a track.
    pub(super) async fn track(&mut self, link: u64, track: &MediaStreamTrack) {
        let at = self.find(link);
        let recorded = &mut self.links[at];
        if recorded.tracks.contains(track) {
            return;
        }
        recorded.tracks.push(track.clone());
        if recorded.connected {
            let before = recorded.running.take();
            self.end(before).await;
            self.begin(at);
        }
    }

    /// Media can flow.
    pub(super) fn connected(&mut self, link: u64) {
        let at = self.find(link);
        if !std::mem::replace(&mut self.links[at].connected, true) {
            self.begin(at);
        }
    }

    /// The connection is over.
    pub(super) async fn gone(&mut self, link: u64) {
        if let Some(at) = self.links.iter().position(|other| other.link == link) {
            let recorded = self.links.swap_remove(at);
            self.end(recorded.running).await;
        }
    }

    /// The call is over.
    pub(super) async fn finish(&mut self) {
        for recorded in std::mem::take(&mut self.links) {
            self.end(recorded.running).await;
        }
    }

    fn find(&mut self, link: u64) -> usize {
        let found = self.links.iter().position(|other| other.link == link);
        found.unwrap_or_else(|| {
            self.links.push(Recorded {
                link,
                tracks: Vec::new(),
                connected: false,
                running: None,
            });
            self.links.len() - 1
        })
    }

    /// A recording that cannot be made does not end the call.
    fn begin(&mut self, at: usize) {
        let recorded = &mut self.links[at];
        if recorded.tracks.is_empty() {
            return;
        }
        self.files += 1;
        let path = numbered(&self.path, self.files);
        let output = match self.first.take() {
            Some(first) => Ok(first),
            None => open(&path),
        };
        let stream = MediaStream::from_tracks(recorded.tracks.iter().cloned());
        let started = output.and_then(|output| {
            let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default())
                .map_err(Failure::failed)?;
            let tell = self.tell;
            let target = path.clone();
            recorder
                .subscribe(move |event| {
                    if let RecorderEvent::Error(error) = event {
                        let file = target.display();
                        tell.warn(format_args!("{file} is not recorded any more: {error}"));
                    }
                })
                .forever();
            recorder.start_to(output).map_err(Failure::failed)?;
            Ok(recorder)
        });
        match started {
            Ok(recorder) => {
                self.tell
                    .say(format_args!("recording to {}", path.display()));
                recorded.running = Some(Running { recorder, path });
            }
            Err(failure) => self.tell.warn(format_args!("not recorded: {failure}")),
        }
    }

    async fn end(&self, running: Option<Running>) {
        let Some(Running { recorder, path }) = running else {
            return;
        };
        recorder.stop();
        let waited = tokio::task::spawn_blocking(move || {
            recorder.wait_until_stopped(PATIENCE);
            recorder.statistics()
        });
        if let Ok(statistics) = waited.await {
            self.tell.say(summary(&path, &statistics));
        }
    }
}

/// The first file has the name that was asked for, the others a number before the extension.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_have_a_number() {
        let name = |number| numbered(Path::new("/a.b/call.webm"), number);
        assert_eq!(name(1), Path::new("/a.b/call.webm"));
        assert_eq!(name(2), Path::new("/a.b/call-2.webm"));
        assert_eq!(numbered(Path::new("call"), 3), Path::new("call-3"));
    }
}
