//! Offers that are taken back ([RFC 9429, section 4.1.10.2](https://www.rfc-editor.org/rfc/rfc9429#section-4.1.10.2)).

use crate::peer_connection::Shared;
use crate::{
    RTCError, RTCRtpTransceiver, RTCRtpTransceiverDirection as Direction, RTCSdpType,
    RTCSessionDescription, RTCSignalingState,
};

impl Shared {
    pub(super) async fn roll_back_local(&self) -> Result<(), RTCError> {
        let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
        self.substrate.set_local_description(rollback).await?;
        self.negotiation.lock().pending_local = None;
        self.forget_pending();
        self.set_state(RTCSignalingState::Stable);
        Ok(())
    }

    pub(super) async fn roll_back_remote(&self) -> Result<(), RTCError> {
        let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
        self.substrate.set_remote_description(rollback).await?;
        self.negotiation.lock().pending_remote = None;
        let dropped = {
            let mut transceivers = self.transceivers.lock();
            let of_offer = |t: &RTCRtpTransceiver| {
                let state = t.0.state.lock();
                state.created_by_remote && !state.attached
            };
            let dropped: Vec<_> = transceivers
                .iter()
                .filter(|t| of_offer(t))
                .cloned()
                .collect();
            transceivers.retain(|t| !dropped.contains(t));
            dropped
        };
        for transceiver in &dropped {
            self.take_away(transceiver);
            transceiver.0.receiver.end();
            transceiver.0.sender.close().await;
        }
        self.forget_pending();
        let remote = self.negotiation.lock().remote.clone();
        let session = remote.map(|remote| remote.session).unwrap_or_default();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            if transceiver.mid().is_none() {
                self.unfollow(&transceiver);
            }
        }
        self.announce(RTCSignalingState::Stable);
        self.follow_remote(&session);
        self.conclude(RTCSignalingState::Stable);
        Ok(())
    }

    /// Sections that only the description that was taken back knew are nobody's again.
    fn forget_pending(&self) {
        let local = self.negotiation.lock().local.clone();
        for transceiver in self.transceivers.lock().iter() {
            let live = {
                let mut state = transceiver.0.state.lock();
                let section = state
                    .mid
                    .as_deref()
                    .and_then(|mid| local.as_ref()?.session.section(mid));
                state.described = section.map(|section| section.direction);
                if section.is_none() {
                    state.mid = None;
                    state.current_direction = None;
                }
                state.current_direction.is_some_and(Direction::sends)
                    && state.direction != Direction::Stopped
            };
            transceiver.0.sender.set_live(live);
        }
    }
}
