//! What two descriptions agree on beside directions: parameters, ids of data channels, and who does
//! what in ICE, DTLS and SCTP.

use crate::peer_connection::Shared;
use crate::sdp::{Section, Session};
use crate::transport::{RTCIceRole, RTCSctpTransport};
use crate::{
    RTCRtcpParameters, RTCRtpCodecParameters, RTCRtpReceiveParameters, RTCRtpSendParameters,
    RTCRtpTransceiver, RTCSdpType,
};

impl Shared {
    /// An answer of type `answer` is in effect. `client`: this side begins the DTLS handshake.
    pub(super) fn agree(
        &self,
        answer: RTCSdpType,
        (local, remote): (&Session, &Session),
        we_offered: bool,
        client: bool,
    ) {
        for theirs in &remote.sections {
            let Some(ours) = local.section(&theirs.mid) else {
                continue;
            };
            if let Some(transceiver) = self.find_transceiver(&theirs.mid) {
                self.agree_on(&transceiver, ours, theirs);
                // What is left out is gone for good: not before the last word.
                if answer == RTCSdpType::Answer && theirs.can_be_had() {
                    let sender = &transceiver.0.sender;
                    sender.keep_encodings(&theirs.taken_encodings);
                }
            }
            if theirs.is_data && !theirs.rejected && !ours.rejected {
                self.agree_on_data(theirs, client);
            }
        }
        let role = if we_offered {
            RTCIceRole::Controlling
        } else {
            RTCIceRole::Controlled
        };
        if !remote.sections.is_empty() {
            self.dtls.ice_transport().set_role(role);
        }
    }

    fn agree_on(&self, transceiver: &RTCRtpTransceiver, ours: &Section, theirs: &Section) {
        let common = |of: &Section, with: &Section| -> Vec<RTCRtpCodecParameters> {
            let shared = |one: &&RTCRtpCodecParameters| {
                with.codecs
                    .iter()
                    .any(|other| other.codec.is_same_codec(&one.codec))
            };
            of.codecs.iter().filter(shared).cloned().collect()
        };
        let extensions = theirs.extensions.iter();
        let extensions = extensions.filter(|one| ours.extensions.iter().any(|o| o.uri == one.uri));
        let header_extensions: Vec<_> = extensions.cloned().collect();
        transceiver.0.sender.agree(RTCRtpSendParameters {
            header_extensions: header_extensions.clone(),
            rtcp: RTCRtcpParameters {
                cname: Some(self.cname.clone()),
                reduced_size: theirs.reduced_size,
            },
            codecs: common(theirs, ours),
            ..Default::default()
        });
        transceiver
            .0
            .receiver
            .set_parameters(RTCRtpReceiveParameters {
                header_extensions,
                rtcp: RTCRtcpParameters {
                    cname: None,
                    reduced_size: ours.reduced_size,
                },
                codecs: common(ours, theirs),
            });
    }

    /// A description with data channels is set: there is a transport for them, if only for now.
    pub(super) fn offer_data(&self, session: &Session) {
        let mut sctp = self.sctp.lock();
        if sctp.is_none() && session.has_data() {
            let data = session.sections.iter().find(|section| section.is_data);
            let size = data.and_then(|section| section.max_message_size);
            *sctp = Some(RTCSctpTransport::new(self.dtls.clone(), size));
        }
    }

    /// An offer was taken back, and with it what only it asked for.
    pub(super) fn forget_data(&self) {
        let agreed = self
            .negotiation
            .lock()
            .local
            .as_ref()
            .is_some_and(|d| d.session.has_data());
        if !agreed {
            *self.sctp.lock() = None;
        }
    }

    fn agree_on_data(&self, theirs: &Section, client: bool) {
        let sctp = self.sctp();
        match sctp {
            Some(sctp) => sctp.set_remote_size(theirs.max_message_size),
            None => {
                let made = RTCSctpTransport::new(self.dtls.clone(), theirs.max_message_size);
                *self.sctp.lock() = Some(made);
            }
        }
        self.give_channel_ids(client);
    }
}
