//! Retransmissions and repair packets are packets like others to the path: they are numbered for it, and
//! congestion control knows what became of them.

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::time::Instant;

/// A link of the substrate's chain that learns of a stream's retransmissions and repair packets too. By
/// itself it knows streams that were agreed on, and those, which are streams of their own
/// ([RFC 4588](https://www.rfc-editor.org/rfc/rfc4588#section-4)), pass it unseen.
pub(super) struct WithRepairs<L>(pub(super) L);

/// The streams that make up for what is lost of `info`.
fn of(info: &StreamInfo) -> impl Iterator<Item = StreamInfo> {
    let again = info.ssrc_rtx.zip(info.payload_type_rtx);
    let correction = info.ssrc_fec.zip(info.payload_type_fec);
    let both = again.into_iter().chain(correction);
    both.map(|(ssrc, payload_type)| StreamInfo {
        ssrc,
        payload_type,
        ssrc_rtx: None,
        payload_type_rtx: None,
        ssrc_fec: None,
        payload_type_fec: None,
        ..info.clone()
    })
}

impl<L: Interceptor> Interceptor for WithRepairs<L> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.0.bind_local_stream(info);
        for again in of(info) {
            self.0.bind_local_stream(&again);
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.0.unbind_local_stream(info);
        for again in of(info) {
            self.0.unbind_local_stream(&again);
        }
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.0.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.0.unbind_remote_stream(info);
    }
}

impl<L: Interceptor> Protocol<TaggedPacket, TaggedPacket, ()> for WithRepairs<L> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.0.handle_read(packet)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.0.poll_read()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.0.handle_write(packet)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.0.poll_write()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.0.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::{Packet, RTPHeaderExtension, TwccSenderBuilder};
    use rtc::rtp;

    const TWCC_ID: u8 = 3;

    /// The transport-wide number of a packet of `ssrc`, if it gets one.
    fn numbered(link: &mut impl Interceptor, ssrc: u32) -> Option<u16> {
        let header = rtp::Header {
            version: 2,
            ssrc,
            ..Default::default()
        };
        let packet = rtp::Packet {
            header,
            payload: vec![0; 10].into(),
        };
        let written = link.handle_write(TaggedPacket {
            now: Instant::now(),
            transport: Default::default(),
            message: Packet::Rtp(packet).into(),
        });
        written.expect("it takes what it is given");
        let left = link.poll_write().expect("it lets it pass");
        let Packet::Rtp(packet) = left.message.packet else {
            panic!("it was a packet of media");
        };
        let number = packet.header.get_extension(TWCC_ID)?;
        Some(u16::from_be_bytes([number[0], number[1]]))
    }

    #[test]
    fn what_makes_up_for_losses_is_numbered_like_the_rest() {
        let mut link = WithRepairs(TwccSenderBuilder::new().build());
        let info = StreamInfo {
            ssrc: 1,
            ssrc_rtx: Some(2),
            payload_type_rtx: Some(97),
            ssrc_fec: Some(4),
            payload_type_fec: Some(49),
            rtp_header_extensions: vec![RTPHeaderExtension {
                uri: crate::substrate::TWCC_URI.to_owned(),
                id: TWCC_ID.into(),
            }],
            ..Default::default()
        };
        link.bind_local_stream(&info);
        let mut number = |ssrc| numbered(&mut link, ssrc);
        assert_eq!([1, 2, 4, 1, 2].map(&mut number), [0, 1, 2, 3, 4].map(Some));
        assert_eq!(number(3), None, "nobody agreed on it");
        link.unbind_local_stream(&info);
        assert_eq!([1, 2, 4].map(|ssrc| numbered(&mut link, ssrc)), [None; 3]);
    }
}
