//! Offers that are taken back ([RFC 9429, section 4.1.10.2](https://www.rfc-editor.org/rfc/rfc9429#section-4.1.10.2)).

use super::Negotiation;
use crate::peer_connection::Shared;
use crate::transceiver::Known;
use crate::{
    RTCError, RTCRtpTransceiver, RTCRtpTransceiverDirection as Direction, RTCSdpType,
    RTCSessionDescription, RTCSignalingState,
};

impl Negotiation {
    /// An offer is pending, of whichever side.
    pub(super) fn can_roll_back(&self) -> bool {
        matches!(
            self.state,
            RTCSignalingState::HaveLocalOffer | RTCSignalingState::HaveRemoteOffer
        )
    }
}

impl Shared {
    /// Takes the pending offer back, whosever it is.
    pub(super) async fn roll_back(&self) -> Result<(), RTCError> {
        let state = self.negotiation.lock().state;
        match state {
            RTCSignalingState::HaveLocalOffer => self.roll_back_local().await?,
            _ => {
                self.roll_back_remote().await?;
                self.announce(RTCSignalingState::Stable);
            }
        }
        self.conclude(RTCSignalingState::Stable);
        Ok(())
    }

    pub(super) async fn roll_back_local(&self) -> Result<(), RTCError> {
        self.forget_local().await?;
        self.negotiation.lock().pending_local = None;
        self.forget_pending();
        self.forget_data();
        self.announce(RTCSignalingState::Stable);
        Ok(())
    }

    /// Nobody is told the state: another offer may follow in the same step.
    pub(super) async fn roll_back_remote(&self) -> Result<(), RTCError> {
        let dropped = self.forget_remote().await?;
        self.negotiation.lock().pending_remote = None;
        for transceiver in &dropped {
            transceiver.set_mid(None);
            self.take_away(transceiver);
            transceiver.halt();
            transceiver.0.state.lock().current_direction = Some(Direction::Stopped);
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
        self.forget_data();
        self.follow_remote(&session);
        Ok(())
    }

    /// Takes back what the substrate knows of the other side's pending offer, and finds out which
    /// transceivers go with it: those that were made for it and that `add_track` has not used since.
    async fn forget_remote(&self) -> Result<Vec<RTCRtpTransceiver>, RTCError> {
        let told = {
            let negotiation = self.negotiation.lock();
            let pending = negotiation.pending_remote.as_ref();
            pending.is_some_and(|described| described.told)
        };
        let transceivers = self.transceivers.lock().clone();
        let mut dropped = Vec::new();
        for transceiver in &transceivers {
            let (made, used) = {
                let state = transceiver.0.state.lock();
                let made = state.created_by_remote && state.current_direction.is_none();
                (made, state.by_add_track)
            };
            if !made {
                continue;
            }
            let known = transceiver.known().filter(|_| told);
            // The substrate drops those without a sender.
            match known {
                Some(_) if used => self.attach(transceiver).await?,
                Some(known) if known.has_sender => {
                    if let Some(sender) = known.transceiver.sender().await? {
                        self.substrate.remove_track(&sender).await?;
                    }
                }
                _ => {}
            }
            if used {
                transceiver.0.state.lock().created_by_remote = false;
            } else {
                dropped.push(transceiver.clone());
            }
        }
        if told {
            let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
            self.substrate.set_remote_description(rollback).await?;
        }
        self.transceivers.lock().retain(|t| !dropped.contains(t));
        if told {
            self.renumber().await;
        }
        Ok(dropped)
    }

    /// The substrate's transceivers are known by their place, and some went.
    async fn renumber(&self) {
        let mut known = self.substrate.get_transceivers().await;
        known.sort_unstable_by_key(|transceiver| transceiver.id());
        let mut ours: Vec<(usize, RTCRtpTransceiver)> = Vec::new();
        for transceiver in self.transceivers.lock().iter() {
            if let Some(known) = transceiver.known() {
                ours.push((known.transceiver.id(), transceiver.clone()));
            }
        }
        ours.sort_unstable_by_key(|(id, _)| *id);
        debug_assert_eq!(ours.len(), known.len());
        for ((_, ours), known) in ours.into_iter().zip(known) {
            let mut state = ours.0.state.lock();
            let has_sender = state.known.as_ref().is_some_and(|known| known.has_sender);
            state.known = Some(Known {
                transceiver: known,
                has_sender,
            });
        }
    }

    /// Sections that only the description that was taken back knew are nobody's again.
    fn forget_pending(&self) {
        let local = self.negotiation.lock().local.clone();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in &transceivers {
            let mid = transceiver.mid();
            let section = mid
                .as_deref()
                .and_then(|mid| local.as_ref()?.session.section(mid));
            if section.is_none() && mid.is_some() {
                transceiver.set_mid(None);
            }
            if !transceiver.known().is_some_and(|known| known.has_sender) {
                transceiver.0.sender.withdraw_encodings();
            }
            let live = {
                let mut state = transceiver.0.state.lock();
                state.described = section.map(|section| section.direction);
                if section.is_none() && state.current_direction != Some(Direction::Stopped) {
                    state.current_direction = None;
                }
                state.current_direction.is_some_and(Direction::sends)
                    && state.direction != Direction::Stopped
            };
            transceiver.0.sender.set_live(live);
        }
    }
}
