//! The states of a connection, as the program sees them.
//!
//! The substrate begins every restart of ICE with `checking`. For the program a restart over a way that
//! works changes nothing, until that way falls silent
//! ([RTCIceTransportState](https://w3c.github.io/webrtc-pc/#rtcicetransportstate)). And the substrate
//! goes by what it hears, while a way on which nobody answers is lost too.

use crate::{
    PeerConnectionEvent, RTCIceConnectionState as Ice, RTCIceGatheringState,
    RTCPeerConnectionState as Connection,
};
use tokio::time::Instant;

pub(crate) struct States {
    pub(crate) connection: Connection,
    pub(crate) ice_connection: Ice,
    pub(crate) ice_gathering: RTCIceGatheringState,
    /// When ICE had found a way for the first time, and the DTLS handshake could begin.
    pub(crate) ice_connected_at: Option<Instant>,
    /// As the substrate told them last.
    known_connection: Connection,
    known_ice: Ice,
    /// ICE was restarted while all was well.
    over_a_way: bool,
    /// Checks are not answered.
    unanswered: bool,
    /// No keys were agreed on in time.
    without_keys: bool,
}

impl Default for States {
    fn default() -> Self {
        States {
            connection: Connection::New,
            ice_connection: Ice::New,
            ice_gathering: RTCIceGatheringState::New,
            ice_connected_at: None,
            known_connection: Connection::New,
            known_ice: Ice::New,
            over_a_way: false,
            unanswered: false,
            without_keys: false,
        }
    }
}

/// What the program is to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    ice: Option<Ice>,
    connection: Option<Connection>,
}

impl Changes {
    pub(crate) fn events(self) -> impl Iterator<Item = PeerConnectionEvent> {
        let ice = self.ice.map(PeerConnectionEvent::IceConnectionStateChange);
        let connection = self.connection;
        let connection = connection.map(PeerConnectionEvent::ConnectionStateChange);
        ice.into_iter().chain(connection)
    }
}

impl States {
    pub(crate) fn set_ice(&mut self, known: Ice) -> Changes {
        let before = std::mem::replace(&mut self.known_ice, known);
        if before == known {
            return Changes::default();
        }
        let well = self.connection == Connection::Connected && self.ice_connection != Ice::Checking;
        // Until the connection's own state follows.
        let arrived = self.over_a_way && matches!(known, Ice::Connected | Ice::Completed);
        self.over_a_way = known == Ice::Checking && well || arrived;
        if matches!(known, Ice::Connected | Ice::Completed) {
            self.ice_connected_at.get_or_insert_with(Instant::now);
            // A pair is chosen by a check that was answered.
            self.unanswered &= before == Ice::Disconnected;
        }
        self.show()
    }

    /// The agent's own state.
    pub(crate) fn known_ice(&self) -> Ice {
        self.known_ice
    }

    pub(crate) fn set_connection(&mut self, known: Connection) -> Changes {
        self.known_connection = known;
        if known != Connection::Connecting && self.known_ice != Ice::Checking {
            self.over_a_way = false;
        }
        self.show()
    }

    /// Whether checks are not answered, though the other side may be heard.
    pub(crate) fn set_unanswered(&mut self, unanswered: bool) -> Changes {
        self.unanswered = unanswered;
        self.show()
    }

    /// No keys were agreed on in time.
    pub(crate) fn set_without_keys(&mut self) -> Changes {
        self.without_keys = true;
        self.show()
    }

    fn show(&mut self) -> Changes {
        let ice = match self.known_ice {
            Ice::Checking if self.over_a_way && self.unanswered => Ice::Disconnected,
            Ice::Checking if self.over_a_way => Ice::Connected,
            Ice::Connected | Ice::Completed if self.unanswered => Ice::Disconnected,
            known => known,
        };
        let connection = match self.known_connection {
            _ if self.without_keys => Connection::Failed,
            Connection::Connecting if self.over_a_way && self.unanswered => {
                Connection::Disconnected
            }
            Connection::Connecting if self.over_a_way => Connection::Connected,
            Connection::Connected if self.unanswered => Connection::Disconnected,
            known => known,
        };
        let ice_before = std::mem::replace(&mut self.ice_connection, ice);
        let before = std::mem::replace(&mut self.connection, connection);
        Changes {
            ice: (ice != ice_before).then_some(ice),
            connection: (connection != before).then_some(connection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> States {
        let mut states = States::default();
        states.set_ice(Ice::Checking);
        states.set_connection(Connection::Connecting);
        states.set_ice(Ice::Connected);
        states.set_connection(Connection::Connected);
        states
    }

    fn shown(states: &States) -> (Ice, Connection) {
        (states.ice_connection, states.connection)
    }

    #[test]
    fn a_restart_over_a_way_that_works_is_not_seen() {
        let mut states = connected();
        let told = [
            states.set_ice(Ice::Checking),
            states.set_connection(Connection::Connecting),
            states.set_ice(Ice::Connected),
            states.set_connection(Connection::Connected),
        ];
        assert_eq!(told, [Changes::default(); 4]);
        // Unless no other way is found.
        states.set_ice(Ice::Checking);
        states.set_connection(Connection::Connecting);
        states.set_unanswered(true);
        assert_eq!(
            shown(&states),
            (Ice::Disconnected, Connection::Disconnected)
        );
        states.set_ice(Ice::Failed);
        states.set_connection(Connection::Failed);
        assert_eq!(shown(&states), (Ice::Failed, Connection::Failed));
    }

    #[test]
    fn a_restart_after_a_loss_is_seen() {
        for lost in [
            (Ice::Disconnected, Connection::Disconnected),
            (Ice::Failed, Connection::Failed),
        ] {
            let mut states = connected();
            states.set_ice(lost.0);
            states.set_connection(lost.1);
            assert_eq!(shown(&states), lost);
            states.set_ice(Ice::Checking);
            states.set_connection(Connection::Connecting);
            assert_eq!(shown(&states), (Ice::Checking, Connection::Connecting));
        }
    }

    #[test]
    fn a_way_on_which_nobody_answers_is_disconnected() {
        let mut states = connected();
        let lost = Changes {
            ice: Some(Ice::Disconnected),
            connection: Some(Connection::Disconnected),
        };
        assert_eq!(states.set_unanswered(true), lost);
        assert_eq!(states.set_unanswered(true), Changes::default());
        states.set_unanswered(false);
        assert_eq!(shown(&states), (Ice::Connected, Connection::Connected));
    }

    #[test]
    fn a_first_connection_is_shown_as_it_comes() {
        let mut states = States::default();
        states.set_ice(Ice::Checking);
        states.set_connection(Connection::Connecting);
        states.set_ice(Ice::Connected);
        assert_eq!(shown(&states), (Ice::Connected, Connection::Connecting));
        // Restarted before there are keys: nothing works yet.
        states.set_ice(Ice::Checking);
        assert_eq!(shown(&states), (Ice::Checking, Connection::Connecting));
        states.set_without_keys();
        assert_eq!(states.connection, Connection::Failed);
    }
}
