//! What the room says: who comes and goes, and what they send. Which of the connections it belongs to is
//! found here; what becomes of it there is [`Link`](super::link::Link)'s business.

use super::CallTask;
use super::link::Stranger;
use super::lobby::{Lobby, LobbyEvent};
use crate::failure::Failure;
use duet_media::Clock;
use duet_peer::RTCIceServer;
use duet_session::SdpKind;
use duet_signaling::{ErrorCode, LeaveReason, PeerId, PeerInfo, ServerMessage};

impl CallTask {
    pub(super) async fn on_lobby(
        &mut self,
        event: LobbyEvent,
        lobby: &mut Lobby,
    ) -> Result<(), Failure> {
        match event {
            LobbyEvent::Message(message) => self.on_message(message, lobby).await,
            LobbyEvent::Lost => {
                let now = self.clock.now();
                self.links.iter_mut().for_each(|link| link.unreachable(now));
                Ok(())
            }
            LobbyEvent::Refused(failure) => Err(failure),
        }
    }

    async fn on_message(
        &mut self,
        message: ServerMessage,
        lobby: &mut Lobby,
    ) -> Result<(), Failure> {
        match message {
            ServerMessage::Joined {
                room,
                peers,
                ice_servers,
                ..
            } => {
                self.ice_servers = ice_servers.into_iter().map(ice_server).collect();
                if peers.is_empty() {
                    self.tell
                        .say(format_args!("joined room {room}; nobody else is there yet"));
                }
                for peer in peers {
                    self.offer_to(peer, lobby).await?;
                }
                self.drop_unreachable_of_full_room().await;
            }
            ServerMessage::PeerJoined { peer } => {
                self.tell.say(format_args!("{} came", name_of(&peer)));
                // The newcomer offers; whether it is somebody we know shows in its offer.
                lobby.expect(peer);
            }
            ServerMessage::PeerLeft { id, reason } => self.on_left(&id, reason).await,
            ServerMessage::Bye { from } => {
                // It is still in the room, and may call again.
                let peer = self.link_with(&from).map(|link| link.peer.clone());
                self.on_left(&from, LeaveReason::Left).await;
                peer.into_iter().for_each(|peer| lobby.expect(peer));
            }
            ServerMessage::Reject { from } => {
                if let Some(link) = self.link_with(&from)
                    && !link.on_reject()
                {
                    let name = link.name().to_owned();
                    self.tell
                        .warn(format_args!("{name} can take no offer of ours"));
                }
                self.drive(lobby).await;
            }
            ServerMessage::Offer { from, sdp } => self.on_offer(from, sdp, lobby).await?,
            ServerMessage::Answer { from, sdp } => self.on_answer(&from, sdp, lobby).await?,
            ServerMessage::Candidate { from, candidate } => {
                if let Some(link) = self.link_with(&from) {
                    link.on_candidate(candidate);
                }
                self.drive(lobby).await;
            }
            ServerMessage::Error {
                code: ErrorCode::NoSuchPeer,
                ..
            }
            | ServerMessage::Pong => {}
            ServerMessage::Error { message, .. } => {
                self.tell.warn(format_args!("the server: {message}"))
            }
        }
        Ok(())
    }

    /// We are the newcomer: offer, on a connection that may be the one to this very peer.
    async fn offer_to(&mut self, peer: PeerInfo, lobby: &Lobby) -> Result<(), Failure> {
        let now = self.clock.now();
        let name = name_of(&peer).to_owned();
        let id = peer.id.clone();
        match self
            .links
            .iter_mut()
            .find(|link| !link.reachable && link.is_connected())
        {
            Some(kept) => {
                self.tell.say(format_args!("found again: {name}"));
                kept.rebind(peer, now).await;
            }
            None => {
                self.tell.say(format_args!("calling {name}"));
                self.open_link(peer).await?;
                if let Some(link) = self.link_with(&id)
                    && let Err(error) = link.receive_every_kind().await
                {
                    tracing::warn!("{name} is asked for what this side sends only: {error}");
                }
            }
        }
        if let Some(link) = self.link_with(&id) {
            link.want_offer();
        }
        self.drive(lobby).await;
        Ok(())
    }

    async fn on_offer(
        &mut self,
        from: PeerId,
        sdp: String,
        lobby: &mut Lobby,
    ) -> Result<(), Failure> {
        // The same member with another certificate has begun anew.
        if let Some(at) = self
            .links
            .iter()
            .position(|link| link.peer_id() == &from && link.is_strange(&sdp))
        {
            let peer = self.links[at].peer.clone();
            self.close_link(at).await;
            lobby.expect(peer);
        }
        if self.link_with(&from).is_none() {
            let Some(peer) = lobby.take_expected(&from) else {
                return Ok(());
            };
            let now = self.clock.now();
            let kept = self
                .links
                .iter_mut()
                .find(|link| !link.reachable && link.is_with(&sdp));
            match kept {
                Some(kept) => {
                    self.tell
                        .say(format_args!("found again: {}", name_of(&peer)));
                    kept.rebind(peer, now).await;
                }
                None => {
                    self.close_unreachable().await;
                    self.open_link(peer).await?;
                }
            }
        }
        if let Some(link) = self.link_with(&from) {
            // Only an answer can be a stranger's.
            let _ = link.on_description(SdpKind::Offer, sdp);
        }
        self.drive(lobby).await;
        Ok(())
    }

    async fn on_answer(
        &mut self,
        from: &PeerId,
        sdp: String,
        lobby: &Lobby,
    ) -> Result<(), Failure> {
        let Some(at) = self.links.iter().position(|link| link.peer_id() == from) else {
            return Ok(());
        };
        if let Err(Stranger) = self.links[at].on_description(SdpKind::Answer, sdp) {
            let peer = self.links[at].peer.clone();
            self.tell
                .say(format_args!("{} is somebody new; calling", name_of(&peer)));
            self.close_link(at).await;
            self.open_link(peer).await?;
            if let Some(link) = self.link_with(from) {
                link.want_offer();
            }
        }
        self.drive(lobby).await;
        Ok(())
    }

    async fn on_left(&mut self, id: &PeerId, reason: LeaveReason) {
        let now = self.clock.now();
        let Some(at) = self.links.iter().position(|link| link.peer_id() == id) else {
            return;
        };
        let link = &mut self.links[at];
        if reason != LeaveReason::Left && link.is_connected() {
            // It may have lost the server only, and come back for this very connection.
            link.unreachable(now);
            link.put_on_probation(now).await;
            return;
        }
        self.tell.say(match reason {
            LeaveReason::Left => format!("{} left", link.name()),
            LeaveReason::Gone => format!("{} is gone", link.name()),
            LeaveReason::Replaced => format!("{} is coming back", link.name()),
        });
        self.close_link(at).await;
    }

    /// Connections whose peers never came back make room for whoever is there now.
    async fn close_unreachable(&mut self) {
        while let Some(at) = self.links.iter().position(|link| !link.reachable) {
            self.close_link(at).await;
        }
    }

    /// After a rejoin that found others in the room: a connection that none of them took is over.
    async fn drop_unreachable_of_full_room(&mut self) {
        if self.links.iter().any(|link| link.reachable) {
            self.close_unreachable().await;
        }
    }
}

fn name_of(peer: &PeerInfo) -> &str {
    peer.name.as_deref().unwrap_or("somebody")
}

fn ice_server(server: duet_signaling::IceServer) -> RTCIceServer {
    RTCIceServer {
        urls: server.urls,
        username: server.username,
        credential: server.credential,
    }
}
