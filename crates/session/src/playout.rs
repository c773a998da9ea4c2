//! When a frame is shown: as evenly as it was captured, and as early as that allows.
//!
//! Not a jitter buffer: it holds no frame. It says when; the caller keeps the picture until then.

use std::collections::VecDeque;
use std::time::Duration;

use duet_media::MediaTime;

use crate::ClockRate;

/// Turns the times at which frames could be decoded into the times at which they are shown.
///
/// A frame is shown a fixed while after its capture, chosen so that 95 of the last 100 were there in
/// time; on a clean link that is within a few milliseconds of their coming. One that is later than
/// that is shown at once. The while changes gently, so that motion stays even.
#[derive(Clone, Debug)]
pub struct PlayoutScheduler {
    rate: ClockRate,
    max_delay: Duration,
    min_delay: Duration,
    /// `decodable_at - capture`, in nanoseconds by two clocks, of the newest frames. At most
    /// [`WINDOW`](Self::WINDOW); the oldest is forgotten.
    offsets: VecDeque<i64>,
    /// Where the offset in force stands, and the frame it was used for.
    current: Option<InForce>,
    /// Capture (in nanoseconds by its clock) and coming of the frame scheduled last.
    newest: Option<(i64, MediaTime)>,
    last: Option<MediaTime>,
}

#[derive(Clone, Copy, Debug)]
struct InForce {
    offset: i64,
    media: i64,
}

impl PlayoutScheduler {
    /// So many frames are remembered.
    pub const WINDOW: usize = 100;
    /// A frame is never held back longer than this, unless [`set_min_delay`](Self::set_min_delay) asks
    /// for more.
    pub const MAX_DELAY: Duration = Duration::from_millis(300);
    /// A capture time this far off the others' starts a new measure.
    const RESTART: i64 = 1_000_000_000;

    /// A scheduler for timestamps of `rate`.
    pub fn new(rate: ClockRate) -> Self {
        PlayoutScheduler {
            rate,
            max_delay: Self::MAX_DELAY,
            min_delay: Duration::ZERO,
            offsets: VecDeque::with_capacity(Self::WINDOW),
            current: None,
            newest: None,
            last: None,
        }
    }

    /// Another limit than [`MAX_DELAY`](Self::MAX_DELAY).
    pub fn set_max_delay(&mut self, max_delay: Duration) {
        self.max_delay = max_delay;
    }

    /// Frames are shown at least this long after the fastest of late could be decoded: for pictures
    /// that would else be ahead of their sound. Reached gently.
    pub fn set_min_delay(&mut self, min_delay: Duration) {
        self.min_delay = min_delay;
    }

    /// When to show the frame captured at `rtp_timestamp` (unwrapped) that could be decoded at
    /// `decodable_at`: then or later, never before the frame scheduled last.
    pub fn schedule(&mut self, rtp_timestamp: i64, decodable_at: MediaTime) -> MediaTime {
        let media = self.rate.nanos(rtp_timestamp);
        let offset = decodable_at.as_nanos().saturating_sub(media);
        let newest = self.offsets.back().copied().unwrap_or(offset);
        if newest.abs_diff(offset) > Self::RESTART.unsigned_abs() {
            self.offsets.clear();
            self.current = None;
        }
        if !self.on_the_heels(media, offset, decodable_at) {
            if self.offsets.len() == Self::WINDOW {
                self.offsets.pop_front();
            }
            self.offsets.push_back(offset);
        }
        self.newest = Some((media, decodable_at));

        let target = self.target();
        let offset = match self.current {
            None => target,
            Some(current) => {
                let elapsed = media.saturating_sub(current.media).max(0);
                let excess = current.offset.saturating_sub(target).max(0);
                let lowest = current
                    .offset
                    .saturating_sub((elapsed / 10).max(excess / 16));
                let highest = current.offset.saturating_add(elapsed / 4);
                target.clamp(lowest, highest)
            }
        };
        self.current = Some(InForce { offset, media });
        let latest = decodable_at + self.max_delay.max(self.min_delay);
        let due = MediaTime::from_nanos(media.saturating_add(offset)).min(latest);
        let at = due.max(decodable_at).max(self.last.unwrap_or(decodable_at));
        self.last = Some(at);
        at
    }

    /// How much later than the fastest of late frames are shown now.
    pub fn delay(&self) -> Duration {
        let fastest = self.offsets.iter().min();
        match (self.current, fastest) {
            (Some(current), Some(&fastest)) => Duration::from_nanos(
                u64::try_from(current.offset.saturating_sub(fastest)).unwrap_or(0),
            ),
            _ => Duration::ZERO,
        }
    }

    /// Forgets what was measured, not what was set.
    pub fn reset(&mut self) {
        self.offsets.clear();
        self.current = None;
    }

    /// Whether a late frame came in a burst right behind another: what held up the first held up all,
    /// and counts once.
    fn on_the_heels(&self, media: i64, offset: i64, decodable_at: MediaTime) -> bool {
        let (Some((before, came)), Some(current)) = (self.newest, self.current) else {
            return false;
        };
        let captured_apart = media.saturating_sub(before);
        let came_apart = decodable_at.nanos_since(came);
        offset > current.offset && came_apart < captured_apart / 2
    }

    /// The offset that 95 of 100 frames keep, or the one that lip-sync asks for.
    fn target(&self) -> i64 {
        let mut sorted = [0; Self::WINDOW];
        let sorted = &mut sorted[..self.offsets.len()];
        for (to, from) in sorted.iter_mut().zip(&self.offsets) {
            *to = *from;
        }
        sorted.sort_unstable();
        let kept = sorted.get(sorted.len().saturating_sub(1) * 95 / 100);
        let min_delay = i64::try_from(self.min_delay.as_nanos()).unwrap_or(i64::MAX);
        let asked = sorted
            .first()
            .map(|fastest| fastest.saturating_add(min_delay));
        kept.copied().max(asked).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Link, LinkConfig};
    use proptest::prelude::*;

    const FRAME: i64 = 33_333_333;

    struct Shown {
        captured: MediaTime,
        came: MediaTime,
        at: MediaTime,
    }

    impl Shown {
        fn held(&self) -> Duration {
            self.at.saturating_since(self.came)
        }
    }

    fn ticks(time: MediaTime) -> i64 {
        // Far from our clock's origin, as a remote clock is.
        ClockRate::VIDEO.ticks(time.as_nanos()) + 3_000_000_000
    }

    /// Shows `frames` frames that came over `link`; `late` is what each took before it left.
    fn show(
        scheduler: &mut PlayoutScheduler,
        link: LinkConfig,
        frames: i64,
        late: impl Fn(i64) -> Duration,
    ) -> Vec<Shown> {
        let mut link = Link::new(link, 11);
        for n in 0..frames {
            let captured = MediaTime::from_nanos(n * FRAME);
            link.send(captured, 1_000, captured + late(n));
        }
        let end = MediaTime::from_nanos(i64::MAX);
        let arrivals = std::iter::from_fn(|| link.poll(end));
        arrivals
            .map(|(came, captured)| {
                let at = scheduler.schedule(ticks(captured), came);
                Shown { captured, came, at }
            })
            .collect()
    }

    /// The largest difference between two frames' distance on the screen and before the camera.
    fn unevenness(shown: &[Shown]) -> Duration {
        let off = |pair: &[Shown]| {
            let screen = pair[1].at.nanos_since(pair[0].at);
            let camera = pair[1].captured.nanos_since(pair[0].captured);
            Duration::from_nanos(screen.abs_diff(camera))
        };
        shown.windows(2).map(off).max().unwrap_or_default()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_clean_link_costs_nothing() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        let link = LinkConfig {
            delay: ms(20),
            ..LinkConfig::default()
        };
        let shown = show(&mut scheduler, link, 300, |_| Duration::ZERO);
        assert!(shown.iter().all(|frame| frame.held() < ms(1)));
        assert!(unevenness(&shown) < ms(1));
        assert!(scheduler.delay() < ms(1));
    }

    #[test]
    fn a_slow_key_frame_now_and_then_does_not_hold_up_the_rest() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        let key = |n: i64| if n % 60 == 0 { ms(30) } else { Duration::ZERO };
        let shown = show(&mut scheduler, LinkConfig::default(), 600, key);
        let settled = &shown[20..];
        assert!(settled.iter().all(|frame| frame.held() < ms(2)));
        assert!(
            settled
                .iter()
                .all(|frame| frame.at.saturating_since(frame.captured) <= ms(31))
        );
    }

    #[test]
    fn jitter_is_evened_out_by_as_much_as_it_is() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        let link = LinkConfig {
            delay: ms(40),
            jitter: ms(20),
            ..LinkConfig::default()
        };
        let shown = show(&mut scheduler, link, 900, |_| Duration::ZERO);
        let settled = &shown[100..];
        let longest = settled
            .iter()
            .map(|frame| frame.at.saturating_since(frame.captured))
            .max();
        assert!(longest <= Some(ms(61)), "{longest:?}");
        let late = settled
            .iter()
            .filter(|frame| frame.held() == Duration::ZERO)
            .count();
        assert!(late * 10 <= settled.len(), "{late} of {}", settled.len());
        assert!(unevenness(settled) < ms(5), "{:?}", unevenness(settled));
        assert!(
            (ms(15)..ms(21)).contains(&scheduler.delay()),
            "{:?}",
            scheduler.delay()
        );
    }

    #[test]
    fn calm_after_jitter_brings_the_delay_down_gently() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        let shown = show(&mut scheduler, LinkConfig::default(), 600, |n| {
            if n < 300 {
                ms(n as u64 % 5 * 8)
            } else {
                Duration::ZERO
            }
        });
        assert!(shown[299].held() + ms(5) >= ms(32 - 299 % 5 * 8));
        assert!(shown[599].held() < ms(1));
        assert!(
            unevenness(&shown[300..]) < ms(4),
            "{:?}",
            unevenness(&shown[300..])
        );
    }

    #[test]
    fn a_freeze_is_not_made_up_for_with_delay() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        // Nothing for half a second, then all of it at once.
        let held_up = |n: i64| match n {
            100..115 => Duration::from_nanos((FRAME * (115 - n)).unsigned_abs()),
            _ => Duration::ZERO,
        };
        let shown = show(&mut scheduler, LinkConfig::default(), 200, held_up);
        assert!(shown[115..].iter().all(|frame| frame.held() < ms(10)));
    }

    #[test]
    fn a_longer_path_is_followed() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        let shown = show(&mut scheduler, LinkConfig::default(), 600, |n| {
            if n < 300 { ms(20) } else { ms(80) }
        });
        assert!(shown.iter().all(|frame| frame.held() < ms(2)));
        assert!(unevenness(&shown[301..]) < ms(9));
    }

    #[test]
    fn lip_sync_gets_the_delay_it_asks_for() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        scheduler.set_min_delay(ms(60));
        let shown = show(&mut scheduler, LinkConfig::default(), 100, |_| ms(10));
        assert!(shown[99].held().abs_diff(ms(60)) < ms(1));
        scheduler.set_min_delay(ms(400));
        let link = LinkConfig::default();
        let mut more = PlayoutScheduler::new(ClockRate::VIDEO);
        std::mem::swap(&mut more, &mut scheduler);
        more.reset();
        let shown = show(&mut more, link, 300, |_| ms(10));
        assert!(
            shown[299].held().abs_diff(ms(400)) < ms(1),
            "{:?}",
            shown[299].held()
        );
    }

    #[test]
    fn a_delay_no_longer_asked_for_is_soon_gone() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        scheduler.set_min_delay(ms(400));
        let hold = |scheduler: &mut PlayoutScheduler, n: i64| {
            let came = MediaTime::from_nanos(n * FRAME);
            scheduler.schedule(ticks(came), came).saturating_since(came)
        };
        (0..200).for_each(|n| {
            hold(&mut scheduler, n);
        });
        scheduler.set_min_delay(ms(0));
        let held: Vec<Duration> = (200..290).map(|n| hold(&mut scheduler, n)).collect();
        assert!(held[60] < ms(20), "{:?}", held[60]);
        assert!(held[89] < ms(1), "{:?}", held[89]);
    }

    #[test]
    fn two_clocks_that_drift_apart_do_not_matter() {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        for n in 0..30 * 600 {
            // 300 ppm: 180 ms in ten minutes.
            let came = MediaTime::from_nanos(n * (FRAME + FRAME * 3 / 10_000));
            let at = scheduler.schedule(ticks(MediaTime::from_nanos(n * FRAME)), came);
            assert!(at.saturating_since(came) < ms(3));
        }
    }

    #[test]
    fn a_jump_of_the_timestamps_is_no_freeze() {
        for jump in [-1_000_000_000, 1_000_000_000i64, i64::MAX / 2] {
            let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
            for n in 0..100 {
                let came = MediaTime::from_nanos(n * FRAME);
                let stamp = ticks(came) + if n < 50 { 0 } else { jump };
                let at = scheduler.schedule(stamp, came);
                assert!(at.saturating_since(came) < ms(3), "frame {n}");
            }
        }
    }

    proptest! {
        #[test]
        fn never_early_never_past_the_cap_never_back(
            frames in prop::collection::vec((any::<i64>(), 0u64..100_000_000, 0i64..90_000), 1..300),
            wild in any::<bool>(),
            min_delay in 0u64..1_000,
        ) {
            let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
            scheduler.set_min_delay(ms(min_delay));
            let cap = ms(min_delay).max(PlayoutScheduler::MAX_DELAY);
            let (mut now, mut last, mut stamp) = (MediaTime::ZERO, None, 0);
            for (anything, wait, step) in frames {
                now += Duration::from_nanos(wait);
                stamp += step;
                let at = scheduler.schedule(if wild { anything } else { stamp }, now);
                prop_assert!(at >= now && at <= now + cap);
                prop_assert!(last.is_none_or(|last| at >= last));
                last = Some(at);
            }
        }
    }
}
