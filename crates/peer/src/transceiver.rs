//! A sender and a receiver that share a media section.

use crate::peer_connection::Shared;
use crate::{RTCError, RTCRtpReceiver, RTCRtpSender};
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

/// [`RTCRtpEncodingParameters`](https://www.w3.org/TR/webrtc/#dom-rtcrtpencodingparameters): how a
/// track is to be encoded for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RTCRtpEncodingParameters {
    /// Whether anything is sent at all.
    pub active: bool,
    /// Bits a second at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u32>,
    /// Frames a second at most; video only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_framerate: Option<f64>,
    /// 1 or more; video only.
    pub scale_resolution_down_by: f64,
}

impl Default for RTCRtpEncodingParameters {
    fn default() -> Self {
        RTCRtpEncodingParameters {
            active: true,
            max_bitrate: None,
            max_framerate: None,
            scale_resolution_down_by: 1.0,
        }
    }
}

impl RTCRtpEncodingParameters {
    pub(crate) fn check(&self) -> Result<(), RTCError> {
        let refuse = |what: &str| Err(RTCError::new(crate::RTCErrorKind::Range, what));
        if !(self.scale_resolution_down_by >= 1.0 && self.scale_resolution_down_by.is_finite()) {
            return refuse("scaleResolutionDownBy must be 1 or more");
        }
        if self
            .max_framerate
            .is_some_and(|rate| !(rate > 0.0 && rate.is_finite()))
        {
            return refuse("maxFramerate must be above 0");
        }
        if self.max_bitrate == Some(0) {
            return refuse("maxBitrate must be above 0");
        }
        Ok(())
    }
}

/// [`RTCRtpTransceiverInit`](https://www.w3.org/TR/webrtc/#dom-rtcrtptransceiverinit).
#[derive(Debug, Clone)]
pub struct RTCRtpTransceiverInit {
    /// Which way media is to flow.
    pub direction: RTCRtpTransceiverDirection,
    /// The streams that the sent track belongs to.
    pub streams: Vec<duet_media::MediaStream>,
    /// How the track is encoded: none or one.
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
    /// The substrate's index.
    pub(crate) id: usize,
    pub(crate) kind: MediaKind,
    pub(crate) substrate: Arc<dyn webrtc::rtp_transceiver::RtpTransceiver>,
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
    /// The substrate's transceiver has its sender.
    pub(crate) attached: bool,
    /// Made for a section of the other side's offer.
    pub(crate) created_by_remote: bool,
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
        peer.update_negotiation_needed();
        Ok(())
    }

    /// Which way media flows now; `None` before the first negotiation.
    pub fn current_direction(&self) -> Option<RTCRtpTransceiverDirection> {
        self.0.state.lock().current_direction
    }

    /// Ends it for good: nothing is sent any more, and its receiver's track ends. The other side
    /// learns of it by the next negotiation.
    pub fn stop(&self) {
        {
            let mut state = self.0.state.lock();
            if state.direction == RTCRtpTransceiverDirection::Stopped {
                return;
            }
            state.direction = RTCRtpTransceiverDirection::Stopped;
        }
        self.0.sender.set_live(false);
        self.0.receiver.end();
        if let Some(peer) = self.0.peer.upgrade() {
            peer.update_negotiation_needed();
        }
    }

    /// Whether it ended for good.
    pub fn stopped(&self) -> bool {
        self.direction() == RTCRtpTransceiverDirection::Stopped
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
