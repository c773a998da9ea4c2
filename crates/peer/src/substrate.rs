//! How the substrate is set up, and what it tells.

use crate::dispatch::{Item, post};
use crate::interceptor::MediaPath;
use crate::recovery::Recovery;
use crate::states::States;
use crate::{
    PeerConnectionEvent, RTCError, RTCIceCandidateInit, RTCIceConnectionState,
    RTCIceGatheringState, RTCPeerConnectionIceErrorEvent, RTCPeerConnectionState, RTCRtpSender,
};
use duet_media::MediaKind;
use parking_lot::Mutex;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::{
    SctpMaxMessageSize, SettingEngine, SettingEngineBuilder,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection as substrate;

/// The agent looks for pairs to check this often.
/// [RFC 8445](https://www.rfc-editor.org/rfc/rfc8445#section-14.2) allows 5 ms.
const ICE_TICK: Duration = Duration::from_millis(5);
/// How often a pair is tried: for as long as an attempt lasts. Most of these checks never leave
/// (`recovery/checks.rs`).
const ICE_ATTEMPTS: u16 = 7_000;
/// After so long without a word the connection is `disconnected`, and after so much more `failed`: then
/// consent has expired ([RFC 7675](https://www.rfc-editor.org/rfc/rfc7675#section-5.1)), and the agent
/// drops its pair. Until then an outage that ends, ends at once.
const ICE_DISCONNECTED: Duration = Duration::from_secs(3);
const ICE_FAILED: Duration = Duration::from_secs(27);
const ICE_KEEPALIVE: Duration = Duration::from_secs(1);
/// A pair of reflexive addresses is taken when nothing better came within this, a relayed one a
/// little later.
const REFLEXIVE_WAIT: Duration = Duration::from_millis(50);
const RELAY_WAIT: Duration = Duration::from_millis(200);
/// Relays are asked this often to keep what they granted: one that was started anew says then that it granted
/// nothing (`relay/allocations.rs`). A request is of some 150 bytes.
const RELAY_REFRESH: Duration = Duration::from_secs(3);

pub(crate) const TWCC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What packets carry beside the media.
pub(crate) const fn header_extensions(kind: MediaKind) -> &'static [&'static str] {
    match kind {
        MediaKind::Audio => &[TWCC_URI, crate::sdp::MID_URI],
        MediaKind::Video => &[
            TWCC_URI,
            crate::sdp::MID_URI,
            crate::sdp::RID_URI,
            crate::sdp::REPAIRED_RID_URI,
        ],
    }
}

/// Opus within redundancy within one packet.
pub(crate) const RED_FMTP: &str = "111/111";

pub(crate) const OPUS_FMTP: &str = "minptime=10;useinbandfec=1;stereo=1";

/// `relay_only`: there is nothing better to wait for.
pub(crate) fn setting_engine(mdns: MulticastDnsMode, relay_only: bool) -> SettingEngine {
    let relay_wait = if relay_only {
        Duration::ZERO
    } else {
        RELAY_WAIT
    };
    SettingEngineBuilder::new()
        .with_multicast_dns_mode(mdns)
        .with_include_loopback_candidate(true)
        .with_ice_connection_attempts(Some(ICE_TICK), Some(ICE_ATTEMPTS))
        .with_ice_timeouts(
            Some(ICE_DISCONNECTED),
            Some(ICE_FAILED),
            Some(ICE_KEEPALIVE),
        )
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(REFLEXIVE_WAIT))
        .with_relay_acceptance_min_wait(Some(relay_wait))
        .with_turn_allocation_refresh_interval_cap(RELAY_REFRESH)
        .with_discard_local_candidates_during_ice_restart(true)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(
            SctpMaxMessageSize::MAX_MESSAGE_SIZE,
        ))
        .build()
}

/// VP8 with retransmissions, and Opus.
pub(crate) fn media_engine() -> Result<MediaEngine, RTCError> {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    let twcc = feedback("transport-cc", "");
    let video = |mime: &str, payload_type, fmtp: &str, rtcp_feedback| RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: fmtp.to_owned(),
            rtcp_feedback,
        },
        payload_type,
    };
    let vp8_feedback = vec![
        feedback("goog-remb", ""),
        twcc.clone(),
        feedback("ccm", "fir"),
        feedback("nack", ""),
        feedback("nack", "pli"),
    ];
    let mut engine = MediaEngine::default();
    let vp8 = video(MIME_TYPE_VP8, 96, "", vp8_feedback);
    engine.register_codec(vp8, RtpCodecKind::Video)?;
    let rtx = video(MIME_TYPE_RTX, 97, "apt=96", Vec::new());
    engine.register_codec(rtx, RtpCodecKind::Video)?;
    for codec in audio_codecs() {
        engine.register_codec(codec, RtpCodecKind::Audio)?;
    }
    for (kind, media) in [
        (RtpCodecKind::Audio, MediaKind::Audio),
        (RtpCodecKind::Video, MediaKind::Video),
    ] {
        for uri in header_extensions(media) {
            let uri = (*uri).to_owned();
            let capability = RTCRtpHeaderExtensionCapability { uri };
            engine.register_header_extension(capability, kind, None)?;
        }
    }
    Ok(engine)
}

/// Opus; the same with earlier packets beside each; and telephone keys among it: their time stamps are
/// those of the sound.
pub(crate) fn audio_codecs() -> [RTCRtpCodecParameters; 3] {
    let twcc = RTCPFeedback {
        typ: "transport-cc".to_owned(),
        parameter: String::new(),
    };
    let keys = RTCRtpCodec {
        mime_type: "audio/telephone-event".to_owned(),
        clock_rate: 48_000,
        ..Default::default()
    };
    let red = RTCRtpCodec {
        mime_type: "audio/red".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: RED_FMTP.to_owned(),
        ..Default::default()
    };
    let codecs = [(111, opus_codec(vec![twcc])), (63, red), (110, keys)];
    codecs.map(|(payload_type, rtp_codec)| RTCRtpCodecParameters {
        rtp_codec,
        payload_type,
    })
}

fn opus_codec(rtcp_feedback: Vec<RTCPFeedback>) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: OPUS_FMTP.to_owned(),
        rtcp_feedback,
    }
}

/// What stands for a sender in the substrate, for its whole life. No packet goes through it: the
/// media path has its own way to the wire.
pub(crate) fn local_track(sender: &RTCRtpSender, cname: &str) -> Arc<dyn TrackLocal> {
    let (kind, codec) = match sender.kind() {
        MediaKind::Audio => (RtpCodecKind::Audio, opus_codec(Vec::new())),
        MediaKind::Video => {
            let codec = RTCRtpCodec {
                mime_type: MIME_TYPE_VP8.to_owned(),
                clock_rate: 90_000,
                ..Default::default()
            };
            (RtpCodecKind::Video, codec)
        }
    };
    let encodings = sender.sent_encodings().into_iter().map(|encoding| {
        let stream = encoding.stream;
        let rtx = (kind == RtpCodecKind::Video).then_some(RTCRtpRtxParameters {
            ssrc: stream.rtx_ssrc,
        });
        RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(stream.ssrc),
                rid: encoding.rid.unwrap_or_default(),
                rtx,
                ..Default::default()
            },
            active: true,
            codec: codec.clone(),
            ..Default::default()
        }
    });
    let id = &sender.0.track_id;
    let track = MediaStreamTrack::new(
        // Becomes the canonical name; the stream ids are put right in the description.
        cname.to_owned(),
        id.clone(),
        id.clone(),
        kind,
        encodings.collect(),
    );
    Arc::new(TrackLocalStaticRTP::new(track))
}

/// Called on the substrate's driver: it notes the states and queues the rest.
pub(crate) struct Handler {
    queue: mpsc::Sender<Item>,
    states: Arc<Mutex<States>>,
    path: Arc<MediaPath>,
    recovery: Arc<Recovery>,
}

impl Handler {
    pub(crate) fn new(
        queue: mpsc::Sender<Item>,
        states: Arc<Mutex<States>>,
        path: Arc<MediaPath>,
        recovery: Arc<Recovery>,
    ) -> Self {
        Handler {
            queue,
            states,
            path,
            recovery,
        }
    }

    fn post(&self, event: PeerConnectionEvent) {
        post(&self.queue, Item::Event(event));
    }
}

#[async_trait::async_trait]
impl substrate::PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: substrate::RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
        // The end is told by the gathering state.
        if init.candidate.is_empty() {
            return;
        }
        let mut candidate = init.candidate;
        if !candidate.starts_with("candidate:") {
            candidate.insert_str(0, "candidate:");
        }
        self.post(PeerConnectionEvent::IceCandidate(Some(
            RTCIceCandidateInit {
                candidate,
                sdp_mid: None,
                sdp_mline_index: Some(0),
                username_fragment: init.username_fragment,
            },
        )));
    }

    async fn on_ice_candidate_error(&self, event: substrate::RTCPeerConnectionIceErrorEvent) {
        let asked = !event.address.is_empty();
        self.post(PeerConnectionEvent::IceCandidateError(
            RTCPeerConnectionIceErrorEvent {
                address: asked.then_some(event.address),
                port: asked.then_some(event.port),
                url: event.url,
                error_code: event.error_code,
                error_text: event.error_text,
            },
        ));
    }

    async fn on_ice_connection_state_change(&self, state: substrate::RTCIceConnectionState) {
        use substrate::RTCIceConnectionState as Substrate;
        let state = match state {
            Substrate::Checking => RTCIceConnectionState::Checking,
            Substrate::Connected => RTCIceConnectionState::Connected,
            Substrate::Completed => RTCIceConnectionState::Completed,
            Substrate::Disconnected => RTCIceConnectionState::Disconnected,
            Substrate::Failed => RTCIceConnectionState::Failed,
            Substrate::Closed => RTCIceConnectionState::Closed,
            _ => RTCIceConnectionState::New,
        };
        self.recovery.on_ice(state);
        self.path.set_consent(self.recovery.may_send());
        use RTCIceConnectionState::{Checking, Completed, Connected, Failed};
        match state {
            Connected | Completed => {
                self.path.set_way(true);
                post(&self.queue, Item::Way);
            }
            // The agent dropped its pair.
            Checking | Failed => self.path.set_way(false),
            _ => {}
        }
        let changes = self.states.lock().set_ice(state);
        changes.events().for_each(|event| self.post(event));
    }

    async fn on_ice_gathering_state_change(&self, state: substrate::RTCIceGatheringState) {
        use substrate::RTCIceGatheringState as Substrate;
        let state = match state {
            Substrate::Gathering => RTCIceGatheringState::Gathering,
            Substrate::Complete => RTCIceGatheringState::Complete,
            _ => RTCIceGatheringState::New,
        };
        if state == RTCIceGatheringState::New {
            return;
        }
        let before = std::mem::replace(&mut self.states.lock().ice_gathering, state);
        if before != state {
            self.post(PeerConnectionEvent::IceGatheringStateChange(state));
        }
        if state == RTCIceGatheringState::Complete {
            self.post(PeerConnectionEvent::IceCandidate(None));
        }
    }

    async fn on_connection_state_change(&self, state: substrate::RTCPeerConnectionState) {
        use substrate::RTCPeerConnectionState as Substrate;
        let state = match state {
            Substrate::Connecting => RTCPeerConnectionState::Connecting,
            Substrate::Connected => RTCPeerConnectionState::Connected,
            Substrate::Disconnected => RTCPeerConnectionState::Disconnected,
            Substrate::Failed => RTCPeerConnectionState::Failed,
            // Told by close() itself.
            Substrate::Closed => return,
            _ => RTCPeerConnectionState::New,
        };
        let changes = self.states.lock().set_connection(state);
        changes.events().for_each(|event| self.post(event));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        post(&self.queue, Item::Channel(channel));
    }
}
