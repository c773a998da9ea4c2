//! A connection's transceivers: made, found, and given tracks to send.

use super::Shared;
use crate::substrate::{audio_codecs, local_track};
use crate::transceiver::{Known, TransceiverShared, TransceiverState};
use crate::{
    RTCError, RTCErrorKind, RTCPeerConnection, RTCRtcpParameters, RTCRtpEncodingParameters,
    RTCRtpReceiver, RTCRtpSendParameters, RTCRtpSender, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCRtpTransceiverInit,
};
use duet_media::{MediaKind, MediaStream, MediaStreamTrack};
use parking_lot::Mutex;
use std::sync::Arc;

impl RTCPeerConnection {
    /// [`addTrack`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtrack): sends `track`, as
    /// a part of `streams`, from the next negotiation on.
    ///
    /// It never waits.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed, `InvalidAccessError` if it is being sent already.
    pub async fn add_track(
        &self,
        track: &MediaStreamTrack,
        streams: &[&MediaStream],
    ) -> Result<RTCRtpSender, RTCError> {
        self.0.check_open()?;
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
                let mut state = free.0.state.lock();
                state.direction = Direction::of(true, state.direction.receives());
                drop(state);
                free.clone()
            }
            None => {
                let init = RTCRtpTransceiverInit::default();
                self.0.make_transceiver(track.kind(), &init)?
            }
        };
        transceiver.0.state.lock().by_add_track = true;
        transceiver.0.sender.set_streams(&streams)?;
        transceiver.0.sender.feed_track(Some(track))?;
        self.0.something_changed();
        Ok(transceiver.sender())
    }

    /// [`removeTrack`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-removetrack): sends
    /// nothing through `sender` any more. Its track goes on.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed, `InvalidAccessError` for another connection's
    /// sender.
    pub fn remove_track(&self, sender: &RTCRtpSender) -> Result<(), RTCError> {
        self.0.check_open()?;
        if !sender.belongs_to(&self.0.this) {
            let message = "the sender belongs to another connection";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        }
        let transceivers = self.get_transceivers();
        let transceiver = transceivers.iter().find(|t| t.0.sender == *sender);
        // One that was stopped for good, or whose offer was taken back, sends nothing anyway.
        let running = |t: &&RTCRtpTransceiver| !t.stopping() && sender.track().is_some();
        let Some(transceiver) = transceiver.filter(running) else {
            return Ok(());
        };
        sender.feed_track(None)?;
        {
            let mut state = transceiver.0.state.lock();
            if state.direction != Direction::Stopped {
                state.direction = Direction::of(false, state.direction.receives());
            }
        }
        self.0.something_changed();
        Ok(())
    }

    /// [`addTransceiver`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtransceiver) for a
    /// track.
    ///
    /// # Errors
    /// As [`add_transceiver`](Self::add_transceiver).
    pub async fn add_transceiver_with_track(
        &self,
        track: &MediaStreamTrack,
        init: RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        let transceiver = self.add_transceiver(track.kind(), init).await?;
        transceiver.0.sender.feed_track(Some(track))?;
        Ok(transceiver)
    }

    /// [`addTransceiver`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtransceiver) for a
    /// kind. It never waits.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed, `TypeError` for encodings whose rids cannot be,
    /// `RangeError` for a number out of its range.
    pub async fn add_transceiver(
        &self,
        kind: MediaKind,
        init: RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        self.0.check_open()?;
        let transceiver = self.0.make_transceiver(kind, &init)?;
        transceiver.0.sender.set_streams(&init.streams)?;
        self.0.something_changed();
        Ok(transceiver)
    }

    /// The senders of all transceivers.
    pub fn get_senders(&self) -> Vec<RTCRtpSender> {
        self.get_transceivers()
            .iter()
            .map(RTCRtpTransceiver::sender)
            .collect()
    }

    /// The receivers of all transceivers.
    pub fn get_receivers(&self) -> Vec<RTCRtpReceiver> {
        self.get_transceivers()
            .iter()
            .map(RTCRtpTransceiver::receiver)
            .collect()
    }

    /// All transceivers whose end is not negotiated.
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

    /// A transceiver that the substrate does not know of before it is described.
    fn make_transceiver(
        &self,
        kind: MediaKind,
        init: &RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        if init.direction == Direction::Stopped {
            return Err(RTCError::type_error("a transceiver cannot begin stopped"));
        }
        let encodings = RTCRtpEncodingParameters::all_of(&init.send_encodings, kind)?;
        let sender = self.make_sender(kind, encodings);
        Ok(self.adopt(kind, sender, init.direction))
    }

    pub(crate) fn make_sender(
        &self,
        kind: MediaKind,
        encodings: Vec<RTCRtpEncodingParameters>,
    ) -> RTCRtpSender {
        let (encoders, start) = (&self.context.encoders, self.context.start_bitrate);
        let peer = self.this.clone();
        let sender = RTCRtpSender::new(kind, &self.path, encoders, start, encodings, peer);
        sender.agree(RTCRtpSendParameters {
            rtcp: RTCRtcpParameters {
                cname: Some(self.cname.clone()),
                reduced_size: false,
            },
            ..Default::default()
        });
        sender
    }

    /// Keeps a transceiver that the substrate does not know of yet.
    pub(crate) fn adopt(
        &self,
        kind: MediaKind,
        sender: RTCRtpSender,
        direction: Direction,
    ) -> RTCRtpTransceiver {
        let transceiver = RTCRtpTransceiver(Arc::new(TransceiverShared {
            kind,
            sender,
            receiver: RTCRtpReceiver::new(kind, &self.path, self.this.clone()),
            peer: self.this.clone(),
            state: Mutex::new(TransceiverState {
                mid: None,
                direction,
                current_direction: None,
                fired_direction: None,
                described: None,
                offered: None,
                has_sent: false,
                by_add_track: false,
                created_by_remote: false,
                known: None,
                codecs: Vec::new(),
            }),
        }));
        self.transceivers.lock().push(transceiver.clone());
        transceiver
    }

    /// Makes a transceiver known to the substrate, with a sender that stays the same for its life.
    pub(crate) async fn attach(&self, transceiver: &RTCRtpTransceiver) -> Result<(), RTCError> {
        let known = transceiver.known();
        if known.as_ref().is_some_and(|known| known.has_sender) {
            return Ok(());
        }
        let track = local_track(&transceiver.0.sender, &self.cname);
        let made = match known {
            None => {
                let made = self.substrate.add_transceiver_from_track(track, None);
                let made = made.await?;
                if transceiver.0.kind == MediaKind::Audio {
                    // It would offer the track's codec alone. Fails where the other side has shown before
                    // that it does not take one of them: then that one is left out.
                    for without in [&[][..], &["audio/red"], &["audio/telephone-event"]] {
                        let codecs = audio_codecs().into_iter();
                        let codecs = codecs.filter(|codec| {
                            let name = codec.rtp_codec.mime_type.as_str();
                            !without.contains(&name)
                        });
                        if made.set_codec_preferences(codecs.collect()).await.is_ok() {
                            break;
                        }
                    }
                }
                made
            }
            Some(known) => {
                // The substrate gives it to its first transceiver of that kind without one: the same.
                let sender = self.substrate.add_track(track).await?;
                debug_assert_eq!(usize::from(sender.id()), known.transceiver.id());
                known.transceiver
            }
        };
        transceiver.0.state.lock().known = Some(Known {
            transceiver: made,
            has_sender: true,
        });
        Ok(())
    }
}
