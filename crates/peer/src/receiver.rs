//! What receives a track.

use crate::interceptor::{MediaPath, Receive, Route};
use crate::peer_connection::Shared;
use crate::pipeline::{
    Feedback, InboundAudio, InboundAudioConfig, InboundVideo, InboundVideoConfig, SyncGroup,
};
use crate::sdp::{Section, SoundTypes};
use crate::sources::RTCRtpSource;
use crate::{RTCDtlsTransport, RTCRtpCapabilities, RTCRtpReceiveParameters};
use duet_media::{MediaKind, MediaStream, MediaStreamTrack};
use parking_lot::Mutex;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

/// [`RTCRtpReceiver`](https://www.w3.org/TR/webrtc/#rtcrtpreceiver-interface). Clones are the same
/// receiver.
#[derive(Clone)]
pub struct RTCRtpReceiver(Arc<ReceiverShared>);

struct ReceiverShared {
    track: MediaStreamTrack,
    receive: Arc<Receive>,
    media_ssrc: Arc<AtomicU32>,
    ask: Arc<AskByPli>,
    route: Mutex<Option<Arc<Route>>>,
    streams: Mutex<Vec<MediaStream>>,
    parameters: Mutex<RTCRtpReceiveParameters>,
    peer: Weak<Shared>,
    transport: Mutex<Option<RTCDtlsTransport>>,
}

/// Turns the decoder's need into a PLI.
struct AskByPli {
    path: Weak<MediaPath>,
    media_ssrc: Arc<AtomicU32>,
}

impl Feedback for AskByPli {
    fn request_key_frame(&self) {
        let media_ssrc = self.media_ssrc.load(Ordering::Acquire);
        if let Some(path) = self.path.upgrade()
            && media_ssrc != 0
        {
            path.send_rtcp(Box::new(PictureLossIndication {
                sender_ssrc: 1,
                media_ssrc,
            }));
        }
    }
}

impl RTCRtpReceiver {
    pub(crate) fn new(kind: MediaKind, path: &Arc<MediaPath>, peer: Weak<Shared>) -> Self {
        let media_ssrc = Arc::new(AtomicU32::new(0));
        let label = format!("remote {kind}");
        let (clock, workers) = (path.clock(), path.workers());
        let ask = Arc::new(AskByPli {
            path: Arc::downgrade(path),
            media_ssrc: media_ssrc.clone(),
        });
        let (receive, track) = match kind {
            MediaKind::Audio => {
                let (inbound, track) = InboundAudio::new(InboundAudioConfig {
                    clock,
                    label,
                    workers,
                });
                (Receive::Audio(inbound), track)
            }
            MediaKind::Video => {
                let config = InboundVideoConfig {
                    clock,
                    feedback: ask.clone(),
                    label,
                    workers,
                };
                let (inbound, track) = InboundVideo::new(config);
                (Receive::Video(inbound), track)
            }
        };
        RTCRtpReceiver(Arc::new(ReceiverShared {
            track,
            receive: Arc::new(receive),
            media_ssrc,
            ask,
            route: Mutex::new(None),
            streams: Mutex::default(),
            parameters: Mutex::default(),
            peer,
            transport: Mutex::default(),
        }))
    }

    /// The remote track. Muted while nothing comes; ended when the transceiver or the connection is.
    pub fn track(&self) -> MediaStreamTrack {
        self.0.track.clone()
    }

    /// [`getCapabilities`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-getcapabilities): what
    /// can be received of `kind`.
    pub fn get_capabilities(kind: MediaKind) -> RTCRtpCapabilities {
        RTCRtpCapabilities::of(kind)
    }

    /// [`getParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-getparameters).
    pub fn get_parameters(&self) -> RTCRtpReceiveParameters {
        self.0.parameters.lock().clone()
    }

    pub(crate) fn peer(&self) -> Option<Arc<Shared>> {
        self.0.peer.upgrade()
    }

    pub(crate) fn set_parameters(&self, parameters: RTCRtpReceiveParameters) {
        *self.0.parameters.lock() = parameters;
    }

    /// [`transport`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-transport): what it receives
    /// over, once a description says so.
    pub fn transport(&self) -> Option<RTCDtlsTransport> {
        self.0.transport.lock().clone()
    }

    pub(crate) fn set_transport(&self, transport: Option<RTCDtlsTransport>) {
        *self.0.transport.lock() = transport;
    }

    /// [`getContributingSources`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-getcontributingsources):
    /// who was mixed into what came within the last ten seconds, the latest first.
    pub fn get_contributing_sources(&self) -> Vec<RTCRtpSource> {
        self.sources(true)
    }

    /// [`getSynchronizationSources`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-getsynchronizationsources):
    /// what came within the last ten seconds, the latest first.
    pub fn get_synchronization_sources(&self) -> Vec<RTCRtpSource> {
        self.sources(false)
    }

    fn sources(&self, contributing: bool) -> Vec<RTCRtpSource> {
        let (Some(route), Some(path)) = (self.current_route(), self.0.ask.path.upgrade()) else {
            return Vec::new();
        };
        let level = match &*self.0.receive {
            Receive::Audio(audio) => Some(f64::from(audio.stats().audio_level)),
            Receive::Video(_) => None,
        };
        path.sources(&route, contributing, level)
    }

    /// Asks the other side for a key frame, by [PLI](https://www.rfc-editor.org/rfc/rfc4585#section-6.3.1).
    /// Needed by whoever joins late; decoding asks by itself. Nothing happens before the first packet,
    /// and for sound.
    pub fn request_key_frame(&self) {
        if matches!(*self.0.receive, Receive::Video(_)) {
            self.0.ask.request_key_frame();
        }
    }

    /// The remote streams that the track belongs to now.
    pub fn streams(&self) -> Vec<MediaStream> {
        self.0.streams.lock().clone()
    }

    pub(crate) fn set_streams(&self, streams: Vec<MediaStream>, group: Option<&SyncGroup>) {
        *self.0.streams.lock() = streams;
        match &*self.0.receive {
            Receive::Audio(inbound) => inbound.set_sync_group(group),
            Receive::Video(inbound) => inbound.set_sync_group(group),
        }
    }

    /// The way from `section`'s packets to the track. The same one for as long as the section's
    /// sources are.
    pub(crate) fn route(
        &self,
        section: &Section,
        on_flow: impl Fn(Arc<Route>) + Send + Sync + 'static,
    ) -> Arc<Route> {
        let sound = match self.0.track.kind() {
            MediaKind::Audio => SoundTypes::of(&section.codecs),
            MediaKind::Video => None,
        };
        let mut current = self.0.route.lock();
        if let Some(route) = &*current
            && route.mid == section.mid
            && route.ssrcs == section.ssrcs
            && route.mid_extension == section.mid_extension
            && route.sound == sound
        {
            return route.clone();
        }
        let route = Arc::new(Route {
            mid: section.mid.clone(),
            ssrcs: section.ssrcs.clone(),
            mid_extension: section.mid_extension,
            sound,
            receive: self.0.receive.clone(),
            media_ssrc: self.0.media_ssrc.clone(),
            flowing: AtomicBool::new(false),
            over: AtomicBool::new(false),
            on_flow: Box::new(on_flow),
        });
        *current = Some(route.clone());
        route
    }

    pub(crate) fn current_route(&self) -> Option<Arc<Route>> {
        self.0.route.lock().clone()
    }

    /// The other side stopped sending.
    pub(crate) fn mute(&self) {
        let route = self.0.route.lock().take();
        if let Some(route) = route {
            // A packet may be on its way through it now: that unmutes nothing any more.
            route.over.store(true, Ordering::Release);
        }
        self.0.receive.set_muted(true);
    }

    pub(crate) fn end(&self) {
        self.0.receive.end();
    }

    pub(crate) fn receive(&self) -> &Receive {
        &self.0.receive
    }
}

impl PartialEq for RTCRtpReceiver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCRtpReceiver {}

impl fmt::Debug for RTCRtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RTCRtpReceiver")
            .field(&self.0.track)
            .finish()
    }
}
