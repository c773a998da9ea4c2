//! What sends a track.

use crate::interceptor::{Feedbacks, MediaPath};
use crate::peer_connection::Shared;
use crate::pipeline::{
    AudioSendSettings, EncoderHub, OutboundAudio, OutboundFrame, OutboundVideo, VideoSendSettings,
};
use crate::sdp::OpusParameters;
use crate::{RTCError, RTCErrorKind, RTCRtpEncodingParameters};
use duet_media::{MediaKind, MediaStreamTrack};
use parking_lot::Mutex;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;

/// While the connection comes up, pictures since the last key frame are kept, so that the first one
/// is there the moment that packets can leave. With more than this the wait starts over with a fresh
/// key frame.
const PREROLL_FRAMES: usize = 10;
/// So long an encoder runs for a connection that is not up.
const PREROLL: Duration = Duration::from_secs(5);

/// [`RTCRtpSender`](https://www.w3.org/TR/webrtc/#rtcrtpsender-interface). Clones are the same
/// sender.
///
/// It has one stream of packets for its whole life; [`replace_track`](Self::replace_track) changes
/// what is in them. No track is ever stopped by it.
#[derive(Clone)]
pub struct RTCRtpSender(pub(crate) Arc<SenderShared>);

pub(crate) struct SenderShared {
    kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    /// Goes into the description beside the streams' ids.
    pub(crate) track_id: String,
    outbound: Outbound,
    path: Arc<MediaPath>,
    peer: Weak<Shared>,
    state: Mutex<SenderState>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone)]
pub(crate) enum Outbound {
    Audio(Arc<OutboundAudio>),
    Video(Arc<OutboundVideo>),
}

struct SenderState {
    track: Option<MediaStreamTrack>,
    streams: Vec<String>,
    encoding: RTCRtpEncodingParameters,
    /// The description lets it send.
    live: bool,
    /// Nobody answers: its encoder waits for the path.
    resting: bool,
    /// Divided up anew by what the path carries.
    scale: f64,
    frame_rate: Option<f64>,
    opus: AudioSendSettings,
}

struct AskEncoder(Outbound);

impl Feedbacks for AskEncoder {
    fn key_frame_wanted(&self) {
        if let Outbound::Video(video) = &self.0 {
            video.request_key_frame();
        }
    }
}

impl RTCRtpSender {
    /// A sender without a track, with its task. Must be called within a Tokio runtime.
    pub(crate) fn new(
        kind: MediaKind,
        path: &Arc<MediaPath>,
        encoders: &EncoderHub,
        start_bitrate: u32,
        encoding: RTCRtpEncodingParameters,
        peer: Weak<Shared>,
    ) -> Self {
        let opus = AudioSendSettings::default();
        let outbound = match kind {
            MediaKind::Audio => Outbound::Audio(Arc::new(encoders.subscribe_audio(None, opus))),
            MediaKind::Video => {
                let start = encoding.max_bitrate.unwrap_or(u32::MAX).min(start_bitrate);
                let settings = VideoSendSettings::default();
                Outbound::Video(Arc::new(encoders.subscribe_video(None, settings, start)))
            }
        };
        let ssrc = rand::random::<u32>() | 1;
        path.add_sender(ssrc, kind, Arc::new(AskEncoder(outbound.clone())));
        let sender = RTCRtpSender(Arc::new(SenderShared {
            kind,
            ssrc,
            rtx_ssrc: ssrc.wrapping_add(1),
            track_id: format!("{kind}-{ssrc:08x}"),
            outbound: outbound.clone(),
            path: path.clone(),
            peer,
            state: Mutex::new(SenderState {
                track: None,
                streams: Vec::new(),
                encoding,
                live: false,
                resting: false,
                scale: 1.0,
                frame_rate: None,
                opus,
            }),
            task: Mutex::new(None),
        }));
        sender.apply_settings();
        let path = path.clone();
        let task = match outbound {
            Outbound::Audio(audio) => tokio::spawn(AudioTask { audio, ssrc, path }.run()),
            Outbound::Video(video) => {
                let sender = Arc::downgrade(&sender.0);
                tokio::spawn(
                    VideoTask {
                        video,
                        ssrc,
                        path,
                        sender,
                    }
                    .run(),
                )
            }
        };
        *sender.0.task.lock() = Some(task);
        sender
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// What it sends.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.0.state.lock().track.clone()
    }

    /// Sends another track from now on, or none, without a negotiation. The other side's track stays
    /// the same one.
    ///
    /// # Errors
    /// `TypeError` for a track of the other kind.
    pub fn replace_track(&self, track: Option<&MediaStreamTrack>) -> Result<(), RTCError> {
        if track.is_some_and(|track| track.kind() != self.0.kind) {
            let message = format!("a {} sender cannot send that track", self.0.kind);
            return Err(RTCError::new(RTCErrorKind::Type, message));
        }
        let mut state = self.0.state.lock();
        let old = std::mem::replace(&mut state.track, track.cloned());
        self.feed(&state);
        drop(state);
        // The last handle of a track stops its source, whose owner may ask this sender something.
        drop(old);
        Ok(())
    }

    /// Names the streams that its track belongs to, from the next negotiation on
    /// ([`setStreams`](https://www.w3.org/TR/webrtc/#dom-rtcrtpsender-setstreams)).
    pub fn set_streams(&self, streams: &[duet_media::MediaStream]) {
        let mut ids: Vec<String> = Vec::with_capacity(streams.len());
        for stream in streams {
            if !ids.iter().any(|id| id == stream.id()) {
                ids.push(stream.id().to_owned());
            }
        }
        self.0.state.lock().streams = ids;
        if let Some(peer) = self.0.peer.upgrade() {
            peer.update_negotiation_needed();
        }
    }

    /// [`getParameters`](https://www.w3.org/TR/webrtc/#dom-rtcrtpsender-getparameters): its one
    /// encoding.
    pub fn get_parameters(&self) -> RTCRtpEncodingParameters {
        self.0.state.lock().encoding
    }

    /// [`setParameters`](https://www.w3.org/TR/webrtc/#dom-rtcrtpsender-setparameters).
    ///
    /// # Errors
    /// `RangeError` for a number out of its range.
    pub fn set_parameters(&self, encoding: RTCRtpEncodingParameters) -> Result<(), RTCError> {
        encoding.check()?;
        {
            let mut state = self.0.state.lock();
            state.encoding = encoding;
            self.feed(&state);
        }
        self.apply_settings();
        self.0.path.renew_estimate();
        Ok(())
    }

    pub(crate) fn streams(&self) -> Vec<String> {
        self.0.state.lock().streams.clone()
    }

    /// Whether the description lets it send; before the first answer, whether it is about to.
    pub(crate) fn set_live(&self, live: bool) {
        let mut state = self.0.state.lock();
        if state.live == live {
            return;
        }
        state.live = live;
        self.feed(&state);
    }

    /// Whether anything is being sent.
    pub(crate) fn is_sending(&self) -> bool {
        let state = self.0.state.lock();
        state.live && state.encoding.active && state.track.is_some()
    }

    fn rest(&self, resting: bool) {
        let mut state = self.0.state.lock();
        state.resting = resting;
        self.feed(&state);
    }

    fn feed(&self, state: &SenderState) {
        let wanted = state.live && state.encoding.active && !state.resting;
        let track = state.track.as_ref().filter(|_| wanted);
        match &self.0.outbound {
            Outbound::Audio(audio) => audio.retarget(track),
            Outbound::Video(video) => video.retarget(track),
        }
        if track.is_none() {
            self.0.path.discard(self.0.ssrc);
        }
    }

    /// What the other side wishes of its sound.
    pub(crate) fn set_opus(&self, wished: OpusParameters) {
        let Outbound::Audio(audio) = &self.0.outbound else {
            return;
        };
        let mut state = self.0.state.lock();
        state.opus.channels = if wished.stereo { 2 } else { 1 };
        state.opus.fec = wished.fec;
        state.opus.dtx = wished.dtx;
        audio.set_settings(state.opus);
    }

    /// Takes on its share of what the path carries.
    pub(crate) fn allot(&self, bits_per_second: u64, loss: f64, scale: f64, frame_rate: f64) {
        let bits = u32::try_from(bits_per_second).unwrap_or(u32::MAX);
        let changed = {
            let mut state = self.0.state.lock();
            let bits = state.encoding.max_bitrate.unwrap_or(u32::MAX).min(bits);
            match &self.0.outbound {
                Outbound::Audio(audio) => {
                    audio.set_target_bitrate(bits);
                    audio.set_expected_loss((loss * 100.0).clamp(0.0, 50.0) as u8);
                }
                Outbound::Video(video) => video.set_target_bitrate(bits),
            }
            let frame_rate = (scale > 1.0 || frame_rate < 29.0).then_some(frame_rate);
            let changed = state.scale != scale || state.frame_rate != frame_rate;
            (state.scale, state.frame_rate) = (scale, frame_rate);
            changed
        };
        if changed {
            self.apply_settings();
        }
    }

    /// Of the source's picture, as far as is known.
    pub(crate) fn pixels(&self) -> u64 {
        let Outbound::Video(video) = &self.0.outbound else {
            return 0;
        };
        let (made, state) = (video.stats(), self.0.state.lock());
        let pixels = u64::from(made.frame_width) * u64::from(made.frame_height);
        // What is encoded now may be scaled down already.
        (pixels as f64 * state.scale * state.scale) as u64
    }

    fn apply_settings(&self) {
        let Outbound::Video(video) = &self.0.outbound else {
            return;
        };
        let state = self.0.state.lock();
        let rates = [state.encoding.max_framerate, state.frame_rate];
        video.set_settings(VideoSendSettings {
            scale_resolution_down_by: state.encoding.scale_resolution_down_by * state.scale,
            max_frame_rate: rates.into_iter().flatten().reduce(f64::min),
        });
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.0.outbound
    }

    /// Ends its task, and waits for the end.
    pub(crate) async fn close(&self) {
        if let Some(task) = self.end() {
            // Aborted: there is nothing to learn from the result.
            let _ = task.await;
        }
    }

    /// Ends its encoder and its stream, and tells its task to end, which is returned the first time.
    pub(crate) fn end(&self) -> Option<JoinHandle<()>> {
        self.set_live(false);
        match &self.0.outbound {
            Outbound::Audio(audio) => audio.close(),
            Outbound::Video(video) => video.close(),
        }
        self.0.path.remove_sender(self.0.ssrc);
        self.0.task.lock().take().inspect(JoinHandle::abort)
    }
}

impl Drop for SenderShared {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

impl PartialEq for RTCRtpSender {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCRtpSender {}

impl fmt::Debug for RTCRtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCRtpSender")
            .field("kind", &self.0.kind)
            .field("track", &self.track())
            .finish_non_exhaustive()
    }
}

/// Carries sound from the encoder to the path.
struct AudioTask {
    audio: Arc<OutboundAudio>,
    ssrc: u32,
    path: Arc<MediaPath>,
}

impl AudioTask {
    async fn run(self) {
        while let Some(packet) = self.audio.next().await {
            if !self.path.is_ready() || packet.data.is_empty() {
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
struct VideoTask {
    video: Arc<OutboundVideo>,
    ssrc: u32,
    path: Arc<MediaPath>,
    sender: Weak<SenderShared>,
}

impl VideoTask {
    fn rest(&self, resting: bool) {
        if let Some(sender) = self.sender.upgrade() {
            RTCRtpSender(sender).rest(resting);
        }
    }

    async fn run(self) {
        let Some(()) = self.wait_until_ready().await else {
            return;
        };
        loop {
            self.path.room().await;
            let Some(frame) = self.video.next().await else {
                return;
            };
            self.send(&frame);
        }
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
            self.video.request_key_frame();
        }
        Some(())
    }

    fn send(&self, frame: &OutboundFrame) {
        if !self
            .path
            .send_picture(self.ssrc, frame.capture_time, &frame.data)
        {
            // Not negotiated (yet): the other side will need a key frame when it is.
            self.video.request_key_frame();
        }
    }
}
