//! What came from the network and was not taken at its word.

use std::ops::AddAssign;

macro_rules! diagnostics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a connection received that could not be so, or was more than it does for anybody, since it
        /// was made. The call goes on whatever these say: they tell a faulty or hostile far end from a bad
        /// network. All are zero in a call between two that keep to the rules, over whatever network, but
        /// for those of which it is said.
        ///
        /// Not part of any standard; what [webrtc-stats](https://www.w3.org/TR/webrtc-stats/) has a member for
        /// is there.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Diagnostics {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Diagnostics {
            /// Names and counts.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl AddAssign for Diagnostics {
            fn add_assign(&mut self, other: Diagnostics) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

diagnostics! {
    /// Datagrams of RTP or RTCP that held no packet: with a wrong tag, replayed, cut short, or with padding
    /// that is longer than the packet. Also those that came before the handshake was over, and those that
    /// a network doubled.
    datagrams_discarded,
    /// Datagrams of more sources than a connection makes room for.
    sources_refused,
    /// Connections over TCP that were shut, because they said nothing that ICE understands or did not show within ten
    /// seconds that they know the password, or because too many others came meanwhile.
    connections_refused,
    /// RTP packets that belong to no media section. Those that overtake the description of their section
    /// are among them.
    packets_of_strangers,
    /// How often a section's packets came from another source (SSRC) than before, which a program may
    /// bring about that renegotiates.
    source_changes,
    /// How often sequence numbers went on somewhere else.
    sequence_restarts,
    /// How often time stamps jumped by more than five seconds against the packets' coming, as they may after
    /// an outage.
    timestamp_jumps,
    /// How often the time stamps of five seconds or more were a quarter faster or slower than the stream's
    /// clock rate.
    clock_misfits,
    /// RTP packets whose transport-wide number was so far from the others that it was not recorded.
    transport_numbers_refused,
    /// Transport-wide reports on packets that were never sent, on more than were sent, or of a kind that was
    /// not agreed on.
    transport_reports_refused,
    /// Blocks of sender and receiver reports that tell of packets or reports that were never sent, or
    /// contradict themselves.
    reports_disbelieved,
    /// Requests (NACK) for packets that were never sent, or left too long ago to be sent again. A long
    /// outage brings about the latter.
    requests_refused,
    /// Requests for packets that had just been sent again: the answer was on its way. Where requests get
    /// lost they are said twice, and this counts.
    requests_repeated,
    /// Requests for packets that would have taken more than retransmissions' share of the path, or are of
    /// pictures before the last key frame. A path that loses much brings about both.
    requests_over_budget,
    /// Requests for a key frame (PLI, FIR) that came within half a second of another and were answered
    /// together. Who gets none asks again sooner than that, so a few are no news.
    key_frame_requests_joined,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_and_named() {
        let mut sum = Diagnostics {
            source_changes: 1,
            ..Default::default()
        };
        sum += Diagnostics {
            source_changes: 2,
            clock_misfits: 3,
            ..Default::default()
        };
        let named: Vec<_> = sum.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(named, [("source_changes", 3), ("clock_misfits", 3)]);
    }
}
