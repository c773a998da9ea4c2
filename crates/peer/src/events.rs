//! What a connection tells the program.

use crate::{RTCDataChannel, RTCRtpReceiver, RTCRtpTransceiver};
use duet_media::{MediaStream, MediaStreamTrack};
use serde::{Deserialize, Serialize};

/// Declares a W3C enumeration with its strings.
macro_rules! w3c_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The W3C's string.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// The one of that string.
            pub fn from_w3c(text: &str) -> Option<Self> {
                match text {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use w3c_enum;

w3c_enum! {
    /// [`RTCSignalingState`](https://www.w3.org/TR/webrtc/#dom-rtcsignalingstate).
    RTCSignalingState {
        /// No exchange is under way.
        Stable = "stable",
        /// We offered.
        HaveLocalOffer = "have-local-offer",
        /// The other side offered.
        HaveRemoteOffer = "have-remote-offer",
        /// We answered for now.
        HaveLocalPranswer = "have-local-pranswer",
        /// The other side answered for now.
        HaveRemotePranswer = "have-remote-pranswer",
        /// The connection is closed.
        Closed = "closed",
    }
}

w3c_enum! {
    /// [`RTCPeerConnectionState`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnectionstate).
    RTCPeerConnectionState {
        /// Not begun.
        New = "new",
        /// A way is sought, or keys are agreed on.
        Connecting = "connecting",
        /// Media can flow.
        Connected = "connected",
        /// The other side has not been heard for a while. May mend by itself.
        Disconnected = "disconnected",
        /// No way was found, or it was lost for good: restart ICE.
        Failed = "failed",
        /// Closed.
        Closed = "closed",
    }
}

w3c_enum! {
    /// [`RTCIceConnectionState`](https://www.w3.org/TR/webrtc/#dom-rtciceconnectionstate).
    RTCIceConnectionState {
        /// Not begun.
        New = "new",
        /// Pairs of addresses are tried.
        Checking = "checking",
        /// One works.
        Connected = "connected",
        /// The best was found.
        Completed = "completed",
        /// The other side has not been heard for a while.
        Disconnected = "disconnected",
        /// None works.
        Failed = "failed",
        /// Closed.
        Closed = "closed",
    }
}

w3c_enum! {
    /// [`RTCIceGatheringState`](https://www.w3.org/TR/webrtc/#dom-rtcicegatheringstate).
    RTCIceGatheringState {
        /// Not begun.
        New = "new",
        /// Addresses are being found.
        Gathering = "gathering",
        /// All were found.
        Complete = "complete",
    }
}

/// [`RTCIceCandidateInit`](https://www.w3.org/TR/webrtc/#dom-rtcicecandidateinit): a candidate as it
/// goes over signaling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RTCIceCandidateInit {
    /// `candidate:…`, or empty for the end of candidates.
    pub candidate: String,
    /// The media section's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The media section's place in the description.
    #[serde(rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    pub sdp_mline_index: Option<u16>,
    /// Which generation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// [`RTCTrackEvent`](https://www.w3.org/TR/webrtc/#rtctrackevent): the other side will send a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCTrackEvent {
    /// The track; muted until its first packet comes.
    pub track: MediaStreamTrack,
    /// The streams that it belongs to.
    pub streams: Vec<MediaStream>,
    /// What receives it.
    pub receiver: RTCRtpReceiver,
    /// The receiver's transceiver.
    pub transceiver: RTCRtpTransceiver,
}

/// [`RTCPeerConnectionIceErrorEvent`](https://w3c.github.io/webrtc-pc/#rtcpeerconnectioniceerrorevent):
/// a STUN or TURN server gave no candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCPeerConnectionIceErrorEvent {
    /// From which address it was asked, if it was.
    pub address: Option<String>,
    /// From which port.
    pub port: Option<u16>,
    /// The server.
    pub url: String,
    /// STUN's, 300 to 699, or 701 if the server cannot be reached or used.
    pub error_code: u16,
    /// What is wrong, for a person.
    pub error_text: String,
}

/// [Events of a connection](https://www.w3.org/TR/webrtc/#event-summary).
#[derive(Debug, Clone)]
pub enum PeerConnectionEvent {
    /// An offer should be made. Fires once until one is.
    NegotiationNeeded,
    /// A candidate to signal; `None` after the last one.
    IceCandidate(Option<RTCIceCandidateInit>),
    /// A STUN or TURN server gave no candidate.
    IceCandidateError(RTCPeerConnectionIceErrorEvent),
    /// The signaling state is another one.
    SignalingStateChange(RTCSignalingState),
    /// The ICE connection state is another one.
    IceConnectionStateChange(RTCIceConnectionState),
    /// The gathering state is another one.
    IceGatheringStateChange(RTCIceGatheringState),
    /// The connection state is another one.
    ConnectionStateChange(RTCPeerConnectionState),
    /// The other side will send a track.
    Track(RTCTrackEvent),
    /// The other side opened a data channel.
    DataChannel(RTCDataChannel),
}
