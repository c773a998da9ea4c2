//! What a remote description adds and takes away: tracks, their streams, and the ways that their
//! packets go.

use crate::peer_connection::Shared;
use crate::sdp::{Section, Session};
use crate::{
    PeerConnectionEvent, RTCRtpTransceiver, RTCRtpTransceiverDirection as Direction, RTCTrackEvent,
};
use duet_media::MediaStream;

impl Shared {
    /// Makes tracks and streams what the other side says that they are.
    pub(super) fn follow_remote(&self, session: &Session) {
        let mut routes = Vec::new();
        for section in &session.sections {
            let Some(transceiver) = self.find_transceiver(&section.mid) else {
                continue;
            };
            if section.rejected {
                self.take_away(&transceiver);
                transceiver.halt();
                continue;
            }
            let (direction, fired) = {
                let mut state = transceiver.0.state.lock();
                let offered = section.direction.reversed();
                state.offered = Some(offered);
                // What was stopped here is not there for the program.
                let direction = match state.direction {
                    Direction::Stopped => Direction::Inactive,
                    _ => offered,
                };
                let before = state.fired_direction.replace(direction);
                (direction, before.is_some_and(Direction::receives))
            };
            if let Some(opus) = section.opus {
                transceiver.0.sender.set_opus(opus);
            }
            if direction.receives() {
                let before = transceiver.0.receiver.streams();
                let streams = self.associate(&transceiver, section);
                routes.push(transceiver.0.receiver.route(section, self.on_flow()));
                if !fired || before != streams {
                    self.post(PeerConnectionEvent::Track(RTCTrackEvent {
                        track: transceiver.0.receiver.track(),
                        streams,
                        receiver: transceiver.receiver(),
                        transceiver,
                    }));
                }
            } else if fired {
                self.take_away(&transceiver);
            }
        }
        self.path.set_routes(routes);
    }

    /// Puts a remote track into the streams that its section names, and out of all others.
    fn associate(&self, transceiver: &RTCRtpTransceiver, section: &Section) -> Vec<MediaStream> {
        let receiver = &transceiver.0.receiver;
        let track = receiver.track();
        let mut known = self.remote_streams.lock();
        // Who does not say of which streams it is means one that has no name.
        let nameless = std::slice::from_ref(&self.nameless_stream);
        let wanted: Vec<_> = section
            .streams
            .as_deref()
            .unwrap_or(nameless)
            .iter()
            .map(|id| {
                let entry = known.entry(id.clone()).or_insert_with(|| {
                    (
                        MediaStream::with_id(id.clone(), []),
                        crate::pipeline::SyncGroup::new(),
                    )
                });
                entry.clone()
            })
            .collect();
        drop(known);
        let streams: Vec<MediaStream> = wanted.iter().map(|(stream, _)| stream.clone()).collect();
        for stream in receiver
            .streams()
            .iter()
            .filter(|stream| !streams.contains(stream))
        {
            stream.remove_track_from_elsewhere(&track);
        }
        for stream in &streams {
            stream.add_track_from_elsewhere(track.clone());
        }
        receiver.set_streams(streams.clone(), wanted.first().map(|(_, group)| group));
        self.forget_empty_streams();
        streams
    }

    /// The other side will send a track no more: it is muted and leaves its streams.
    pub(super) fn take_away(&self, transceiver: &RTCRtpTransceiver) {
        let receiver = &transceiver.0.receiver;
        let track = receiver.track();
        for stream in receiver.streams() {
            stream.remove_track_from_elsewhere(&track);
        }
        receiver.set_streams(Vec::new(), None);
        receiver.mute();
        self.forget_empty_streams();
    }

    /// The offer that brought its section was taken back.
    pub(super) fn unfollow(&self, transceiver: &RTCRtpTransceiver) {
        let fired = {
            let mut state = transceiver.0.state.lock();
            state.offered = None;
            state.fired_direction.take()
        };
        if fired.is_some_and(Direction::receives) {
            self.take_away(transceiver);
        }
    }

    fn forget_empty_streams(&self) {
        let mut known = self.remote_streams.lock();
        known.retain(|_, (stream, _)| !stream.get_tracks().is_empty());
    }
}
