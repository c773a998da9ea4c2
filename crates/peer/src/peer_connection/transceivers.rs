//! A connection's transceivers: made, found, and given tracks to send.

use super::Shared;
use crate::substrate::local_track;
use crate::transceiver::{TransceiverShared, TransceiverState};
use crate::{
    RTCError, RTCErrorKind, RTCPeerConnection, RTCRtpEncodingParameters, RTCRtpReceiver,
    RTCRtpSender, RTCRtpTransceiver, RTCRtpTransceiverDirection as Direction,
    RTCRtpTransceiverInit,
};
use duet_media::{MediaKind, MediaStream, MediaStreamTrack};
use parking_lot::Mutex;
use std::sync::Arc;
use webrtc::rtp_transceiver::RtpTransceiver;

impl RTCPeerConnection {
    /// [`addTrack`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtrack): sends `track`, as
    /// a part of `streams`, from the next negotiation on.
    ///
    /// # Errors
    /// `InvalidAccessError` if it is being sent already.
    pub async fn add_track(
        &self,
        track: &MediaStreamTrack,
        streams: &[&MediaStream],
    ) -> Result<RTCRtpSender, RTCError> {
        let _turn = self.0.turn().await?;
        let transceivers = self.get_transceivers();
        let senders = || transceivers.iter().map(|t| &t.0.sender);
        if senders().any(|sender| sender.track().as_ref() == Some(track)) {
            let message = "the track is being sent already";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        }
        let streams: Vec<MediaStream> = streams.iter().map(|s| (*s).clone()).collect();
        let free = transceivers.iter().find(|transceiver| {
            let state = transceiver.0.state.lock();
            transceiver.0.kind == track.kind()
                && transceiver.0.sender.track().is_none()
                && !state.has_sent
                && state.direction != Direction::Stopped
        });
        let transceiver = match free {
            Some(free) => {
                self.0.keep_offered().await?;
                let mut state = free.0.state.lock();
                state.direction = Direction::of(true, state.direction.receives());
                drop(state);
                free.clone()
            }
            None => {
                let init = RTCRtpTransceiverInit::default();
                self.0.make_transceiver(track.kind(), &init).await?
            }
        };
        transceiver.0.sender.set_streams(&streams);
        transceiver.0.sender.replace_track(Some(track))?;
        self.0.update_negotiation_needed();
        Ok(transceiver.sender())
    }

    /// [`removeTrack`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-removetrack): sends
    /// nothing through `sender` any more. Its track goes on.
    ///
    /// # Errors
    /// `InvalidAccessError` for another connection's sender.
    pub fn remove_track(&self, sender: &RTCRtpSender) -> Result<(), RTCError> {
        self.0.check_open()?;
        let transceivers = self.0.transceivers.lock().clone();
        let Some(transceiver) = transceivers.iter().find(|t| t.0.sender == *sender) else {
            let message = "the sender belongs to another connection";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        };
        if sender.track().is_none() {
            return Ok(());
        }
        sender.replace_track(None)?;
        {
            let mut state = transceiver.0.state.lock();
            if state.direction != Direction::Stopped {
                state.direction = Direction::of(false, state.direction.receives());
            }
        }
        self.0.update_negotiation_needed();
        Ok(())
    }

    /// [`addTransceiver`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtransceiver) for a
    /// track.
    ///
    /// # Errors
    /// `TypeError` or `RangeError` for encodings that cannot be had.
    pub async fn add_transceiver_with_track(
        &self,
        track: &MediaStreamTrack,
        init: RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        let transceiver = self.add_transceiver(track.kind(), init).await?;
        transceiver.0.sender.replace_track(Some(track))?;
        Ok(transceiver)
    }

    /// [`addTransceiver`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtransceiver) for a
    /// kind.
    ///
    /// # Errors
    /// `TypeError` or `RangeError` for encodings that cannot be had.
    pub async fn add_transceiver(
        &self,
        kind: MediaKind,
        init: RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        let _turn = self.0.turn().await?;
        let transceiver = self.0.make_transceiver(kind, &init).await?;
        transceiver.0.sender.set_streams(&init.streams);
        self.0.update_negotiation_needed();
        Ok(transceiver)
    }

    /// All senders of transceivers that are not stopped.
    pub fn get_senders(&self) -> Vec<RTCRtpSender> {
        self.get_transceivers()
            .iter()
            .map(RTCRtpTransceiver::sender)
            .collect()
    }

    /// All receivers of transceivers that are not stopped.
    pub fn get_receivers(&self) -> Vec<RTCRtpReceiver> {
        self.get_transceivers()
            .iter()
            .map(RTCRtpTransceiver::receiver)
            .collect()
    }

    /// All transceivers that are not stopped.
    pub fn get_transceivers(&self) -> Vec<RTCRtpTransceiver> {
        let transceivers = self.0.transceivers.lock();
        transceivers
            .iter()
            .filter(|t| !t.stopped())
            .cloned()
            .collect()
    }
}

impl Shared {
    pub(crate) fn find_transceiver(&self, mid: &str) -> Option<RTCRtpTransceiver> {
        let transceivers = self.transceivers.lock();
        let has_mid = |t: &&RTCRtpTransceiver| t.0.state.lock().mid.as_deref() == Some(mid);
        transceivers.iter().find(has_mid).cloned()
    }

    /// A transceiver, here and in the substrate, with a sender that stays the same for its life.
    async fn make_transceiver(
        &self,
        kind: MediaKind,
        init: &RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        if init.direction == Direction::Stopped {
            let message = "a transceiver cannot begin stopped";
            return Err(RTCError::new(RTCErrorKind::Type, message));
        }
        let encoding = match init.send_encodings.as_slice() {
            [] => RTCRtpEncodingParameters::default(),
            [one] => *one,
            _ => {
                let message = "one encoding per sender: simulcast is not there yet";
                return Err(RTCError::new(RTCErrorKind::NotSupported, message));
            }
        };
        encoding.check()?;
        self.keep_offered().await?;
        let sender = self.make_sender(kind, encoding);
        let track = local_track(&sender);
        let substrate = self.substrate.add_transceiver_from_track(track, None).await;
        let substrate = match substrate {
            Ok(substrate) => substrate,
            Err(error) => {
                sender.close().await;
                return Err(error.into());
            }
        };
        Ok(self.adopt(substrate, kind, sender, init.direction, true))
    }

    pub(crate) fn make_sender(
        &self,
        kind: MediaKind,
        encoding: RTCRtpEncodingParameters,
    ) -> RTCRtpSender {
        let (encoders, start) = (&self.context.encoders, self.context.start_bitrate);
        let peer = self.this.clone();
        RTCRtpSender::new(kind, &self.path, encoders, start, encoding, peer)
    }

    pub(crate) fn adopt(
        &self,
        substrate: Arc<dyn RtpTransceiver>,
        kind: MediaKind,
        sender: RTCRtpSender,
        direction: Direction,
        attached: bool,
    ) -> RTCRtpTransceiver {
        let transceiver = RTCRtpTransceiver(Arc::new(TransceiverShared {
            id: substrate.id(),
            kind,
            substrate,
            sender,
            receiver: RTCRtpReceiver::new(kind, &self.path),
            peer: self.this.clone(),
            state: Mutex::new(TransceiverState {
                mid: None,
                direction,
                current_direction: None,
                fired_direction: None,
                described: None,
                offered: None,
                has_sent: false,
                attached,
                created_by_remote: !attached,
            }),
        }));
        self.transceivers.lock().push(transceiver.clone());
        transceiver
    }
}
