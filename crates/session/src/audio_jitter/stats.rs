//! The counters.

use std::time::Duration;

/// What the buffer has done since it was made, in the terms of
/// [webrtc-stats](https://www.w3.org/TR/webrtc-stats/#inboundrtpstats-dict*). Samples are counted
/// once for all channels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AudioJitterStats {
    /// Samples that were played, of whatever origin, comfort noise included.
    pub total_samples_received: u64,
    /// Samples made up because theirs did not come.
    pub concealed_samples: u64,
    /// Those of them that were silent.
    pub silent_concealed_samples: u64,
    /// How often making up began.
    pub concealment_events: u64,
    /// Samples added to play more slowly.
    pub inserted_samples_for_deceleration: u64,
    /// Samples left out to play faster.
    pub removed_samples_for_acceleration: u64,
    /// Sum over emitted samples of the time from arrival to emission.
    pub jitter_buffer_delay: Duration,
    /// Sum over emitted samples of the target delay.
    pub jitter_buffer_target_delay: Duration,
    /// The same if nobody had asked for more, as lip-sync does.
    pub jitter_buffer_minimum_delay: Duration,
    /// Samples that left the buffer decoded.
    pub jitter_buffer_emitted_count: u64,
    /// Packets that came too late, or that a full or overdue buffer gave up.
    pub packets_discarded: u64,
    /// Packets that came again.
    pub packets_duplicated: u64,
    /// Copies of packets that came within later ones; of Opus's coarse ones, those that were used.
    pub fec_packets_received: u64,
    /// Those of them that were of no use: the packet had come, or its time was over.
    pub fec_packets_discarded: u64,
    /// Packets that the decoder refused.
    pub packets_corrupt: u64,
}
