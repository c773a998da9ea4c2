//! Sound that is sent: each packet plain, or with those before it beside it.

use super::{MAX_PAYLOAD, Outgoing, Stream};
use bytes::Bytes;
use duet_media::MediaTime;
use duet_session::RedHistory;
use rtc::rtp;

/// How much of sound is sent again beside what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redundancy {
    /// Of packets with others beside them.
    pub(crate) payload_type: u8,
    /// How many: 1 or 2.
    pub(crate) copies: u8,
}

/// What a stream of sound remembers.
#[derive(Debug, Default)]
pub(super) struct Sound {
    sent: RedHistory,
    redundancy: Option<Redundancy>,
}

impl Outgoing {
    /// Queues a packet of Opus that lasts `samples` ticks.
    pub(crate) fn send_sound(
        &mut self,
        ssrc: u32,
        time: MediaTime,
        samples: u32,
        marker: bool,
        data: Bytes,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return false;
        };
        let timestamp = stream.clock.stamp_samples(time, samples);
        match stream.sound_packet(ssrc, timestamp, marker, data) {
            Some(packet) => {
                self.pacer.push_audio(packet);
                true
            }
            None => false,
        }
    }

    /// From the next packet of sound on; none for plain packets.
    pub(crate) fn set_redundancy(&mut self, ssrc: u32, redundancy: Option<Redundancy>) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.sound.redundancy = redundancy;
        }
    }

    /// Queues a packet of a telephone key among a stream's sound.
    pub(crate) fn send_event(
        &mut self,
        ssrc: u32,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        data: Bytes,
    ) {
        let stream = self.streams.get_mut(&ssrc);
        if let Some(mut packet) = stream.and_then(|s| s.packet(ssrc, timestamp, marker, data)) {
            packet.header.payload_type = payload_type;
            self.pacer.push_audio(packet);
        }
    }
}

impl Stream {
    /// A packet of Opus, with the ones before it if that is wanted.
    fn sound_packet(
        &mut self,
        ssrc: u32,
        timestamp: u32,
        marker: bool,
        opus: Bytes,
    ) -> Option<rtp::Packet> {
        let own = self.binding.as_ref()?.payload_type;
        let Sound { sent, redundancy } = &mut self.sound;
        let (payload_type, payload) = match redundancy {
            Some(Redundancy {
                payload_type,
                copies,
            }) => {
                let copies = usize::from(*copies);
                let wrapped = sent.wrap(own, timestamp, opus, copies, MAX_PAYLOAD);
                (*payload_type, wrapped)
            }
            None => {
                sent.note(timestamp, opus.clone());
                (own, opus)
            }
        };
        let mut packet = self.packet(ssrc, timestamp, marker, payload)?;
        packet.header.payload_type = payload_type;
        self.counters.payload_type = payload_type;
        Some(packet)
    }
}
