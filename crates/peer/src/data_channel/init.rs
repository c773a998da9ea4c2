//! How a data channel is to be.

use super::ids::MAX_ID;
use crate::RTCError;

/// [`RTCDataChannelInit`](https://www.w3.org/TR/webrtc/#dom-rtcdatachannelinit).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCDataChannelInit {
    /// Whether messages arrive in the order in which they were sent.
    pub ordered: bool,
    /// Milliseconds after which a message is given up.
    pub max_packet_life_time: Option<u16>,
    /// Retransmissions after which a message is given up.
    pub max_retransmits: Option<u16>,
    /// What is spoken on it.
    pub protocol: String,
    /// Agreed on beforehand under this id, 0 to 65,534: both sides create it.
    pub negotiated_id: Option<u16>,
}

impl Default for RTCDataChannelInit {
    fn default() -> Self {
        RTCDataChannelInit {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated_id: None,
        }
    }
}

impl RTCDataChannelInit {
    pub(crate) fn check(&self, label: &str) -> Result<(), RTCError> {
        let refuse = |why: &str| Err(RTCError::type_error(why));
        if label.len() > 65_535 || self.protocol.len() > 65_535 {
            return refuse("a data channel's label and protocol have at most 65,535 bytes");
        }
        if self.max_packet_life_time.is_some() && self.max_retransmits.is_some() {
            return refuse("maxPacketLifeTime and maxRetransmits exclude one another");
        }
        if self.negotiated_id.is_some_and(|id| id > MAX_ID) {
            return refuse("a data channel's id is at most 65,534");
        }
        Ok(())
    }

    pub(crate) fn to_substrate(&self) -> webrtc::data_channel::RTCDataChannelInit {
        webrtc::data_channel::RTCDataChannelInit {
            ordered: self.ordered,
            max_packet_life_time: self.max_packet_life_time,
            max_retransmits: self.max_retransmits,
            protocol: self.protocol.clone(),
            negotiated: self.negotiated_id,
        }
    }
}
