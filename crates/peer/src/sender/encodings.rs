//! The streams of a sender: one, or one for each of several encodings (simulcast,
//! [RFC 8853](https://www.rfc-editor.org/rfc/rfc8853)), and what becomes of each.

use super::quality::Quality;
use super::tasks::{AudioTask, VideoTask};
use super::{AskEncoder, Outbound, RTCRtpSender, SenderShared};
use crate::RTCRtpEncodingParameters;
use crate::interceptor::MediaPath;
use crate::pipeline::{AudioSendSettings, EncoderHub, VideoSendSettings};
use crate::sdp::TakenEncoding;
use duet_media::{MediaKind, MediaStreamTrack, MediaTime};
use duet_session::{EncodingNeed, QualityLimitation, SimulcastAllocator};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::task::JoinHandle;

/// One stream of packets, for the sender's whole life.
pub(crate) struct SentStream {
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    pub(crate) fec_ssrc: u32,
    pub(crate) outbound: Outbound,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What is sent in it.
pub(super) struct Encoding {
    pub(super) stream: Arc<SentStream>,
    pub(super) parameters: RTCRtpEncodingParameters,
    pub(super) quality: Quality,
    /// The other side takes it…
    pub(super) taken: bool,
    /// … and not for now.
    paused: bool,
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
            fec_ssrc: ssrc.wrapping_add(2),
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
    pub(super) fn new(
        kind: MediaKind,
        path: &Arc<MediaPath>,
        encoders: &EncoderHub,
        start_bitrate: u32,
        parameters: RTCRtpEncodingParameters,
    ) -> Self {
        let stream = SentStream::new(kind, path, encoders, start_bitrate, &parameters);
        Encoding {
            stream: Arc::new(stream),
            parameters,
            quality: Quality::default(),
            taken: true,
            paused: false,
            carried: true,
        }
    }

    /// Whether both sides want it.
    pub(super) fn is_usable(&self) -> bool {
        self.parameters.active && self.taken && !self.paused
    }

    /// Whether anything of it is to be sent.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_usable() && self.carried
    }
}

/// What statistics say of one encoding.
pub(crate) struct SentEncoding {
    pub(crate) stream: Arc<SentStream>,
    pub(crate) rid: Option<String>,
    /// Whether anything of it is being sent.
    pub(crate) active: bool,
    pub(crate) scalability_mode: Option<String>,
    pub(crate) limitation: QualityLimitation,
}

impl RTCRtpSender {
    /// Its streams, in the order of its encodings.
    pub(crate) fn sent(&self) -> Vec<Arc<SentStream>> {
        let state = self.0.state.lock();
        let streams = state.encodings.iter().map(|one| one.stream.clone());
        streams.collect()
    }

    /// Its encodings, those too that the other side does not take.
    pub(crate) fn sent_encodings(&self) -> Vec<SentEncoding> {
        let state = self.0.state.lock();
        let sends = state.live && state.track.is_some();
        let encodings = state.encodings.iter().map(|encoding| SentEncoding {
            stream: encoding.stream.clone(),
            rid: encoding.parameters.rid.clone(),
            active: sends && encoding.is_wanted(),
            scalability_mode: encoding.parameters.scalability_mode.clone(),
            limitation: encoding.quality.limitation().clone(),
        });
        encodings.collect()
    }

    /// The ids of the encodings that the other side takes, as far as is known.
    pub(crate) fn rids(&self) -> Vec<String> {
        let state = self.0.state.lock();
        let taken = state.encodings.iter().filter(|encoding| encoding.taken);
        taken.filter_map(|one| one.parameters.rid.clone()).collect()
    }

    /// Of several encodings only those go on that an answer agreed on; with none of them the first, as
    /// the only one. What was left out once does not come back
    /// ([setting a description](https://w3c.github.io/webrtc-pc/#set-the-session-description)).
    pub(crate) fn keep_encodings(&self, agreed: &[TakenEncoding]) {
        let mut state = self.0.state.lock();
        state.before_offer = None;
        if state.encodings.len() < 2 {
            return;
        }
        let mut kept = 0;
        for encoding in &mut state.encodings {
            let rid = encoding.parameters.rid.as_deref();
            let agreed = agreed.iter().find(|one| Some(one.rid.as_str()) == rid);
            encoding.taken &= agreed.is_some();
            encoding.paused = agreed.is_some_and(|agreed| agreed.paused);
            kept += usize::from(encoding.taken);
        }
        if kept == 0
            && let Some(first) = state.encodings.first_mut()
        {
            // It is none of several any more: its packets have no need to say which one.
            first.taken = true;
            self.0.path.set_rid(first.stream.ssrc, "");
        }
        self.feed(&state);
        drop(state);
        self.apply_settings();
    }

    /// The other side's offer asks for these encodings: they replace an only one that has no id. Must be
    /// called within a Tokio runtime.
    pub(crate) fn propose_encodings(
        &self,
        proposed: Vec<RTCRtpEncodingParameters>,
        encoders: &EncoderHub,
        start_bitrate: u32,
    ) {
        let mut state = self.0.state.lock();
        let mut proposed = proposed.into_iter();
        let ([only], Some(first)) = (&mut state.encodings[..], proposed.next()) else {
            return;
        };
        if only.parameters.rid.is_some() {
            return;
        }
        let path = &self.0.path;
        path.set_rid(self.0.ssrc, first.rid.as_deref().unwrap_or_default());
        state.before_offer = Some(std::mem::replace(&mut only.parameters, first));
        for parameters in proposed {
            let encoding = Encoding::new(self.0.kind, path, encoders, start_bitrate, parameters);
            encoding.stream.start(path, &Arc::downgrade(&self.0));
            state.encodings.push(encoding);
        }
        self.feed(&state);
        self.shape(&state);
        drop(state);
        // What was returned before has other encodings.
        *self.0.returned.lock() = None;
    }

    /// The offer that asked for them was taken back.
    pub(crate) fn withdraw_encodings(&self) {
        let mut state = self.0.state.lock();
        let Some(before) = state.before_offer.take() else {
            return;
        };
        for encoding in state.encodings.drain(1..) {
            // It ends by itself: nothing of it was ever sent.
            encoding.stream.end(&self.0.path);
        }
        if let Some(only) = state.encodings.first_mut() {
            (only.parameters, only.carried) = (before, true);
            self.0.path.set_rid(self.0.ssrc, "");
        }
        self.feed(&state);
        self.shape(&state);
        drop(state);
        *self.0.returned.lock() = None;
    }
}

/// Divides a sender's bits among several encodings, the smallest first. True if others are sent than
/// before.
pub(super) fn divide(
    allocator: &mut SimulcastAllocator,
    encodings: &mut [Encoding],
    track: &MediaStreamTrack,
    bits_per_second: u32,
    now: MediaTime,
) -> bool {
    let settings = track.get_settings();
    let size = settings.width.zip(settings.height).unwrap_or((1_280, 720));
    let pixels = f64::from(size.0) * f64::from(size.1);
    let scale = |encoding: &Encoding| encoding.parameters.scale_resolution_down_by;
    let mut order: Vec<&mut Encoding> = encodings.iter_mut().filter(|e| e.is_usable()).collect();
    order.sort_by(|a, b| scale(b).total_cmp(&scale(a)));
    let need = |encoding: &&mut Encoding| {
        let pixels = pixels / (scale(encoding) * scale(encoding));
        EncodingNeed::of(pixels as u64, encoding.parameters.max_bitrate)
    };
    let needs: Vec<EncodingNeed> = order.iter().map(need).collect();
    let shares = allocator.divide(u64::from(bits_per_second), &needs, now);
    let mut changed = false;
    for (encoding, share) in order.into_iter().zip(shares) {
        let carried = share > 0;
        changed |= std::mem::replace(&mut encoding.carried, carried) != carried;
        if let Outbound::Video(video) = &encoding.stream.outbound {
            if carried {
                video.set_target_bitrate(u32::try_from(share).unwrap_or(u32::MAX));
            }
            encoding.quality.note(!carried, &video.stats(), now);
        }
    }
    changed
}
