//! A selective forwarder as conference servers have: it takes every encoding of one sender, and gives each
//! viewer the best that the viewer's path carries, uncoded.
//!
//! Towards the sender it is a connection of ours whose packets are read before its receivers do, and whose
//! answer asks for the encodings; towards each viewer another one, whose "encoder" hands on what came.
//! Not a server for use: it does not probe, so whoever fell to a small encoding gets a larger one only if
//! the small one shows that there is room.

use bytes::{BufMut, Bytes, BytesMut};
use duet_codec::{CodecError, EncodedVideo, VideoEncoder, VideoEncoderConfig};
use duet_media::{
    Clock, Frame, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTime,
    MediaTrackCapabilities, MediaTrackSettings, SourceControl, VideoFrame,
};
use duet_network::VirtualClock;
use duet_peer::pipeline::RtpPacket;
use duet_peer::{EncoderHub, RTCPeerConnection, Workers};
use duet_session::Vp8Descriptor;
use duet_session::vp8_payload::is_key_frame;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A viewer gets an encoding if so many times its rate is there, and keeps it while its rate is.
const MARGIN: f64 = 1.2;
/// Over which an encoding's rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// One of the sender's encodings, as it comes in.
struct Layer {
    rid: String,
    ssrc: u32,
    /// Of the picture that is coming in.
    parts: BytesMut,
    /// Bytes of the last second, and when they came.
    recent: VecDeque<(MediaTime, usize)>,
    size: (u32, u32),
}

/// What one viewer gets.
struct Branch {
    source: MediaSource,
    /// What its path carries, by its connection.
    target: u32,
    /// The encoding that it gets; none until a key frame comes.
    current: Option<usize>,
    waiting: VecDeque<EncodedVideo>,
}

struct Shared {
    clock: Arc<VirtualClock>,
    from_sender: RTCPeerConnection,
    state: Mutex<State>,
    nothing: Arc<I420Buffer>,
}

struct State {
    /// By how many pixels they have, the smallest first, once that is known.
    layers: Vec<Layer>,
    branches: Vec<Branch>,
    rid_extension: u8,
}

/// Clones are the same one.
#[derive(Clone)]
pub(crate) struct Forwarder(Arc<Shared>);

struct Unattended;

impl SourceControl for Unattended {
    fn stop(&self) {}
}

impl Forwarder {
    /// Takes over what comes in at `from_sender`; `rid_extension` is the id under which packets say
    /// which encoding they are of.
    pub(crate) fn new(
        clock: &Arc<VirtualClock>,
        from_sender: &RTCPeerConnection,
        rid_extension: u8,
    ) -> Self {
        let forwarder = Forwarder(Arc::new(Shared {
            clock: clock.clone(),
            from_sender: from_sender.clone(),
            state: Mutex::new(State {
                layers: Vec::new(),
                branches: Vec::new(),
                rid_extension,
            }),
            nothing: Arc::new(I420Buffer::new(16, 16)),
        }));
        let weak = Arc::downgrade(&forwarder.0);
        let overhear = move |packet: RtpPacket, extensions: &[(u8, Bytes)]| {
            if let Some(shared) = weak.upgrade() {
                shared.take(&packet, extensions);
            }
        };
        from_sender.overhear_rtp(Some(Box::new(overhear)));
        forwarder
    }

    /// What is to be sent to a further viewer, and by which encoders.
    pub(crate) fn branch(&self) -> (MediaStreamTrack, EncoderHub) {
        let settings = MediaTrackSettings {
            width: Some(16),
            height: Some(16),
            frame_rate: Some(30.0),
            ..Default::default()
        };
        let capabilities = MediaTrackCapabilities::default();
        let label = "forwarded".to_owned();
        let source = MediaSource::new(MediaKind::Video, label, settings, capabilities, Unattended);
        let track = source.create_track();
        let number = {
            let mut state = self.0.state.lock();
            state.branches.push(Branch {
                source,
                target: 0,
                current: None,
                waiting: VecDeque::new(),
            });
            state.branches.len() - 1
        };
        let shared = self.0.clone();
        let make = move |config: &VideoEncoderConfig| {
            let mut handing = Handing {
                shared: shared.clone(),
                number,
                config: *config,
            };
            handing.configure(config)?;
            Ok(Box::new(handing) as Box<dyn VideoEncoder>)
        };
        let clock: Arc<dyn Clock> = self.0.clock.clone();
        let hub = EncoderHub::on(Workers::Tasks, clock, Arc::new(make));
        (track, hub)
    }

    /// The encodings that came in, the smallest first: id, size, bits a second.
    pub(crate) fn layers(&self) -> Vec<(String, (u32, u32), f64)> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let layers = state.layers.iter_mut();
        layers
            .map(|layer| (layer.rid.clone(), layer.size, layer.rate(now)))
            .collect()
    }
}

impl Shared {
    fn take(&self, packet: &RtpPacket, extensions: &[(u8, Bytes)]) {
        let now = self.clock.now();
        let mut wanted = Vec::new();
        let mut shown = Vec::new();
        {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(at) = state.layer_of(packet, extensions) else {
                return;
            };
            let Some(picture) = state.layers[at].take(packet, now) else {
                return;
            };
            let rates: Vec<f64> = state.layers.iter_mut().map(|l| l.rate(now)).collect();
            for branch in &mut state.branches {
                let best = branch.best(&rates);
                if branch.current != Some(best) {
                    if at == best && picture.key_frame {
                        branch.current = Some(best);
                        branch.waiting.clear();
                    } else if at == best {
                        wanted.push(state.layers[best].ssrc);
                    }
                }
                if branch.current == Some(at) {
                    branch.waiting.push_back(picture.clone());
                    shown.push(branch.source.clone());
                }
            }
        }
        for ssrc in wanted {
            self.want_key_frame(ssrc);
        }
        for source in shown {
            let frame = VideoFrame::new(self.nothing.clone(), now);
            source.publish(&Frame::Video(frame));
        }
    }

    /// Picture loss indication ([RFC 4585, section 6.3.1](https://www.rfc-editor.org/rfc/rfc4585#section-6.3.1)).
    fn want_key_frame(&self, ssrc: u32) {
        let mut packet = BytesMut::new();
        packet.put_slice(&[0x81, 206, 0, 2]);
        packet.put_u32(1);
        packet.put_u32(ssrc);
        self.from_sender.forge_rtcp(packet.freeze());
    }
}

impl State {
    /// Which encoding a packet is of: its first packets say so.
    fn layer_of(&mut self, packet: &RtpPacket, extensions: &[(u8, Bytes)]) -> Option<usize> {
        let known = self.layers.iter().position(|l| l.ssrc == packet.ssrc);
        known.or_else(|| {
            let rid = extensions.iter().find(|(id, _)| *id == self.rid_extension);
            let rid = String::from_utf8(rid?.1.to_vec()).ok()?;
            self.layers.push(Layer {
                rid,
                ssrc: packet.ssrc,
                parts: BytesMut::new(),
                recent: VecDeque::new(),
                size: (0, 0),
            });
            Some(self.layers.len() - 1)
        })
    }
}

impl Layer {
    /// Bits a second.
    fn rate(&mut self, now: MediaTime) -> f64 {
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| now.saturating_since(*at) > WINDOW)
        {
            self.recent.pop_front();
        }
        let bytes: usize = self.recent.iter().map(|(_, bytes)| bytes).sum();
        bytes as f64 * 8.0 / WINDOW.as_secs_f64()
    }

    /// The picture that a packet completes. The way from the sender loses and reorders nothing.
    fn take(&mut self, packet: &RtpPacket, now: MediaTime) -> Option<EncodedVideo> {
        let (descriptor, part) = Vp8Descriptor::parse(packet.payload.clone()).ok()?;
        if descriptor.is_frame_start() {
            self.parts.clear();
        }
        self.parts.extend_from_slice(&part);
        self.recent.push_back((now, packet.payload.len()));
        if !packet.marker {
            return None;
        }
        let data = self.parts.split().freeze();
        let key_frame = is_key_frame(&data);
        // RFC 6386, section 9.1.
        if let Some([a, b, c, d]) = data.get(6..10).filter(|_| key_frame) {
            let side = |low: &u8, high: &u8| u32::from(u16::from_le_bytes([*low, *high]) & 0x3FFF);
            self.size = (side(a, b), side(c, d));
        }
        Some(EncodedVideo {
            data,
            key_frame,
            capture_time: now,
            width: self.size.0,
            height: self.size.1,
            layer: None,
        })
    }
}

impl Branch {
    /// The best encoding that its path carries. Rates tell sizes apart: larger ones take more.
    fn best(&self, rates: &[f64]) -> usize {
        let mut order: Vec<usize> = (0..rates.len()).filter(|at| rates[*at] > 0.0).collect();
        order.sort_by(|a, b| rates[*a].total_cmp(&rates[*b]));
        let carries = |at: &&usize| {
            let margin = if self.current == Some(**at) {
                1.0
            } else {
                MARGIN
            };
            rates[**at] * margin <= f64::from(self.target)
        };
        let best = order.iter().rev().find(carries).or(order.first());
        best.copied().unwrap_or(0)
    }
}

/// Hands on what came, a picture for each one that it is shown.
struct Handing {
    shared: Arc<Shared>,
    number: usize,
    config: VideoEncoderConfig,
}

impl VideoEncoder for Handing {
    fn encode(
        &mut self,
        _: &VideoFrame,
        key_frame: bool,
    ) -> Result<Option<EncodedVideo>, CodecError> {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let branch = &mut state.branches[self.number];
        let picture = branch.waiting.pop_front();
        let begins = picture.as_ref().is_some_and(|picture| picture.key_frame);
        // One that was shown nowhere is missing in all that follow.
        let torn = !branch.waiting.is_empty();
        if torn || key_frame && !begins {
            branch.waiting.clear();
            branch.current = None;
            return Ok(None);
        }
        Ok(picture)
    }

    fn configure(&mut self, config: &VideoEncoderConfig) -> Result<(), CodecError> {
        self.config = *config;
        self.shared.state.lock().branches[self.number].target = config.bitrate;
        Ok(())
    }

    fn config(&self) -> VideoEncoderConfig {
        self.config
    }
}
