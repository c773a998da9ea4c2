//! The encoder: one pass, constant bitrate, no look-ahead, key frames when asked and otherwise none.

use super::layers::Layers;
use super::{Context, MAX_SIDE};
use crate::{CodecError, EncodedVideo, VideoEncoder, VideoEncoderConfig};
use bytes::Bytes;
use duet_media::{I420Buffer, MediaTime, VideoFrame};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;
use vpx_sys as vpx;

/// What is chosen once, when the encoder is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8EncoderOptions {
    /// How many threads encode one picture, 1 to 64. More than one spin while they wait for each
    /// other: they gain little on an idle machine and lose much on a busy one.
    pub threads: u32,
    /// Speed for quality, 0 (slow) to 16 (fast). Handed to libvpx as its negative `cpu-used`, which
    /// keeps the speed where it is instead of letting the library adapt it to the clock.
    pub speed: u8,
    /// After how many frames without a key frame one is made unasked. `None`: never.
    pub max_key_interval: Option<u32>,
    /// How long a key frame should at most take to send at the target bitrate, up to 10 s; but it may
    /// always have three pictures' share of the bits. Less is a smaller burst and a blurrier start.
    /// libvpx aims at it: the first may be nearly twice as large, later ones come close.
    pub max_key_frame: Duration,
    /// From how empty a rate buffer on pictures are dropped, in percent of what it should hold, 0 to
    /// 100; 0 drops none and overshoots instead.
    pub drop_threshold: u8,
    /// How much a 16x16 block may differ from its prediction and still be left as it is: 0 encodes
    /// every difference; libwebrtc uses 1 for cameras and 100 for screens.
    pub static_threshold: u32,
    /// The bitstream's profile, 0 to 3: the higher, the cheaper to decode and the less sharp
    /// ([RFC 6386, section 9.1](https://www.rfc-editor.org/rfc/rfc6386#section-9.1)). Every decoder
    /// must take all of them; hardware is best tested with 0.
    pub profile: u8,
}

impl Default for Vp8EncoderOptions {
    fn default() -> Self {
        Vp8EncoderOptions {
            threads: 1,
            speed: 8,
            max_key_interval: None,
            max_key_frame: Duration::from_millis(120),
            drop_threshold: 30,
            static_threshold: 1,
            profile: 0,
        }
    }
}

/// A VP8 encoder. See [`VideoEncoder`] for its use.
pub struct Vp8Encoder {
    context: Context,
    options: Vp8EncoderOptions,
    config: VideoEncoderConfig,
    timeline: Timeline,
    layers: Layers,
    /// A key frame was asked for and has not been made yet.
    key_due: bool,
    frames_since_key: u32,
}

impl Vp8Encoder {
    /// An encoder that aims at `config`.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if `config` or `options` are out of range.
    pub fn new(
        config: &VideoEncoderConfig,
        options: Vp8EncoderOptions,
    ) -> Result<Self, CodecError> {
        check(config)?;
        check_options(&options)?;
        Ok(Vp8Encoder {
            context: open(&settings(config, &options)?, config, &options)?,
            options,
            config: *config,
            timeline: Timeline::new(config.frame_rate),
            layers: Layers::new(config.temporal_layers),
            key_due: true,
            frames_since_key: 0,
        })
    }

    /// Takes the one packet that a call to encode leaves behind, if it leaves one.
    fn packet(&mut self) -> Option<(Bytes, bool)> {
        let mut iter: vpx::vpx_codec_iter_t = ptr::null();
        loop {
            // SAFETY: the context is live, and `iter` began as null.
            let packet = unsafe { vpx::vpx_codec_get_cx_data(self.context.raw, &mut iter) };
            // SAFETY: null or a packet that lives until the next call to encode; `&mut self` keeps
            // that call away.
            let packet = unsafe { packet.as_ref() }?;
            if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: `kind` says which member of the union was written.
            let frame = unsafe { &packet.data.frame };
            if frame.buf.is_null() || frame.sz == 0 {
                continue;
            }
            // SAFETY: libvpx wrote `sz` bytes at `buf`, which live as long as the packet.
            let data =
                unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize) };
            return Some((
                Bytes::copy_from_slice(data),
                frame.flags & vpx::VPX_FRAME_IS_KEY != 0,
            ));
        }
    }
}

impl VideoEncoder for Vp8Encoder {
    fn encode(
        &mut self,
        frame: &VideoFrame,
        key_frame: bool,
    ) -> Result<Option<EncodedVideo>, CodecError> {
        let (width, height) = (self.config.width, self.config.height);
        if (frame.width(), frame.height()) != (width, height) {
            return Err(CodecError::Unsupported(format!(
                "a picture of {}x{} for an encoder of {width}x{height}",
                frame.width(),
                frame.height()
            )));
        }
        let overdue = self
            .options
            .max_key_interval
            .is_some_and(|most| self.frames_since_key >= most);
        // Stays due until a key frame comes out: the encoder may drop this picture.
        self.key_due |= key_frame || overdue;
        let place = self.layers.next(self.key_due);
        let flags = match (self.key_due, &place) {
            // It renews all that anything can lean on.
            (true, _) => vpx::VPX_EFLAG_FORCE_KF,
            (false, Some(place)) => place.flags,
            (false, None) => 0,
        };
        if let Some(place) = &place {
            self.context.control(
                vpx::vp8e_enc_control_id::VP8E_SET_TEMPORAL_LAYER_ID,
                Layers::id(place),
            )?;
        }
        let image = wrap(&frame.buffer);
        let span = self.timeline.advance(frame.capture_time);
        // SAFETY: the context is live. `image` points into `frame.buffer`, which outlives the call;
        // libvpx copies the picture and does not write to it. Size and format are those that the
        // context was set up with.
        let result = unsafe {
            vpx::vpx_codec_encode(
                self.context.raw,
                &image,
                span.start,
                span.ticks.unsigned_abs(),
                flags.into(),
                vpx::VPX_DL_REALTIME.into(),
            )
        };
        if result != vpx::VPX_CODEC_OK {
            return Err(CodecError::Failed(self.context.error(result)));
        }
        let packet = self.packet();
        let key_frame = packet.as_ref().map(|(_, key_frame)| *key_frame);
        self.layers.made(key_frame);
        let Some((data, key_frame)) = packet else {
            return Ok(None);
        };
        if key_frame {
            self.key_due = false;
            self.frames_since_key = 0;
        }
        self.frames_since_key = self.frames_since_key.saturating_add(1);
        Ok(Some(EncodedVideo {
            data,
            key_frame,
            capture_time: frame.capture_time,
            width,
            height,
            layer: place.map(|place| place.layer),
        }))
    }

    fn configure(&mut self, config: &VideoEncoderConfig) -> Result<(), CodecError> {
        if *config == self.config {
            return Ok(());
        }
        check(config)?;
        let settings = settings(config, &self.options)?;
        let shape = |of: &VideoEncoderConfig| (of.width, of.height, of.temporal_layers);
        if shape(config) == shape(&self.config) {
            // SAFETY: the context is live, and libvpx copies the settings.
            let result = unsafe { vpx::vpx_codec_enc_config_set(self.context.raw, &settings) };
            if result != vpx::VPX_CODEC_OK {
                return Err(CodecError::Unsupported(self.context.error(result)));
            }
            if config.frame_rate != self.config.frame_rate {
                self.context.control(
                    vpx::vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT,
                    max_intra_percent(config, self.options.max_key_frame),
                )?;
            }
        } else {
            // libvpx can shrink in place but never grow beyond its first size. A key frame is due
            // either way, and nothing that a fresh context forgets outlives one.
            self.context = open(&settings, config, &self.options)?;
            self.layers = Layers::new(config.temporal_layers);
            self.key_due = true;
        }
        self.timeline.set_frame_rate(config.frame_rate);
        self.config = *config;
        Ok(())
    }

    fn config(&self) -> VideoEncoderConfig {
        self.config
    }
}

/// Capture times turned into what libvpx's rate control can live with.
///
/// It reads the frame rate off the pictures' times and gives each its share of a second's bits. So a
/// picture is said to last as long as it was waited for, and they follow each other without a gap:
/// right also for a camera that slows down in the dark. But from one picture to the next a share grows
/// by half at most, or the first after a pause would get the bits of the whole pause; and a picture that
/// is no later than its predecessor still gets some.
#[derive(Debug)]
struct Timeline {
    /// Ticks between pictures at the configured rate.
    interval: i64,
    /// The last picture's capture time, and how long it was said to last.
    last: Option<(MediaTime, i64)>,
    end: i64,
}

/// When a picture is shown and for how long, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: i64,
    ticks: i64,
}

impl Timeline {
    /// Ticks a second.
    const RATE: i64 = 90_000;

    fn new(frame_rate: f64) -> Self {
        let mut timeline = Timeline {
            interval: 1,
            last: None,
            end: 0,
        };
        timeline.set_frame_rate(frame_rate);
        timeline
    }

    fn set_frame_rate(&mut self, frame_rate: f64) {
        // Below a frame in ten seconds libvpx takes the rate for nonsense and assumes 30.
        let interval = (Self::RATE as f64 / frame_rate.max(0.1)).round();
        self.interval = (interval as i64).max(1);
    }

    fn advance(&mut self, capture: MediaTime) -> Span {
        let ticks = match self.last {
            None => self.interval,
            Some((last, ticks)) => {
                let waited = i128::from(capture.nanos_since(last)) * i128::from(Self::RATE);
                let waited = i64::try_from(waited / 1_000_000_000).unwrap_or(i64::MAX);
                let least = (self.interval / 4).max(1);
                let most = (ticks.max(self.interval) * 3 / 2).min(self.interval.max(Self::RATE));
                waited.clamp(least, most.max(least))
            }
        };
        let start = self.end;
        self.end += ticks;
        self.last = Some((capture, ticks));
        Span { start, ticks }
    }
}

fn check(config: &VideoEncoderConfig) -> Result<(), CodecError> {
    let &VideoEncoderConfig {
        width,
        height,
        frame_rate,
        bitrate,
        temporal_layers,
    } = config;
    Layers::check(temporal_layers)?;
    let side = 1..=MAX_SIDE;
    if !side.contains(&width) || !side.contains(&height) {
        return Err(CodecError::Unsupported(format!(
            "VP8 pictures are 1 to {MAX_SIDE} pixels wide and high, not {width}x{height}"
        )));
    }
    if !(frame_rate > 0.0 && frame_rate <= 240.0) {
        return Err(CodecError::Unsupported(format!(
            "the frame rate is above 0 and up to 240, not {frame_rate}"
        )));
    }
    if !(1_000..=1_000_000_000).contains(&bitrate) {
        return Err(CodecError::Unsupported(format!(
            "the bitrate is 1,000 to 1,000,000,000 bits a second, not {bitrate}"
        )));
    }
    Ok(())
}

fn check_options(options: &Vp8EncoderOptions) -> Result<(), CodecError> {
    let ranges = [
        ("threads", options.threads, 1..=64),
        ("speed", options.speed.into(), 0..=16),
        ("drop_threshold", options.drop_threshold.into(), 0..=100),
        (
            "static_threshold",
            options.static_threshold,
            0..=i32::MAX as u32,
        ),
        ("profile", options.profile.into(), 0..=3),
        (
            "max_key_frame in seconds",
            options.max_key_frame.as_secs_f64().ceil() as u32,
            0..=10,
        ),
    ];
    match ranges
        .iter()
        .find(|(_, value, range)| !range.contains(value))
    {
        None => Ok(()),
        Some((name, value, range)) => Err(CodecError::Unsupported(format!(
            "{name} is {} to {}, not {value}",
            range.start(),
            range.end()
        ))),
    }
}

fn settings(
    config: &VideoEncoderConfig,
    options: &Vp8EncoderOptions,
) -> Result<vpx::vpx_codec_enc_cfg_t, CodecError> {
    let mut settings = MaybeUninit::<vpx::vpx_codec_enc_cfg_t>::zeroed();
    // SAFETY: the interface is a static of the library; the settings are written, not read.
    let result = unsafe {
        vpx::vpx_codec_enc_config_default(vpx::vpx_codec_vp8_cx(), settings.as_mut_ptr(), 0)
    };
    if result != vpx::VPX_CODEC_OK {
        return Err(CodecError::Failed(super::describe(result)));
    }
    // SAFETY: on success all of it has been written.
    let mut settings = unsafe { settings.assume_init() };
    settings.g_w = config.width;
    settings.g_h = config.height;
    settings.g_timebase = vpx::vpx_rational {
        num: 1,
        den: Timeline::RATE as c_int,
    };
    settings.g_threads = options.threads;
    settings.g_profile = options.profile.into();
    settings.g_pass = vpx::vpx_enc_pass::VPX_RC_ONE_PASS;
    settings.g_lag_in_frames = 0;
    // Loss is mended by retransmission and key frames, so the bits that resilience costs stay here.
    settings.g_error_resilient = 0;
    settings.kf_mode = vpx::vpx_kf_mode::VPX_KF_DISABLED;
    settings.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
    settings.rc_target_bitrate = (config.bitrate / 1_000).max(1);
    settings.rc_min_quantizer = 2;
    settings.rc_max_quantizer = 56;
    settings.rc_undershoot_pct = 100;
    settings.rc_overshoot_pct = 15;
    // In milliseconds' worth of bits.
    settings.rc_buf_initial_sz = 500;
    settings.rc_buf_optimal_sz = 600;
    settings.rc_buf_sz = 1_000;
    settings.rc_dropframe_thresh = options.drop_threshold.into();
    settings.rc_resize_allowed = 0;
    let kbps = settings.rc_target_bitrate;
    Layers::new(config.temporal_layers).describe(&mut settings, kbps);
    Ok(settings)
}

fn open(
    settings: &vpx::vpx_codec_enc_cfg_t,
    config: &VideoEncoderConfig,
    options: &Vp8EncoderOptions,
) -> Result<Context, CodecError> {
    use vpx::vp8e_enc_control_id as control;

    let mut context = Context::new("VP8 encoder", |raw| {
        // SAFETY: `raw` is a zeroed context, the interface a static, and the settings are copied.
        // The version is the one that these declarations were made from.
        unsafe {
            vpx::vpx_codec_enc_init_ver(
                raw,
                vpx::vpx_codec_vp8_cx(),
                settings,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as c_int,
            )
        }
    })?;
    context.control(control::VP8E_SET_CPUUSED, -c_int::from(options.speed))?;
    context.control(
        control::VP8E_SET_STATIC_THRESHOLD,
        c_int::try_from(options.static_threshold).unwrap_or(c_int::MAX),
    )?;
    context.control(control::VP8E_SET_NOISE_SENSITIVITY, 0)?;
    context.control(control::VP8E_SET_SCREEN_CONTENT_MODE, 0)?;
    context.control(
        control::VP8E_SET_TOKEN_PARTITIONS,
        vpx::vp8e_token_partitions::VP8_ONE_TOKENPARTITION as c_int,
    )?;
    context.control(
        control::VP8E_SET_MAX_INTRA_BITRATE_PCT,
        max_intra_percent(config, options.max_key_frame),
    )?;
    Ok(context)
}

/// The most that a key frame may take, in percent of a picture's share, of the lowest layer's.
fn max_intra_percent(config: &VideoEncoderConfig, max_key_frame: Duration) -> c_int {
    let lowest = Layers::new(config.temporal_layers).lowest_picture();
    let shares = max_key_frame.as_secs_f64() * config.frame_rate / lowest;
    ((shares * 100.0) as c_int).max(300)
}

/// libvpx's view of a picture, without a copy. Valid as long as the picture is.
fn wrap(buffer: &I420Buffer) -> vpx::vpx_image_t {
    // SAFETY: every field is a number, a nullable pointer, or an enum that has a zero.
    let mut image: vpx::vpx_image_t = unsafe { std::mem::zeroed() };
    image.fmt = vpx::vpx_img_fmt::VPX_IMG_FMT_I420;
    image.bit_depth = 8;
    image.bps = 12;
    (image.w, image.h) = (buffer.width(), buffer.height());
    (image.d_w, image.d_h) = (buffer.width(), buffer.height());
    (image.x_chroma_shift, image.y_chroma_shift) = (1, 1);
    // Not by `vpx_img_wrap`, which rounds the luma stride of odd widths up. The planes are only
    // ever read, `mut` or not.
    let planes = [
        (buffer.y(), buffer.width()),
        (buffer.u(), buffer.chroma_width()),
        (buffer.v(), buffer.chroma_width()),
    ];
    for (index, (plane, stride)) in planes.into_iter().enumerate() {
        image.planes[index] = plane.as_ptr().cast_mut();
        image.stride[index] = stride as c_int;
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(times: &[i64]) -> Vec<(i64, i64)> {
        let mut timeline = Timeline::new(30.0);
        times
            .iter()
            .map(|&time| timeline.advance(MediaTime::from_millis(time)))
            .map(|span| (span.start, span.ticks))
            .collect()
    }

    #[test]
    fn a_picture_lasts_as_long_as_it_was_waited_for() {
        let expected = [(0, 3_000), (3_000, 3_600), (6_600, 5_400)];
        assert_eq!(spans(&[1_000, 1_040, 1_100]), expected);
    }

    #[test]
    fn time_never_stands_still_nor_runs_back() {
        let expected = [(0, 3_000), (3_000, 750), (3_750, 750), (4_500, 2_970)];
        assert_eq!(spans(&[1_000, 1_000, 500, 533]), expected);
    }

    #[test]
    fn a_pause_counts_little_and_a_slow_camera_is_believed() {
        assert_eq!(spans(&[0, 60_000])[1].1, 4_500);
        let slow = spans(&[0, 100, 200, 300, 400, 500]);
        let ticks: Vec<i64> = slow.iter().map(|span| span.1).collect();
        assert_eq!(ticks, [3_000, 4_500, 6_750, 9_000, 9_000, 9_000]);
    }

    #[test]
    fn no_distance_is_too_great() {
        for frame_rate in [f64::MIN_POSITIVE, 30.0, 240.0] {
            let mut timeline = Timeline::new(frame_rate);
            for time in [i64::MIN, i64::MAX, i64::MIN, 0] {
                let span = timeline.advance(MediaTime::from_nanos(time));
                assert!(span.ticks > 0 && span.ticks <= 900_000, "{span:?}");
            }
        }
    }
}
