//! A sender and a receiver that share a media section.

use crate::peer_connection::Shared;
use crate::{
    RTCError, RTCRtpCapabilities, RTCRtpCodec, RTCRtpEncodingParameters, RTCRtpReceiver,
    RTCRtpSender,
};
use duet_media::MediaKind;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Weak};

/// [`RTCRtpTransceiverDirection`](https://www.w3.org/TR/webrtc/#rtcrtptransceiverdirection).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RTCRtpTransceiverDirection {
    /// Both ways.
    SendRecv,
    /// Only sends.
    SendOnly,
    /// Only receives.
    RecvOnly,
    /// Neither.
    Inactive,
    /// For good.
    Stopped,
}

impl RTCRtpTransceiverDirection {
    /// Whether anything is sent.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether anything is received.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(crate) fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// As the other side sees it.
    pub(crate) fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::of(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    pub(crate) fn from_sdp(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    pub(crate) fn to_substrate(self) -> webrtc::rtp_transceiver::RTCRtpTransceiverDirection {
        use webrtc::rtp_transceiver::RTCRtpTransceiverDirection as Substrate;
        match self {
            Self::SendRecv => Substrate::Sendrecv,
            Self::SendOnly => Substrate::Sendonly,
            Self::RecvOnly => Substrate::Recvonly,
            Self::Inactive | Self::Stopped => Substrate::Inactive,
        }
    }
}

impl fmt::Display for RTCRtpTransceiverDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
            Self::Stopped => "stopped",
        })
    }
}

/// [`RTCRtpTransceiverInit`](https://www.w3.org/TR/webrtc/#dom-rtcrtptransceiverinit).
#[derive(Debug, Clone)]
pub struct RTCRtpTransceiverInit {
    /// Which way media is to flow.
    pub direction: RTCRtpTransceiverDirection,
    /// The streams that the sent track belongs to.
    pub streams: Vec<duet_media::MediaStream>,
    /// How the track is encoded: of a picture up to three encodings, each with a
    /// [rid](RTCRtpEncodingParameters::rid). Where none is scaled down, each is half as wide and high as the
    /// next. An answer that takes one alone leaves the first.
    pub send_encodings: Vec<RTCRtpEncodingParameters>,
}

impl Default for RTCRtpTransceiverInit {
    fn default() -> Self {
        RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::SendRecv,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        }
    }
}

/// [`RTCRtpTransceiver`](https://www.w3.org/TR/webrtc/#rtcrtptransceiver-interface). Clones are the
/// same transceiver.
#[derive(Clone)]
pub struct RTCRtpTransceiver(pub(crate) Arc<TransceiverShared>);

pub(crate) struct TransceiverShared {
    pub(crate) kind: MediaKind,
    pub(crate) sender: RTCRtpSender,
    pub(crate) receiver: RTCRtpReceiver,
    pub(crate) peer: Weak<Shared>,
    pub(crate) state: Mutex<TransceiverState>,
}

pub(crate) struct TransceiverState {
    pub(crate) mid: Option<String>,
    pub(crate) direction: RTCRtpTransceiverDirection,
    pub(crate) current_direction: Option<RTCRtpTransceiverDirection>,
    /// What the last `track` event, or its absence, told the program.
    pub(crate) fired_direction: Option<RTCRtpTransceiverDirection>,
    /// The direction in our last description.
    pub(crate) described: Option<RTCRtpTransceiverDirection>,
    /// The direction in the other side's last description, as we see it.
    pub(crate) offered: Option<RTCRtpTransceiverDirection>,
    /// It was sent on once: `add_track` leaves it alone.
    pub(crate) has_sent: bool,
    /// What stands for it in the substrate, once it is described.
    pub(crate) known: Option<Known>,
    /// An offer of the other side may take it for one of its sections.
    pub(crate) by_add_track: bool,
    /// Made for a section of the other side's offer.
    pub(crate) created_by_remote: bool,
    /// Codecs in order of preference, and no others; empty for all.
    pub(crate) codecs: Vec<RTCRtpCodec>,
}

/// A transceiver of the substrate. Its id is its place there, and changes when an offer that made
/// others is taken back.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) transceiver: Arc<dyn webrtc::rtp_transceiver::RtpTransceiver>,
    /// One that the other side's offer made has none until it is described.
    pub(crate) has_sender: bool,
}

impl RTCRtpTransceiver {
    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// The media section's id, once one is negotiated.
    pub fn mid(&self) -> Option<String> {
        self.0.state.lock().mid.clone()
    }

    /// What sends.
    pub fn sender(&self) -> RTCRtpSender {
        self.0.sender.clone()
    }

    /// What receives.
    pub fn receiver(&self) -> RTCRtpReceiver {
        self.0.receiver.clone()
    }

    /// Which way media is to flow.
    pub fn direction(&self) -> RTCRtpTransceiverDirection {
        self.0.state.lock().direction
    }

    /// Sets which way media is to flow, from the next negotiation on.
    ///
    /// # Errors
    /// `InvalidStateError` if it or the connection is stopped; `TypeError` for `Stopped`: call
    /// [`stop`](Self::stop).
    pub fn set_direction(&self, direction: RTCRtpTransceiverDirection) -> Result<(), RTCError> {
        let peer = self.0.peer.upgrade().filter(|peer| !peer.is_closed());
        let peer = peer.ok_or_else(RTCError::closed)?;
        if direction == RTCRtpTransceiverDirection::Stopped {
            let message = "a transceiver is stopped by stop()";
            return Err(RTCError::new(crate::RTCErrorKind::Type, message));
        }
        {
            let mut state = self.0.state.lock();
            if state.direction == RTCRtpTransceiverDirection::Stopped {
                return Err(RTCError::state("the transceiver is stopped"));
            }
            if state.direction == direction {
                return Ok(());
            }
            state.direction = direction;
        }
        peer.something_changed();
        Ok(())
    }

    /// [`setCodecPreferences`](https://w3c.github.io/webrtc-pc/#dom-rtcrtptransceiver-setcodecpreferences):
    /// which codecs the next description has, in which order; all of them with none.
    ///
    /// # Errors
    /// `InvalidModificationError` for a codec that is not among
    /// [`RTCRtpSender::get_capabilities`], or if none carries media.
    pub fn set_codec_preferences(&self, codecs: &[RTCRtpCodec]) -> Result<(), RTCError> {
        let picked = RTCRtpCapabilities::of(self.0.kind).pick(codecs)?;
        self.0.state.lock().codecs = picked;
        if let Some(peer) = self.0.peer.upgrade() {
            peer.something_changed();
        }
        Ok(())
    }

    /// Which way media flows now; `None` before the first negotiation.
    pub fn current_direction(&self) -> Option<RTCRtpTransceiverDirection> {
        self.0.state.lock().current_direction
    }

    /// [`stop`](https://w3c.github.io/webrtc-pc/#dom-rtcrtptransceiver-stop): nothing is sent any more,
    /// and its receiver's track ends. The other side learns of it by the next negotiation, which ends
    /// it for good.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub fn stop(&self) -> Result<(), RTCError> {
        let peer = self.0.peer.upgrade().filter(|peer| !peer.is_closed());
        let peer = peer.ok_or_else(RTCError::closed)?;
        if self.halt() {
            peer.something_changed();
        }
        Ok(())
    }

    /// Begins its end; false if it has begun.
    pub(crate) fn halt(&self) -> bool {
        {
            let mut state = self.0.state.lock();
            if state.direction == RTCRtpTransceiverDirection::Stopped {
                return false;
            }
            state.direction = RTCRtpTransceiverDirection::Stopped;
        }
        self.0.sender.halt();
        self.0.receiver.end();
        true
    }

    /// Whether [`stop`](Self::stop) was called, by this side or for the other one.
    pub fn stopping(&self) -> bool {
        self.direction() == RTCRtpTransceiverDirection::Stopped
    }

    /// Whether it ended for good: its end is negotiated, or the connection is closed.
    pub fn stopped(&self) -> bool {
        self.current_direction() == Some(RTCRtpTransceiverDirection::Stopped)
    }

    /// Its section is `mid`, or none: where it is, there is a transport.
    pub(crate) fn set_mid(&self, mid: Option<&str>) {
        let transport = match (mid, self.0.peer.upgrade()) {
            (Some(_), Some(peer)) => Some(peer.dtls.clone()),
            _ => None,
        };
        self.0.state.lock().mid = mid.map(str::to_owned);
        self.0.sender.set_transport(transport.clone());
        self.0.receiver.set_transport(transport);
    }

    /// The substrate's, once it is described.
    pub(crate) fn known(&self) -> Option<Known> {
        self.0.state.lock().known.clone()
    }
}

impl PartialEq for RTCRtpTransceiver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCRtpTransceiver {}

impl fmt::Debug for RTCRtpTransceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("RTCRtpTransceiver")
            .field("kind", &self.0.kind)
            .field("mid", &state.mid)
            .field("direction", &state.direction)
            .field("current_direction", &state.current_direction)
            .finish_non_exhaustive()
    }
}
