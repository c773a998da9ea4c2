//! What sends a track.

mod dtmf;
mod encodings;
mod quality;
mod sound;
mod tasks;

pub use dtmf::{RTCDTMFSender, RTCDTMFToneChangeEvent};
pub(crate) use encodings::{SentEncoding, SentStream};

use crate::interceptor::{Feedbacks, MediaPath};
use crate::peer_connection::Shared;
use crate::pipeline::{EncoderHub, OutboundAudio, OutboundVideo, VideoSendSettings};
use crate::{
    RTCDtlsTransport, RTCError, RTCRtpCapabilities, RTCRtpCodecParameters,
    RTCRtpEncodingParameters, RTCRtpSendParameters,
};
use duet_media::{MediaKind, MediaStreamTrack};
use duet_session::{DegradationPreference, SimulcastAllocator};
use encodings::Encoding;
use parking_lot::Mutex;
use sound::Sound;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::task::JoinHandle;

/// [`RTCRtpSender`](https://www.w3.org/TR/webrtc/#rtcrtpsender-interface). Clones are the same
/// sender.
///
/// It has one stream of packets for each of its encodings, for its whole life;
/// [`replace_track`](Self::replace_track) changes what is in them. No track is ever stopped by it.
#[derive(Clone)]
pub struct RTCRtpSender(pub(crate) Arc<SenderShared>);

pub(crate) struct SenderShared {
    kind: MediaKind,
    /// Of the first stream.
    pub(crate) ssrc: u32,
    /// The stream of its first encoding.
    first: Arc<SentStream>,
    /// Goes into the description beside the streams' ids.
    pub(crate) track_id: String,
    path: Arc<MediaPath>,
    pub(crate) peer: Weak<Shared>,
    state: Mutex<SenderState>,
    /// What `get_parameters` returned last, until it is used or void.
    returned: Mutex<Option<RTCRtpSendParameters>>,
    /// What the descriptions agreed on.
    agreed: Mutex<RTCRtpSendParameters>,
    transport: Mutex<Option<RTCDtlsTransport>>,
    stopping: AtomicBool,
    dtmf: Option<RTCDTMFSender>,
}

#[derive(Clone)]
pub(crate) enum Outbound {
    Audio(Arc<OutboundAudio>),
    Video(Arc<OutboundVideo>),
}

struct SenderState {
    track: Option<MediaStreamTrack>,
    streams: Vec<String>,
    /// One at least; the first is always of the same stream.
    encodings: Vec<Encoding>,
    /// What its only encoding was before the other side's offer asked for several.
    before_offer: Option<RTCRtpEncodingParameters>,
    allocator: SimulcastAllocator,
    /// What the program prefers to keep.
    preference: Option<DegradationPreference>,
    /// The description lets it send.
    live: bool,
    /// Nobody answers: its encoder waits for the path.
    resting: bool,
    sound: Sound,
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
    /// A sender without a track, with its tasks, of one encoding at least. Must be called within a Tokio
    /// runtime.
    pub(crate) fn new(
        kind: MediaKind,
        path: &Arc<MediaPath>,
        encoders: &EncoderHub,
        start_bitrate: u32,
        encodings: Vec<RTCRtpEncodingParameters>,
        peer: Weak<Shared>,
    ) -> Self {
        let encoding = |parameters| Encoding::new(kind, path, encoders, start_bitrate, parameters);
        let mut encodings: Vec<Encoding> = encodings.into_iter().map(encoding).collect();
        if encodings.is_empty() {
            encodings.push(encoding(RTCRtpEncodingParameters::default()));
        }
        let first = encodings[0].stream.clone();
        let ssrc = first.ssrc;
        let sender = RTCRtpSender(Arc::new(SenderShared {
            kind,
            ssrc,
            first,
            track_id: format!("{kind}-{ssrc:08x}"),
            path: path.clone(),
            peer,
            state: Mutex::new(SenderState {
                track: None,
                streams: Vec::new(),
                encodings,
                before_offer: None,
                allocator: SimulcastAllocator::default(),
                preference: None,
                live: false,
                resting: false,
                sound: Sound::default(),
            }),
            returned: Mutex::default(),
            agreed: Mutex::default(),
            transport: Mutex::default(),
            stopping: AtomicBool::new(false),
            dtmf: (kind == MediaKind::Audio).then(RTCDTMFSender::new),
        }));
        sender.apply_settings();
        let weak = Arc::downgrade(&sender.0);
        let sent = sender.sent();
        sent.iter().for_each(|stream| stream.start(path, &weak));
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
    /// `TypeError` for a track of the other kind, `InvalidStateError` if the transceiver or the
    /// connection is stopped.
    pub fn replace_track(&self, track: Option<&MediaStreamTrack>) -> Result<(), RTCError> {
        self.check_kind(track)?;
        self.check_running()?;
        self.feed_track(track)
    }

    fn check_kind(&self, track: Option<&MediaStreamTrack>) -> Result<(), RTCError> {
        if track.is_some_and(|track| track.kind() != self.0.kind) {
            let message = format!("a {} sender cannot send that track", self.0.kind);
            return Err(RTCError::type_error(message));
        }
        Ok(())
    }

    fn check_running(&self) -> Result<(), RTCError> {
        if self.0.peer.upgrade().is_none_or(|peer| peer.is_closed()) {
            return Err(RTCError::closed());
        }
        if self.0.stopping.load(Ordering::Acquire) {
            return Err(RTCError::state("the transceiver is stopped"));
        }
        Ok(())
    }

    /// As [`replace_track`](Self::replace_track), of a sender that is stopped too.
    pub(crate) fn feed_track(&self, track: Option<&MediaStreamTrack>) -> Result<(), RTCError> {
        self.check_kind(track)?;
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
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub fn set_streams(&self, streams: &[duet_media::MediaStream]) -> Result<(), RTCError> {
        let peer = self.0.peer.upgrade().filter(|peer| !peer.is_closed());
        let peer = peer.ok_or_else(RTCError::closed)?;
        let mut ids: Vec<String> = Vec::with_capacity(streams.len());
        for stream in streams {
            if !ids.iter().any(|id| id == stream.id()) {
                ids.push(stream.id().to_owned());
            }
        }
        let before = std::mem::replace(&mut self.0.state.lock().streams, ids.clone());
        if before != ids {
            peer.something_changed();
        }
        Ok(())
    }

    /// [`getCapabilities`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsender-getcapabilities): what can
    /// be sent of `kind`.
    pub fn get_capabilities(kind: MediaKind) -> RTCRtpCapabilities {
        RTCRtpCapabilities::of(kind)
    }

    /// [`getParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsender-getparameters).
    pub fn get_parameters(&self) -> RTCRtpSendParameters {
        let mut parameters = self.0.agreed.lock().clone();
        parameters.transaction_id = format!("{:016x}", rand::random::<u64>());
        {
            let state = self.0.state.lock();
            let taken = state.encodings.iter().filter(|encoding| encoding.taken);
            parameters.encodings = taken.map(|one| one.parameters.clone()).collect();
            parameters.degradation_preference = state.preference.map(Into::into);
        }
        *self.0.returned.lock() = Some(parameters.clone());
        parameters
    }

    /// [`setParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsender-setparameters): takes on what
    /// [`get_parameters`](Self::get_parameters) returned last, with other settings of its encoding or
    /// another preference for what gives way.
    ///
    /// # Errors
    /// `InvalidStateError` if the transceiver or the connection is stopped or
    /// [`get_parameters`](Self::get_parameters) was not called since the last time,
    /// `InvalidModificationError` if more than the encoding's settings is another, `RangeError` for a
    /// number out of its range.
    pub fn set_parameters(&self, parameters: RTCRtpSendParameters) -> Result<(), RTCError> {
        self.check_running()?;
        {
            let mut returned = self.0.returned.lock();
            let last = returned.as_ref().ok_or_else(|| {
                RTCError::state("get_parameters() comes first, and again before each change")
            })?;
            last.check_change(&parameters)?;
            *returned = None;
        }
        let preference = parameters.degradation_preference;
        {
            let mut state = self.0.state.lock();
            let taken = state.encodings.iter_mut().filter(|one| one.taken);
            for (encoding, mut next) in taken.zip(parameters.encodings) {
                next.keep_to(self.0.kind);
                encoding.parameters = next;
            }
            state.preference = preference.map(Into::into);
            self.feed(&state);
        }
        self.apply_settings();
        self.0.path.renew_estimate();
        Ok(())
    }

    /// What the descriptions agreed on. What `get_parameters` returned before is void.
    pub(crate) fn agree(&self, agreed: RTCRtpSendParameters) {
        self.agree_on_sound(&agreed.codecs);
        *self.0.agreed.lock() = agreed;
        *self.0.returned.lock() = None;
    }

    /// [`transport`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsender-transport): what it sends over,
    /// once a description says so.
    pub fn transport(&self) -> Option<RTCDtlsTransport> {
        self.0.transport.lock().clone()
    }

    /// [`dtmf`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsender-dtmf): telephone keys, of sound only.
    pub fn dtmf(&self) -> Option<RTCDTMFSender> {
        self.0.dtmf.clone()
    }

    /// [`canInsertDTMF`](https://w3c.github.io/webrtc-pc/#dom-rtcdtmfsender-caninsertdtmf): whether it
    /// sends, and the other side takes keys.
    pub fn can_insert_dtmf(&self) -> bool {
        self.0.telephone_event().is_some()
    }

    /// [`insertDTMF`](https://w3c.github.io/webrtc-pc/#dom-rtcdtmfsender-insertdtmf): plays `tones`,
    /// instead of what waits to be played. A key is held for `duration_ms`, 40 to 6,000, usually 100;
    /// between two there are `gap_ms`, 30 to 6,000, usually 70. A comma is two seconds of nothing.
    ///
    /// # Errors
    /// `InvalidStateError` if [`can_insert_dtmf`](Self::can_insert_dtmf) says no,
    /// `InvalidCharacterError` for anything but `0-9`, `A-D`, `#`, `*` and commas.
    pub fn insert_dtmf(&self, tones: &str, duration_ms: u32, gap_ms: u32) -> Result<(), RTCError> {
        match &self.0.dtmf {
            Some(dtmf) if self.can_insert_dtmf() => {
                dtmf.insert(&self.0, tones, duration_ms, gap_ms)
            }
            _ => Err(RTCError::state("no telephone keys can be sent now")),
        }
    }

    /// Codecs of the other side that this one sends.
    pub(crate) fn agreed_codecs(&self) -> Vec<RTCRtpCodecParameters> {
        self.0.agreed.lock().codecs.clone()
    }

    pub(crate) fn set_transport(&self, transport: Option<RTCDtlsTransport>) {
        *self.0.transport.lock() = transport;
    }

    pub(crate) fn belongs_to(&self, peer: &Weak<Shared>) -> bool {
        self.0.peer.ptr_eq(peer)
    }

    /// Its transceiver is being stopped.
    pub(crate) fn halt(&self) {
        self.0.stopping.store(true, Ordering::Release);
        self.set_live(false);
    }

    /// What the program lets it take at most, of all encodings together.
    pub(crate) fn max_bitrate(&self) -> Option<u32> {
        let state = self.0.state.lock();
        let sent = state.encodings.iter().filter(|one| one.is_usable());
        let most = sent.map(|one| one.parameters.max_bitrate);
        most.reduce(|sum, one| Some(sum?.saturating_add(one?)))?
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

    /// Whether anything is being sent, or would be if the path carried it.
    pub(crate) fn is_sending(&self) -> bool {
        let state = self.0.state.lock();
        let active = state.encodings.iter().any(Encoding::is_usable);
        state.live && active && state.track.is_some()
    }

    /// Nobody answers: its encoder waits for the path, or does no longer.
    fn rest(&self, resting: bool) {
        let mut state = self.0.state.lock();
        state.resting = resting;
        self.feed(&state);
    }

    fn feed(&self, state: &SenderState) {
        for encoding in &state.encodings {
            let stream = &encoding.stream;
            let wanted = state.live && encoding.is_wanted() && !state.resting;
            let track = state.track.as_ref().filter(|_| wanted);
            match &stream.outbound {
                Outbound::Audio(audio) => audio.retarget(track),
                Outbound::Video(video) => video.retarget(track),
            }
            if track.is_none() {
                self.0.path.discard(stream.ssrc);
            }
        }
    }

    /// Takes on its share of what the path carries, of pictures.
    pub(crate) fn allot(&self, bits_per_second: u64) {
        let Outbound::Video(video) = self.outbound() else {
            return;
        };
        let bits = u32::try_from(bits_per_second).unwrap_or(u32::MAX);
        let mut state = self.0.state.lock();
        let state = &mut *state;
        let Some(track) = &state.track else {
            return;
        };
        let now = self.0.path.now();
        if state.encodings.len() > 1 {
            let (allocator, encodings) = (&mut state.allocator, &mut state.encodings);
            if encodings::divide(allocator, encodings, track, bits, now) {
                self.feed(state);
            }
            return;
        }
        let Some(encoding) = state.encodings.first_mut() else {
            return;
        };
        let parameters = &encoding.parameters;
        let bits = parameters.max_bitrate.unwrap_or(u32::MAX).min(bits);
        video.set_target_bitrate(bits);
        let (quality, made) = (&mut encoding.quality, video.stats());
        if quality.update(state.preference, bits, track, parameters, &made, now) {
            self.shape(state);
        }
    }

    /// Forgets what waits to leave, and goes on with a key frame.
    pub(crate) fn start_afresh(&self) {
        for stream in self.sent() {
            if let Outbound::Video(video) = &stream.outbound {
                video.start_afresh();
                self.0.path.discard(stream.ssrc);
            }
        }
    }

    fn apply_settings(&self) {
        self.shape(&self.0.state.lock());
    }

    fn shape(&self, state: &SenderState) {
        for encoding in &state.encodings {
            let Outbound::Video(video) = &encoding.stream.outbound else {
                return;
            };
            let (parameters, shape) = (&encoding.parameters, encoding.quality.shape());
            let rates = [parameters.max_framerate, shape.frame_rate];
            video.set_settings(VideoSendSettings {
                scale_resolution_down_by: parameters.scale_resolution_down_by * shape.scale,
                max_frame_rate: rates.into_iter().flatten().reduce(f64::min),
                temporal_layers: parameters.temporal_layers(),
            });
        }
    }

    /// Of its first stream.
    pub(crate) fn outbound(&self) -> &Outbound {
        &self.0.first.outbound
    }

    /// Ends its tasks, and waits for the end.
    pub(crate) async fn close(&self) {
        for task in self.end() {
            // Aborted: there is nothing to learn from the result.
            let _ = task.await;
        }
    }

    /// Ends its encoders and its streams, and tells its tasks to end, which are returned the first time.
    pub(crate) fn end(&self) -> Vec<JoinHandle<()>> {
        self.set_live(false);
        let sent = self.sent();
        let ends = sent.iter().map(|stream| stream.end(&self.0.path));
        ends.flatten().collect()
    }
}

impl SenderShared {
    /// The payload type of telephone keys, while they can be sent.
    fn telephone_event(&self) -> Option<u8> {
        let sends = self.state.lock().live && !self.stopping.load(Ordering::Acquire);
        let agreed = self.agreed.lock();
        let mut codecs = agreed.codecs.iter().filter(|_| sends);
        let keys = codecs.find(|codec| {
            let keys = codec
                .codec
                .mime_type
                .eq_ignore_ascii_case("audio/telephone-event");
            keys && codec.codec.clock_rate == 48_000
        });
        keys.map(|codec| codec.payload_type)
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
