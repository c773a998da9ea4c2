//! The streams of a sender: one, or one for each of several encodings (simulcast,
//! [RFC 8853](https://www.rfc-editor.org/rfc/rfc8853)), and what becomes of each.

use super::quality::Quality;
use super::tasks::{AudioTask, VideoTask};
use super::{AskEncoder, Outbound, SenderShared};
use crate::RTCRtpEncodingParameters;
use crate::interceptor::MediaPath;
use crate::pipeline::{AudioSendSettings, EncoderHub, VideoSendSettings};
use duet_media::{MediaKind, MediaStreamTrack, MediaTime};
use duet_session::{EncodingNeed, SimulcastAllocator};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::task::JoinHandle;

/// One stream of packets, for the sender's whole life.
pub(crate) struct SentStream {
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// Its encoding's id; empty of a single one.
    pub(crate) rid: String,
    pub(crate) outbound: Outbound,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What is sent in it.
pub(super) struct Encoding {
    pub(super) parameters: RTCRtpEncodingParameters,
    pub(super) quality: Quality,
    /// The other side takes it.
    pub(super) taken: bool,
    /// The path carries it.
    pub(super) carried: bool,
}

impl SentStream {
    pub(super) fn new(
        kind: MediaKind,
        path: &Arc<MediaPath>,
        encoders: &EncoderHub,
        start_bitrate: u32,
        parameters: &RTCRtpEncodingParameters,
    ) -> Self {
        let outbound = match kind {
            MediaKind::Audio => {
                let opus = AudioSendSettings::default();
                Outbound::Audio(Arc::new(encoders.subscribe_audio(None, opus)))
            }
            MediaKind::Video => {
                let most = parameters.max_bitrate.unwrap_or(u32::MAX);
                let (settings, start) = (VideoSendSettings::default(), most.min(start_bitrate));
                Outbound::Video(Arc::new(encoders.subscribe_video(None, settings, start)))
            }
        };
        let ssrc = rand::random::<u32>() | 1;
        let rid = parameters.rid.clone().unwrap_or_default();
        path.add_sender(ssrc, kind, Arc::new(AskEncoder(outbound.clone())));
        path.set_rid(ssrc, &rid);
        SentStream {
            ssrc,
            rtx_ssrc: ssrc.wrapping_add(1),
            rid,
            outbound,
            task: Mutex::new(None),
        }
    }

    /// Carries what is encoded to the path from now on. Must be called within a Tokio runtime.
    pub(super) fn start(&self, path: &Arc<MediaPath>, sender: &Weak<SenderShared>) {
        let (ssrc, path, sender) = (self.ssrc, path.clone(), sender.clone());
        let task = match self.outbound.clone() {
            Outbound::Audio(audio) => tokio::spawn(AudioTask { audio, ssrc, path }.run()),
            Outbound::Video(video) => {
                let task = VideoTask {
                    video,
                    ssrc,
                    path,
                    sender,
                };
                tokio::spawn(task.run())
            }
        };
        *self.task.lock() = Some(task);
    }

    /// Ends its encoder and tells its task to end, which is returned the first time.
    pub(super) fn end(&self, path: &MediaPath) -> Option<JoinHandle<()>> {
        match &self.outbound {
            Outbound::Audio(audio) => audio.close(),
            Outbound::Video(video) => video.close(),
        }
        path.remove_sender(self.ssrc);
        self.task.lock().take().inspect(JoinHandle::abort)
    }
}

impl Drop for SentStream {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

impl Encoding {
    pub(super) fn new(parameters: RTCRtpEncodingParameters) -> Self {
        Encoding {
            parameters,
            quality: Quality::default(),
            taken: true,
            carried: true,
        }
    }

    /// Whether anything of it is to be sent.
    pub(super) fn is_wanted(&self) -> bool {
        self.parameters.active && self.taken && self.carried
    }
}

/// Divides a sender's bits among several encodings, the smallest first. True if others are sent than
/// before.
pub(super) fn divide(
    allocator: &mut SimulcastAllocator,
    encodings: &mut [Encoding],
    streams: &[SentStream],
    track: &MediaStreamTrack,
    bits_per_second: u32,
    now: MediaTime,
) -> bool {
    let settings = track.get_settings();
    let size = settings.width.zip(settings.height).unwrap_or((1_280, 720));
    let pixels = f64::from(size.0) * f64::from(size.1);
    let scale = |encoding: &Encoding| encoding.parameters.scale_resolution_down_by;
    let usable = |encoding: &Encoding| encoding.parameters.active && encoding.taken;
    let mut order: Vec<usize> = (0..encodings.len())
        .filter(|at| usable(&encodings[*at]))
        .collect();
    order.sort_by(|a, b| scale(&encodings[*b]).total_cmp(&scale(&encodings[*a])));
    let need = |at: &usize| {
        let encoding = &encodings[*at];
        let pixels = pixels / (scale(encoding) * scale(encoding));
        EncodingNeed::of(pixels as u64, encoding.parameters.max_bitrate)
    };
    let needs: Vec<EncodingNeed> = order.iter().map(need).collect();
    let shares = allocator.divide(u64::from(bits_per_second), &needs, now);
    let mut changed = false;
    for (at, share) in order.into_iter().zip(shares) {
        let encoding = &mut encodings[at];
        let carried = share > 0;
        changed |= std::mem::replace(&mut encoding.carried, carried) != carried;
        if let Outbound::Video(video) = &streams[at].outbound {
            let share = u32::try_from(share).unwrap_or(u32::MAX);
            if carried {
                video.set_target_bitrate(share);
            }
            encoding.quality.note(!carried, &video.stats(), now);
        }
    }
    changed
}
