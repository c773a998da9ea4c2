//! This machine's camera and microphone under a URL of the server.

use crate::args::{Live, MediaArgs};
use crate::failure::Failure;
use crate::local::LocalMedia;
use crate::tell::Tell;
use duet_devices::{MediaDevices, SourceSpec};
use duet_media::{MediaStream, MonotonicClock, Subscription, TrackEvent};
use duet_recorder::{MediaRecorderOptions, ObjectUrls};
use std::sync::Arc;

/// A live stream and its URL, which opens until it is closed or the stream's tracks have ended.
pub(super) struct LiveUrl {
    urls: ObjectUrls,
    url: String,
    stream: MediaStream,
    _ended: Vec<Subscription>,
}

impl LiveUrl {
    /// Opens what was asked for, and makes a URL below `base`; none if nothing was asked for.
    pub(super) fn open(options: &Live, base: &str, tell: &Tell) -> Result<Option<Self>, Failure> {
        if options.camera == SourceSpec::None && options.microphone == SourceSpec::None {
            return Ok(None);
        }
        let clock = Arc::new(MonotonicClock::new());
        let devices = MediaDevices::new(clock.clone());
        let media = MediaArgs {
            camera: options.camera.clone(),
            microphone: options.microphone.clone(),
            picture: options.picture.clone(),
        };
        let local = LocalMedia::open(&media, &devices, clock, tell)?;
        let stream = local.stream().clone();
        if stream.get_tracks().is_empty() {
            return Err(Failure::usage(
                "there is neither a camera nor a microphone to show; --camera synthetic is always there",
            ));
        }
        let urls = ObjectUrls::new(base);
        let encoding = MediaRecorderOptions {
            video_bits_per_second: Some(options.picture.video_kbps * 1_000),
            ..MediaRecorderOptions::default()
        };
        let url = urls.create_object_url_with(&stream, &encoding);
        let ended = stream.get_tracks().into_iter().map(|track| {
            let (stream, tell) = (stream.clone(), *tell);
            track.subscribe(move |event| {
                if *event == TrackEvent::Ended && !stream.active() {
                    tell.warn("the live stream has ended; its URL opens no more");
                }
            })
        });
        Ok(Some(LiveUrl {
            _ended: ended.collect(),
            urls,
            url,
            stream,
        }))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Where it is served from.
    pub(super) fn urls(&self) -> &ObjectUrls {
        &self.urls
    }

    /// Whoever watches comes to the end, and the devices are let go.
    pub(super) fn close(&self) {
        self.urls.revoke_object_url(&self.url);
        for track in self.stream.get_tracks() {
            track.stop();
        }
    }
}
