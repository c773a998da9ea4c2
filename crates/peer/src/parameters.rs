//! What is sent and received, and how: the dictionaries of
//! [webrtc-pc, section 5.2](https://w3c.github.io/webrtc-pc/#rtcrtpsender-interface) and after, what
//! this crate can of it, and what of it may be changed.

use crate::RTCError;
use crate::sdp::TakenEncoding;
use duet_media::MediaKind;
use duet_session::DegradationPreference;
use serde::{Deserialize, Serialize};

/// [`RTCRtpEncodingParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpencodingparameters): how a
/// track is to be encoded for one connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RTCRtpEncodingParameters {
    /// Which of several encodings; a single one has no id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
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
    /// [`scalabilityMode`](https://w3c.github.io/webrtc-svc/#dom-rtcrtpencodingparameters-scalabilitymode):
    /// `L1T1`, `L1T2` or `L1T3`; video only. With layers, connections that send one track share its
    /// encoder, and those on worse paths get fewer pictures of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scalability_mode: Option<String>,
}

impl Default for RTCRtpEncodingParameters {
    fn default() -> Self {
        RTCRtpEncodingParameters {
            rid: None,
            active: true,
            max_bitrate: None,
            max_framerate: None,
            scale_resolution_down_by: 1.0,
            scalability_mode: None,
        }
    }
}

impl RTCRtpEncodingParameters {
    pub(crate) fn check(&self) -> Result<(), RTCError> {
        if !(self.scale_resolution_down_by >= 1.0 && self.scale_resolution_down_by.is_finite()) {
            return Err(RTCError::range("scaleResolutionDownBy must be 1 or more"));
        }
        let framerate = self.max_framerate;
        if framerate.is_some_and(|rate| !(rate >= 0.0 && rate.is_finite())) {
            return Err(RTCError::range("maxFramerate must be 0 or more"));
        }
        let mode = self.scalability_mode.as_deref();
        if let Some(mode) = mode.filter(|mode| layers_of(mode).is_none()) {
            let message = format!("no codec has the scalability mode {mode:?}");
            return Err(RTCError::operation(message));
        }
        Ok(())
    }

    /// How many temporal layers there are.
    pub(crate) fn temporal_layers(&self) -> u8 {
        let mode = self.scalability_mode.as_deref();
        mode.and_then(layers_of).unwrap_or(1)
    }

    /// Leaves out what is only for the other kind.
    pub(crate) fn keep_to(&mut self, kind: MediaKind) {
        if kind == MediaKind::Audio {
            self.max_framerate = None;
            self.scale_resolution_down_by = 1.0;
            self.scalability_mode = None;
        }
    }

    /// The encodings of a sender, of those that a program asks for
    /// ([addTransceiver sendEncodings validation](https://w3c.github.io/webrtc-pc/#dfn-addtransceiver-sendencodings-validation-steps)):
    /// one of sound, up to three of pictures, one at least. A single one has no id. Where several are
    /// asked for and none is to be smaller, each is half as wide and high as the next.
    pub(crate) fn all_of(wanted: &[Self], kind: MediaKind) -> Result<Vec<Self>, RTCError> {
        let rids: Vec<&String> = wanted.iter().filter_map(|one| one.rid.as_ref()).collect();
        for (at, rid) in rids.iter().enumerate() {
            // RFC 8852, section 3.3; browsers take 16 characters.
            let allowed = |byte: u8| byte.is_ascii_alphanumeric();
            if !(1..=16).contains(&rid.len()) || !rid.bytes().all(allowed) {
                return Err(RTCError::type_error(format!("{rid:?} is no rid")));
            }
            if rids[..at].contains(rid) {
                return Err(RTCError::type_error(format!(
                    "two encodings with rid {rid:?}"
                )));
            }
        }
        if !rids.is_empty() && rids.len() != wanted.len() {
            let message = "either every encoding has a rid, or none has";
            return Err(RTCError::type_error(message));
        }
        wanted.iter().try_for_each(Self::check)?;
        let most = match kind {
            MediaKind::Audio => 1,
            MediaKind::Video => MAX_ENCODINGS,
        };
        let mut all: Vec<Self> = wanted.iter().take(most).cloned().collect();
        if all.len() < 2 || rids.is_empty() {
            all.truncate(1);
            all.iter_mut().for_each(|one| one.rid = None);
        } else if all.iter().all(|one| one.scale_resolution_down_by == 1.0) {
            for (one, halvings) in all.iter_mut().rev().zip(0_i32..) {
                one.scale_resolution_down_by = 2.0_f64.powi(halvings);
            }
        }
        if all.is_empty() {
            all.push(Self::default());
        }
        all.iter_mut().for_each(|one| one.keep_to(kind));
        Ok(all)
    }
}

impl RTCRtpEncodingParameters {
    /// Those that the other side's offer asks for
    /// ([setting a description](https://w3c.github.io/webrtc-pc/#set-the-session-description)), each half as
    /// wide and high as the next: none of sound, and no more than a sender has.
    pub(crate) fn proposed(taken: &[TakenEncoding], kind: MediaKind) -> Vec<Self> {
        if kind == MediaKind::Audio {
            return Vec::new();
        }
        let rids = taken.iter().map(|one| one.rid.clone());
        let rids: Vec<String> = rids.take(MAX_ENCODINGS).collect();
        let halvings = (0..rids.len() as i32).rev();
        let encoding = |(rid, halvings)| RTCRtpEncodingParameters {
            rid: Some(rid),
            scale_resolution_down_by: 2.0_f64.powi(halvings),
            ..Default::default()
        };
        rids.into_iter().zip(halvings).map(encoding).collect()
    }
}

/// A sender has so many encodings at most, as browsers' have.
const MAX_ENCODINGS: usize = 3;

/// The temporal layers of a [scalability mode](https://w3c.github.io/webrtc-svc/#scalabilitymodes*) that
/// VP8 has.
fn layers_of(mode: &str) -> Option<u8> {
    match mode {
        "L1T1" => Some(1),
        "L1T2" => Some(2),
        "L1T3" => Some(3),
        _ => None,
    }
}

/// [`RTCRtpCodec`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpcodec): a codec and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtpCodec {
    /// `video/VP8`.
    pub mime_type: String,
    /// Ticks a second of the RTP time stamps.
    pub clock_rate: u32,
    /// Of sound only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// The parameters of its `a=fmtp` line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_fmtp_line: Option<String>,
}

/// Codecs that are none without another.
const AUXILIARY: [&str; 6] = [
    "rtx",
    "red",
    "ulpfec",
    "flexfec-03",
    "telephone-event",
    "CN",
];

impl RTCRtpCodec {
    /// Of the same type, whatever the parameters: those belong to each side.
    pub(crate) fn is_same_codec(&self, other: &RTCRtpCodec) -> bool {
        self.mime_type.eq_ignore_ascii_case(&other.mime_type)
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
    }

    /// Whether it goes beside another codec, and carries neither sound nor picture of its own.
    pub(crate) fn is_auxiliary(&self) -> bool {
        let name = self.mime_type.split('/').nth(1).unwrap_or_default();
        AUXILIARY
            .iter()
            .any(|repair| name.eq_ignore_ascii_case(repair))
    }

    /// The payload type whose packets it carries again.
    pub(crate) fn repaired(&self) -> Option<u8> {
        let parameters = self.sdp_fmtp_line.as_deref()?.split(';');
        let apt = parameters
            .filter_map(|one| one.trim().strip_prefix("apt="))
            .next()?;
        apt.parse().ok().filter(|_| self.is_auxiliary())
    }
}

/// [`RTCRtpCodecParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpcodecparameters): a codec under
/// the payload type that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtpCodecParameters {
    /// 0 to 127.
    pub payload_type: u8,
    /// Which.
    #[serde(flatten)]
    pub codec: RTCRtpCodec,
}

/// [`RTCRtpHeaderExtensionParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpheaderextensionparameters).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtpHeaderExtensionParameters {
    /// Which.
    pub uri: String,
    /// Under which number.
    pub id: u16,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// [`RTCRtcpParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtcpparameters).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtcpParameters {
    /// The canonical name of this end; of a receiver none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// Whether reports may be of [reduced size](https://www.rfc-editor.org/rfc/rfc5506).
    pub reduced_size: bool,
}

/// [`RTCDegradationPreference`](https://w3c.github.io/mst-content-hint/#dom-rtcdegradationpreference): what
/// of a picture gives way when the path does not carry all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RTCDegradationPreference {
    /// Its size.
    MaintainFramerate,
    /// Its rate.
    MaintainResolution,
    /// Some of both.
    Balanced,
}

impl From<RTCDegradationPreference> for DegradationPreference {
    fn from(preference: RTCDegradationPreference) -> Self {
        match preference {
            RTCDegradationPreference::MaintainFramerate => Self::MaintainFramerate,
            RTCDegradationPreference::MaintainResolution => Self::MaintainResolution,
            RTCDegradationPreference::Balanced => Self::Balanced,
        }
    }
}

impl From<DegradationPreference> for RTCDegradationPreference {
    fn from(preference: DegradationPreference) -> Self {
        match preference {
            DegradationPreference::MaintainFramerate => Self::MaintainFramerate,
            DegradationPreference::MaintainResolution => Self::MaintainResolution,
            DegradationPreference::Balanced => Self::Balanced,
        }
    }
}

/// [`RTCRtpSendParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsendparameters).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtpSendParameters {
    /// Of one `get_parameters` and the `set_parameters` that belongs to it.
    pub transaction_id: String,
    /// How the track is encoded: one, or several of different sizes.
    pub encodings: Vec<RTCRtpEncodingParameters>,
    /// [`degradationPreference`](https://w3c.github.io/mst-content-hint/#dom-rtcrtpsendparameters-degradationpreference),
    /// of pictures. Without one the track's
    /// [`content_hint`](duet_media::MediaStreamTrack::content_hint) says it: details and text keep their
    /// size, motion its rate, all else gives up some of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degradation_preference: Option<RTCDegradationPreference>,
    /// As agreed on.
    pub header_extensions: Vec<RTCRtpHeaderExtensionParameters>,
    /// As agreed on.
    pub rtcp: RTCRtcpParameters,
    /// As agreed on: what the other side takes. None before.
    pub codecs: Vec<RTCRtpCodecParameters>,
}

impl RTCRtpSendParameters {
    /// Whether a sender that returned `self` may be set to `next`
    /// ([setParameters validation](https://w3c.github.io/webrtc-pc/#dfn-setparameters-validation-steps)).
    pub(crate) fn check_change(&self, next: &RTCRtpSendParameters) -> Result<(), RTCError> {
        let refuse = |what: &str| {
            let message = format!("{what} must be as get_parameters() returned them");
            Err(RTCError::modification(message))
        };
        if next.transaction_id != self.transaction_id {
            return refuse("the parameters' transaction and its successors");
        }
        let rids = |of: &RTCRtpSendParameters| -> Vec<Option<String>> {
            of.encodings
                .iter()
                .map(|encoding| encoding.rid.clone())
                .collect()
        };
        if rids(self) != rids(next) {
            return refuse("the number of encodings and their rids");
        }
        if self.header_extensions != next.header_extensions {
            return refuse("the header extensions");
        }
        if self.rtcp != next.rtcp {
            return refuse("the parameters of RTCP");
        }
        if self.codecs != next.codecs {
            return refuse("the codecs");
        }
        next.encodings
            .iter()
            .try_for_each(RTCRtpEncodingParameters::check)
    }
}

/// [`RTCRtpReceiveParameters`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiveparameters).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtpReceiveParameters {
    /// As agreed on.
    pub header_extensions: Vec<RTCRtpHeaderExtensionParameters>,
    /// As agreed on.
    pub rtcp: RTCRtcpParameters,
    /// What this side takes. None before it was agreed on.
    pub codecs: Vec<RTCRtpCodecParameters>,
}

/// [`RTCRtpHeaderExtensionCapability`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpheaderextensioncapability).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RTCRtpHeaderExtensionCapability {
    /// Which.
    pub uri: String,
}

/// [`RTCRtpCapabilities`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpcapabilities).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RTCRtpCapabilities {
    /// The preferred first.
    pub codecs: Vec<RTCRtpCodec>,
    /// In any order.
    pub header_extensions: Vec<RTCRtpHeaderExtensionCapability>,
}

impl RTCRtpCapabilities {
    /// What is sent and received of `kind`.
    pub(crate) fn of(kind: MediaKind) -> Self {
        let codec = |name: &str, clock_rate, channels, fmtp: Option<&str>| RTCRtpCodec {
            mime_type: format!("{kind}/{name}"),
            clock_rate,
            channels,
            sdp_fmtp_line: fmtp.map(str::to_owned),
        };
        let codecs = match kind {
            MediaKind::Audio => {
                let opus = Some(crate::substrate::OPUS_FMTP);
                let red = Some(crate::substrate::RED_FMTP);
                vec![
                    codec("opus", 48_000, Some(2), opus),
                    codec("red", 48_000, Some(2), red),
                    codec("telephone-event", 48_000, Some(1), None),
                ]
            }
            MediaKind::Video => {
                vec![
                    codec("VP8", 90_000, None, None),
                    codec("rtx", 90_000, None, None),
                    codec("flexfec-03", 90_000, None, Some(crate::substrate::FEC_FMTP)),
                ]
            }
        };
        let extensions = crate::substrate::header_extensions(kind).iter();
        RTCRtpCapabilities {
            codecs,
            header_extensions: extensions
                .map(|uri| RTCRtpHeaderExtensionCapability {
                    uri: (*uri).to_owned(),
                })
                .collect(),
        }
    }

    /// The codecs that a transceiver may be told to prefer, each once
    /// ([`setCodecPreferences`](https://w3c.github.io/webrtc-pc/#dom-rtcrtptransceiver-setcodecpreferences)).
    pub(crate) fn pick(&self, wanted: &[RTCRtpCodec]) -> Result<Vec<RTCRtpCodec>, RTCError> {
        let mut picked: Vec<RTCRtpCodec> = Vec::with_capacity(wanted.len());
        for codec in wanted {
            let known = self.codecs.iter().find(|known| {
                known.is_same_codec(codec) && known.sdp_fmtp_line == codec.sdp_fmtp_line
            });
            let Some(known) = known else {
                let message = format!("{codec:?} is not among the capabilities");
                return Err(RTCError::modification(message));
            };
            if !picked.contains(known) {
                picked.push(known.clone());
            }
        }
        if !picked.is_empty() && picked.iter().all(RTCRtpCodec::is_auxiliary) {
            let message = "codecs that carry no media of their own";
            return Err(RTCError::modification(message));
        }
        Ok(picked)
    }
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
