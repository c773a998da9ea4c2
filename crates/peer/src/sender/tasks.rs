//! A sender's task: from the encoder to the path.

use super::{RTCRtpSender, SenderShared};
use crate::interceptor::MediaPath;
use crate::pipeline::{OutboundAudio, OutboundFrame, OutboundVideo, temporal_layer};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// While the connection comes up, pictures since the last key frame are kept, so that the first one
/// is there the moment that packets can leave. With more than this the wait starts over with a fresh
/// key frame.
const PREROLL_FRAMES: usize = 10;
/// So long an encoder runs for a connection that is not up.
const PREROLL: Duration = Duration::from_secs(5);
/// So long it runs when the way is lost: a restart of ICE takes less.
const NO_WAY: Duration = Duration::from_secs(2);

/// Carries sound from the encoder to the path.
pub(super) struct AudioTask {
    pub(super) audio: Arc<OutboundAudio>,
    pub(super) ssrc: u32,
    pub(super) path: Arc<MediaPath>,
}

impl AudioTask {
    pub(super) async fn run(self) {
        while let Some(packet) = self.audio.next().await {
            if !self.path.is_ready() || !self.path.is_open() || packet.data.is_empty() {
                continue;
            }
            let samples = u32::try_from(packet.duration.as_micros() * 48 / 1_000).unwrap_or(0);
            let (time, marker) = (packet.capture_time, packet.starts_talk_spurt);
            self.path
                .send_sound(self.ssrc, time, samples, marker, packet.data);
        }
    }
}

/// Carries pictures from the encoder to the path, no faster than it takes them: what it does not
/// take, the encoder's queue leaves out.
pub(super) struct VideoTask {
    pub(super) video: Arc<OutboundVideo>,
    pub(super) ssrc: u32,
    pub(super) path: Arc<MediaPath>,
    pub(super) sender: Weak<SenderShared>,
}

impl VideoTask {
    fn rest(&self, resting: bool) {
        if let Some(sender) = self.sender.upgrade() {
            RTCRtpSender(sender).rest(resting);
        }
    }

    pub(super) async fn run(self) {
        let Some(()) = self.wait_until_ready().await else {
            return;
        };
        loop {
            self.path.room().await;
            if !self.path.is_open() {
                let Some(()) = self.wait_for_way().await else {
                    return;
                };
            }
            let Some(frame) = self.video.next().await else {
                return;
            };
            self.send(&frame);
        }
    }

    /// There is no way: what the encoder makes is of no use, and after a while it makes nothing. When
    /// there is one again, the first picture is a key frame. `None` if the sender was closed first.
    async fn wait_for_way(&self) -> Option<()> {
        self.path.discard(self.ssrc);
        let patience = tokio::time::sleep(NO_WAY);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                biased;
                () = self.path.opened() => break,
                () = &mut patience => {
                    self.rest(true);
                    self.path.opened().await;
                    self.rest(false);
                    break;
                }
                frame = self.video.next() => drop(frame?),
            }
        }
        // What was encoded meanwhile leans on what was dropped.
        self.video.start_afresh();
        Some(())
    }

    /// Keeps what the encoder makes meanwhile, from its last key frame on. `None` if the sender was
    /// closed first.
    async fn wait_until_ready(&self) -> Option<()> {
        let mut kept: Vec<OutboundFrame> = Vec::new();
        let mut asked = false;
        let started = tokio::time::sleep(Duration::MAX / 4);
        tokio::pin!(started);
        let mut running = false;
        loop {
            tokio::select! {
                biased;
                () = self.path.ready() => break,
                () = &mut started, if running => {
                    kept.clear();
                    self.rest(true);
                    self.path.ready().await;
                    self.rest(false);
                    break;
                }
                frame = self.video.next() => {
                    let frame = frame?;
                    if !running {
                        running = true;
                        started.as_mut().reset(tokio::time::Instant::now() + PREROLL);
                    }
                    if frame.key_frame {
                        kept.clear();
                        asked = false;
                    }
                    if kept.len() < PREROLL_FRAMES {
                        kept.push(frame);
                    }
                    if kept.len() == PREROLL_FRAMES && !asked {
                        asked = true;
                        self.video.request_key_frame();
                    }
                }
            }
        }
        // Full means that frames were left out after the last one kept.
        let whole = kept.len() < PREROLL_FRAMES && kept.first().is_some_and(|f| f.key_frame);
        if whole {
            kept.iter().for_each(|frame| self.send(frame));
        } else if !kept.is_empty() {
            self.video.start_afresh();
        }
        Some(())
    }

    fn send(&self, frame: &OutboundFrame) {
        let (layer, time) = (temporal_layer(frame), frame.capture_time);
        if !self.path.send_picture(self.ssrc, time, layer, &frame.data) {
            // Not negotiated (yet): the other side will need a key frame when it is.
            self.video.start_afresh();
        }
    }
}
