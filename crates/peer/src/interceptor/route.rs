//! Where the packets of a media section go: to its receiver, whose track is unmuted with the first.
//!
//! Deliberately nothing here looks into packets: whose one is, and whether it is new, was found out before.

use crate::pipeline::{InboundAudio, InboundVideo, RtpPacket};
use crate::sdp::SoundTypes;
use duet_media::MediaTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The receiving end of a stream.
pub(crate) enum Receive {
    Audio(InboundAudio),
    Video(InboundVideo),
}

impl Receive {
    fn push(&self, packet: RtpPacket, sound: Option<SoundTypes>, arrival: MediaTime) {
        match (self, sound) {
            (Receive::Audio(inbound), Some(sound)) if sound.red == Some(packet.payload_type) => {
                inbound.push_red(packet, sound.opus, arrival);
            }
            (Receive::Audio(inbound), _) => inbound.push(packet, arrival),
            (Receive::Video(inbound), _) => inbound.push(packet, arrival),
        }
    }

    /// A packet that repair packets made: it did not come late by itself.
    fn push_made(&self, packet: RtpPacket, arrival: MediaTime) {
        if let Receive::Video(inbound) = self {
            inbound.push_made(packet, arrival);
        }
    }

    pub(super) fn on_sender_report(&self, ntp: u64, rtp: u32) {
        match self {
            Receive::Audio(inbound) => inbound.on_sender_report(ntp, rtp),
            Receive::Video(inbound) => inbound.on_sender_report(ntp, rtp),
        }
    }

    /// Shows nothing until [`go_on`](Self::go_on): the track is about to be unmuted, and a picture that was quicker
    /// would be black. Of sound the first 10 ms at most are silent.
    fn hold(&self) {
        if let Receive::Video(inbound) = self {
            inbound.hold();
        }
    }

    fn go_on(&self) {
        if let Receive::Video(inbound) = self {
            inbound.go_on();
        }
    }

    pub(crate) fn set_muted(&self, muted: bool) {
        match self {
            Receive::Audio(inbound) => inbound.set_muted(muted),
            Receive::Video(inbound) => inbound.set_muted(muted),
        }
    }

    pub(crate) fn end(&self) {
        match self {
            Receive::Audio(inbound) => inbound.end(),
            Receive::Video(inbound) => inbound.end(),
        }
    }
}

/// Where the packets of one media section go.
pub(crate) struct Route {
    pub(crate) mid: String,
    /// From the description; a packet of another SSRC is known by its mid.
    pub(crate) ssrcs: Vec<u32>,
    pub(crate) mid_extension: Option<u8>,
    /// Of a section of sound.
    pub(crate) sound: Option<SoundTypes>,
    pub(crate) receive: Arc<Receive>,
    /// The SSRC that packets came with last; 0 before the first.
    pub(crate) media_ssrc: Arc<AtomicU32>,
    /// Packets have come since the track was last muted.
    pub(crate) flowing: AtomicBool,
    /// The other side sends the track no more.
    pub(crate) over: AtomicBool,
    /// Hears that the first packet came, or that the source said goodbye, and sees to it that
    /// [`follow_flow`](Self::follow_flow) is called, away from the driver.
    pub(crate) on_flow: Box<dyn Fn(Arc<Route>) + Send + Sync>,
}

impl Route {
    /// Hands over a packet. What the first ones make is shown once the track is unmuted, not before.
    pub(super) fn deliver(self: &Arc<Self>, packet: RtpPacket, made: bool, arrival: MediaTime) {
        let begins =
            !self.flowing.load(Ordering::Relaxed) && !self.flowing.swap(true, Ordering::AcqRel);
        if begins {
            self.receive.hold();
        }
        match made {
            true => self.receive.push_made(packet, arrival),
            false => self.receive.push(packet, self.sound, arrival),
        }
        if begins {
            (self.on_flow)(self.clone());
        }
    }

    /// Whether a packet is to be played; `first` is the payload type that the stream began with. Sound
    /// may begin with a telephone key, and goes over from Opus to redundancy and back.
    pub(super) fn plays(&self, payload_type: u8, first: u8) -> bool {
        match self.sound {
            Some(sound) => payload_type == sound.opus || Some(payload_type) == sound.red,
            None => payload_type == first,
        }
    }

    pub(super) fn dry_up(self: &Arc<Self>) {
        if self.flowing.swap(false, Ordering::AcqRel) {
            (self.on_flow)(self.clone());
        }
    }

    fn flows(&self) -> bool {
        self.flowing.load(Ordering::Acquire) && !self.over.load(Ordering::Acquire)
    }

    /// Mutes or unmutes the track as it is now, whatever was so when `on_flow` was called; again if
    /// that changed meanwhile.
    pub(crate) fn follow_flow(&self) {
        loop {
            let flows = self.flows();
            self.receive.set_muted(!flows);
            if self.flows() == flows {
                break;
            }
        }
        self.receive.go_on();
    }
}

#[cfg(test)]
pub(super) mod tests;
