//! A far end that keeps to no rules, for tests: what it says is well encrypted, and false.
//!
//! Only there with the feature `adversary`, which no program wants.

use crate::RTCPeerConnection;
use bytes::Bytes;
use duet_session::RtpPacket;
use parking_lot::Mutex;
use rtc::rtcp::raw_packet::RawPacket;
use rtc::rtp;
use std::collections::VecDeque;

/// Changes packets of RTP as they leave.
pub type Tamper = Box<dyn FnMut(&mut RtpPacket) + Send>;

/// Takes packets of RTP as they come in, with their header extensions by their ids.
pub type Overhear = Box<dyn FnMut(RtpPacket, &[(u8, Bytes)]) + Send>;

/// More waits for no driver.
const CAPACITY: usize = 4_096;

/// What one connection's media path is made to do.
#[derive(Default)]
pub(crate) struct Adversary {
    tamper: Mutex<Option<Tamper>>,
    overhear: Mutex<Option<Overhear>>,
    forged: Mutex<VecDeque<rtp::Packet>>,
}

impl Adversary {
    pub(crate) fn forged(&self) -> Option<rtp::Packet> {
        self.forged.lock().pop_front()
    }

    /// The packet again, if nobody takes it.
    pub(crate) fn overhear(&self, packet: rtp::Packet) -> Option<rtp::Packet> {
        let mut overhear = self.overhear.lock();
        let Some(overhear) = &mut *overhear else {
            return Some(packet);
        };
        let header = packet.header;
        let extensions = header.extensions.iter();
        let extensions: Vec<(u8, Bytes)> = extensions
            .map(|extension| (extension.id, extension.payload.clone()))
            .collect();
        let packet = RtpPacket {
            payload_type: header.payload_type,
            sequence_number: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            ssrc: header.ssrc,
            payload: packet.payload,
        };
        overhear(packet, &extensions);
        None
    }

    pub(crate) fn tamper(&self, packet: &mut rtp::Packet) {
        if let Some(tamper) = &mut *self.tamper.lock() {
            let header = &mut packet.header;
            let mut shown = RtpPacket {
                payload_type: header.payload_type,
                sequence_number: header.sequence_number,
                timestamp: header.timestamp,
                marker: header.marker,
                ssrc: header.ssrc,
                payload: packet.payload.clone(),
            };
            tamper(&mut shown);
            header.payload_type = shown.payload_type;
            header.sequence_number = shown.sequence_number;
            header.timestamp = shown.timestamp;
            header.marker = shown.marker;
            header.ssrc = shown.ssrc;
            packet.payload = shown.payload;
        }
    }
}

impl RTCPeerConnection {
    /// Sends a packet of RTCP, whatever is in it. Its header's length is to be that of the whole.
    pub fn forge_rtcp(&self, packet: Bytes) {
        self.0.path.send_rtcp(Box::new(RawPacket(packet)));
    }

    /// Sends a packet of RTP, with header extensions by their ids.
    pub fn forge_rtp(&self, packet: RtpPacket, extensions: &[(u8, Bytes)]) {
        let mut header = rtp::Header {
            version: 2,
            marker: packet.marker,
            payload_type: packet.payload_type,
            sequence_number: packet.sequence_number,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            ..Default::default()
        };
        for (id, payload) in extensions {
            // Fails only for an id that no extension can have.
            let _ = header.set_extension(*id, payload.clone());
        }
        let path = &self.0.path;
        let mut forged = path.adversary.forged.lock();
        if forged.len() < CAPACITY {
            forged.push_back(rtp::Packet {
                header,
                payload: packet.payload,
            });
        }
        drop(forged);
        path.wake();
    }

    /// From now on packets of RTP go here and not to the receivers, as in a server that forwards them; or
    /// to the receivers again. It may forge packets, and must not call this again.
    pub fn overhear_rtp(&self, overhear: Option<Overhear>) {
        *self.0.path.adversary.overhear.lock() = overhear;
    }

    /// From now on every packet of RTP is changed so as it leaves, or none.
    pub fn tamper_with_rtp(&self, tamper: Option<Tamper>) {
        *self.0.path.adversary.tamper.lock() = tamper;
    }
}
