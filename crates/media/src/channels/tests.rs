use super::*;
use crate::{FrameQueue, MediaSource, MediaTime, MediaTrackCapabilities, TrackState};
use std::sync::Arc;

fn microphone(channels: u16) -> (MediaSource, MediaStreamTrack) {
    let settings = MediaTrackSettings {
        sample_rate: Some(1_000),
        channel_count: Some(channels.into()),
        ..Default::default()
    };
    let nothing = MediaTrackCapabilities::default();
    let source = MediaSource::new(MediaKind::Audio, "microphone", settings, nothing, ());
    let track = source.create_track();
    (source, track)
}

/// Ten milliseconds at 1 kHz, all samples of a channel alike.
fn publish(source: &MediaSource, millis: i64, channels: &[f32]) {
    let mut buffer = AudioBuffer::new(1_000, channels.len() as u16, 10);
    let frames = buffer.samples_mut().chunks_exact_mut(channels.len());
    frames.for_each(|frame| frame.copy_from_slice(channels));
    source.publish(&AudioFrame::new(Arc::new(buffer), MediaTime::from_millis(millis)).into());
}

fn listen(track: &MediaStreamTrack) -> (Arc<FrameQueue>, crate::SinkHandle) {
    let queue = Arc::new(FrameQueue::new(100));
    let handle = track.add_sink(queue.clone());
    (queue, handle)
}

fn sounds(queue: &FrameQueue) -> Vec<(i64, Vec<f32>)> {
    let frames = std::iter::from_fn(|| queue.try_pop());
    frames
        .filter_map(|frame| match frame {
            Frame::Audio(sound) => Some((
                sound.capture_time.as_millis(),
                sound.buffer.samples().to_vec(),
            )),
            Frame::Video(_) => None,
        })
        .collect()
}

#[test]
fn a_track_is_split_into_one_for_each_channel() {
    let (source, track) = microphone(2);
    let split = split_channels(&track);
    let ears: Vec<_> = split.iter().map(listen).collect();
    publish(&source, 0, &[0.25, -0.5]);
    assert_eq!(sounds(&ears[0].0), [(0, vec![0.25; 10])]);
    assert_eq!(sounds(&ears[1].0), [(0, vec![-0.5; 10])]);
    assert_eq!(split[1].label(), "microphone, channel 2");
    assert_eq!(split[0].get_settings().channel_count, Some(1));
    // The microphone is another one now.
    publish(&source, 10, &[0.75]);
    assert_eq!(sounds(&ears[0].0), [(10, vec![0.75; 10])]);
    assert_eq!(sounds(&ears[1].0), [(10, vec![0.0; 10])]);
}

#[test]
fn what_is_made_from_a_track_ends_and_is_muted_with_it_and_never_stops_it() {
    let (source, track) = microphone(1);
    let stereo = mix_channels(&track, 2).unwrap();
    let (queue, _ear) = listen(&stereo);
    source.set_muted(true);
    assert!(stereo.muted());
    source.set_muted(false);
    track.set_enabled(false);
    publish(&source, 0, &[0.5]);
    assert_eq!(sounds(&queue), [(0, vec![0.0; 20])]);
    stereo.stop();
    assert_eq!(track.ready_state(), TrackState::Live);
    let other = read_channel(&track, 0).unwrap();
    source.end();
    assert_eq!(other.ready_state(), TrackState::Ended);
    assert_eq!(
        read_channel(&track, 0).unwrap().ready_state(),
        TrackState::Ended
    );
}

#[test]
fn tracks_are_merged_by_their_capture_times() {
    let ((a, left), (b, right)) = (microphone(1), microphone(1));
    let merged = merge_channels(&[left, right]).unwrap();
    let (queue, _ear) = listen(&merged);
    assert_eq!(merged.get_settings().channel_count, Some(2));
    publish(&b, -5, &[0.5]);
    publish(&b, 5, &[0.25]);
    publish(&a, 0, &[1.0]);
    let halves = [[1.0, 0.5].repeat(5), [1.0, 0.25].repeat(5)].concat();
    assert_eq!(sounds(&queue), [(0, halves)]);
    // Late: what is not there is silence, and what comes after all is put where it belongs.
    publish(&a, 10, &[1.0]);
    let heard = [[1.0, 0.25].repeat(5), [1.0, 0.0].repeat(5)].concat();
    assert_eq!(sounds(&queue), [(10, heard)]);
    publish(&b, 15, &[0.75]);
    publish(&a, 20, &[1.0]);
    let heard = [[1.0, 0.75].repeat(5), [1.0, 0.0].repeat(5)].concat();
    assert_eq!(sounds(&queue), [(20, heard)]);
}

#[test]
fn a_merged_track_lives_until_its_last_input_ends() {
    let ((a, left), (b, right)) = (microphone(1), microphone(2));
    let merged = merge_channels(&[left, right]).unwrap();
    let (queue, _ear) = listen(&merged);
    a.end();
    assert_eq!(merged.ready_state(), TrackState::Live);
    publish(&b, 0, &[0.5, 0.25]);
    assert_eq!(sounds(&queue), [(0, [0.0, 0.375].repeat(10))]);
    b.end();
    assert_eq!(merged.ready_state(), TrackState::Ended);
}

#[test]
fn video_has_no_channels() {
    let nothing = MediaTrackCapabilities::default();
    let settings = MediaTrackSettings::default();
    let source = MediaSource::new(MediaKind::Video, "camera", settings, nothing, ());
    let picture = source.create_track();
    assert!(read_channel(&picture, 0).is_none() && split_channels(&picture).is_empty());
    assert!(mix_channels(&picture, 2).is_none());
    assert!(merge_channels(&[picture]).is_none() && merge_channels(&[]).is_none());
}
