//! Counters, named after [webrtc-stats](https://www.w3.org/TR/webrtc-stats/) where it has a name.

use duet_media::MediaTime;
use std::time::Duration;

/// Of one [`OutboundVideo`](super::OutboundVideo). The encoder's own figures are those of the encoder
/// that serves it, which others may share.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OutboundVideoStats {
    /// `framesEncoded`: by the encoder, since this subscription began.
    pub frames_encoded: u64,
    /// `keyFramesEncoded`.
    pub key_frames_encoded: u64,
    /// `totalEncodeTime`.
    pub total_encode_time: Duration,
    /// Pictures that the encoder left out to keep to its bitrate, or could not encode.
    pub frames_skipped: u64,
    /// Pictures of the source that were overwritten before the encoder came to them.
    pub frames_overwritten: u64,
    /// Frames that [`next`](super::OutboundVideo::next) handed out: `framesSent`.
    pub frames_sent: u64,
    /// Encoded frames that were thrown away because this viewer did not take them in time, or that
    /// came before the key frame it waited for.
    pub frames_dropped: u64,
    /// Encoded frames of temporal layers that this viewer did not get for its path's sake.
    pub frames_left_out: u64,
    /// How many of the encoder's temporal layers it does not get now.
    pub layers_left_out: u8,
    /// `frameWidth` of the last encoded frame, in pixels; 0 before the first.
    pub frame_width: u32,
    /// `frameHeight`.
    pub frame_height: u32,
    /// `framesPerSecond`: encoded in the last second.
    pub frames_per_second: f64,
    /// Width of the picture that it was made from, in pixels; 0 before the first.
    pub source_width: u32,
    /// Height of that picture.
    pub source_height: u32,
    /// `targetBitrate` of the encoder, in bits a second.
    pub target_bitrate: u32,
    /// `qpSum`: of what was encoded, each 0 to 127.
    pub qp_sum: u64,
    /// `totalEncodedBytesTarget`: bytes that the target rate allowed each picture, summed.
    pub encoded_bytes_target: u64,
    /// `frames` of the source since its encoder was made.
    pub source_frames: u64,
    /// `framesPerSecond` of the source: came in the last second.
    pub source_frames_per_second: f64,
}

/// Of one [`OutboundAudio`](super::OutboundAudio).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OutboundAudioStats {
    /// Packets that the encoder made since this subscription began.
    pub packets_encoded: u64,
    /// Packets that [`next`](super::OutboundAudio::next) handed out.
    pub packets_sent: u64,
    /// Packets that were thrown away because nobody took them in time.
    pub packets_dropped: u64,
    /// 10 ms stretches of the source that were lost before the encoder came to them.
    pub frames_overwritten: u64,
    /// `totalEncodeTime`.
    pub total_encode_time: Duration,
    /// `targetBitrate`, in bits a second.
    pub target_bitrate: u32,
    /// `audioLevel` of the last packet: its root mean square, 0 to 1.
    pub audio_level: f32,
    /// `totalAudioEnergy`.
    pub total_audio_energy: f64,
    /// `totalSamplesDuration`.
    pub total_samples_duration: Duration,
}

/// Of one [`InboundVideo`](super::InboundVideo).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct InboundVideoStats {
    /// Packets taken in by [`push`](super::InboundVideo::push).
    pub packets_received: u64,
    /// Packets of no use: garbage, duplicates, too late, or more than there was room for.
    pub packets_discarded: u64,
    /// `framesReceived`: whole frames.
    pub frames_received: u64,
    /// `framesDecoded`.
    pub frames_decoded: u64,
    /// `framesDropped`: received whole, and never shown.
    pub frames_dropped: u64,
    /// `keyFramesDecoded`.
    pub key_frames_decoded: u64,
    /// Frames that the decoder refused.
    pub decode_errors: u64,
    /// How often a key frame was asked for: `pliCount`.
    pub key_frame_requests: u64,
    /// `freezeCount`: gaps between shown pictures longer than
    /// [max(3 × the average, the average + 150 ms)](https://www.w3.org/TR/webrtc-stats/#dom-rtcinboundrtpstreamstats-freezecount).
    pub freeze_count: u64,
    /// `totalFreezesDuration`.
    pub total_freezes_duration: Duration,
    /// `pauseCount`: gaps of over five seconds.
    pub pause_count: u64,
    /// `totalPausesDuration`.
    pub total_pauses_duration: Duration,
    /// `framesRendered`: shown.
    pub frames_rendered: u64,
    /// `qpSum`: of what was decoded, each 0 to 127.
    pub qp_sum: u64,
    /// `framesAssembledFromMultiplePackets`.
    pub frames_assembled_from_multiple_packets: u64,
    /// `totalAssemblyTime`: of those, from the first packet to the last.
    pub total_assembly_time: Duration,
    /// `jitterBufferTargetDelay`: what the buffer aimed at, summed over the frames that left it.
    pub jitter_buffer_target_delay: Duration,
    /// `jitterBufferMinimumDelay`: the same without what lip-sync asks for.
    pub jitter_buffer_minimum_delay: Duration,
    /// What was shown last, by the sender's wall clock (since the Unix epoch), and when.
    pub shown: Option<(Duration, MediaTime)>,
    /// `totalDecodeTime`.
    pub total_decode_time: Duration,
    /// `jitterBufferDelay`: summed over the frames that left it, from first packet to decoder.
    pub jitter_buffer_delay: Duration,
    /// `jitterBufferEmittedCount`.
    pub jitter_buffer_emitted_count: u64,
    /// `totalProcessingDelay`: summed over the shown frames, from first packet to shown.
    pub total_processing_delay: Duration,
    /// `totalInterFrameDelay` between shown frames.
    pub total_inter_frame_delay: Duration,
    /// `totalSquaredInterFrameDelay`, in seconds squared.
    pub total_squared_inter_frame_delay: f64,
    /// When the first frame was shown, by the receiver's clock.
    pub first_frame_time: Option<MediaTime>,
    /// `frameWidth` of the last frame, in pixels; 0 before the first.
    pub frame_width: u32,
    /// `frameHeight`.
    pub frame_height: u32,
    /// `framesPerSecond`: shown over the last second or so.
    pub frames_per_second: f64,
    /// What is added now between decoding and showing, for evenness and lip-sync.
    pub playout_delay: Duration,
}

/// Of one [`InboundAudio`](super::InboundAudio).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct InboundAudioStats {
    /// Packets taken in by [`push`](super::InboundAudio::push).
    pub packets_received: u64,
    /// `packetsDiscarded`: garbage, duplicates, too late or too early, or more than there was room for.
    pub packets_discarded: u64,
    /// `totalSamplesReceived`: played, concealed ones included, per channel.
    pub total_samples_received: u64,
    /// `concealedSamples`.
    pub concealed_samples: u64,
    /// `silentConcealedSamples`.
    pub silent_concealed_samples: u64,
    /// `concealmentEvents`.
    pub concealment_events: u64,
    /// `insertedSamplesForDeceleration`.
    pub inserted_samples_for_deceleration: u64,
    /// `removedSamplesForAcceleration`.
    pub removed_samples_for_acceleration: u64,
    /// `fecPacketsReceived`: packets recovered from the copy in their successor.
    pub fec_packets_received: u64,
    /// `jitterBufferDelay`, summed over the samples that left it.
    pub jitter_buffer_delay: Duration,
    /// `jitterBufferEmittedCount`, in samples.
    pub jitter_buffer_emitted_count: u64,
    /// `jitterBufferTargetDelay`: what the buffer aimed at, summed over the samples that left it.
    pub jitter_buffer_target_delay: Duration,
    /// `jitterBufferMinimumDelay`: the same without what lip-sync asks for.
    pub jitter_buffer_minimum_delay: Duration,
    /// What was played last, by the sender's wall clock (since the Unix epoch), and when.
    pub shown: Option<(Duration, MediaTime)>,
    /// What the jitter buffer aims at now.
    pub target_delay: Duration,
    /// `audioLevel` of the last stretch: its root mean square, 0 to 1.
    pub audio_level: f32,
    /// `totalAudioEnergy`.
    pub total_audio_energy: f64,
    /// `totalSamplesDuration`.
    pub total_samples_duration: Duration,
    /// When the first received sound was played, by the receiver's clock.
    pub first_sound_time: Option<MediaTime>,
}
