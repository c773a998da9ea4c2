use super::*;

/// A sender whose wall clock is years off ours, and two streams that play after the network's
/// delay and the greater of what they need and what they are asked to wait.
struct Call {
    sync: LipSync,
    now: MediaTime,
    audio: Stream,
    video: Stream,
}

struct Stream {
    network: Duration,
    needs: Duration,
    in_force: Duration,
    /// How far it moves in 20 ms.
    step: Duration,
}

const REMOTE: Duration = Duration::from_secs(1_700_000_000);

impl Call {
    fn new(audio: (u64, u64), video: (u64, u64)) -> Self {
        let stream = |(network, needs): (u64, u64)| Stream {
            network: Duration::from_millis(network),
            needs: Duration::from_millis(needs),
            in_force: Duration::from_millis(needs),
            step: Duration::from_millis(2),
        };
        Call {
            sync: LipSync::new(),
            now: MediaTime::from_millis(5_000),
            audio: stream(audio),
            video: stream(video),
        }
    }

    /// Runs for `seconds`, in which delays follow what is wanted a tenth as fast as time goes by.
    /// Returns the largest delay on the way.
    fn run(&mut self, seconds: u64, reports: bool) -> Duration {
        self.run_for(Duration::from_secs(seconds), reports)
    }

    fn run_for(&mut self, duration: Duration, reports: bool) -> Duration {
        let mut largest = Duration::ZERO;
        for _ in 0..duration.as_millis() / 20 {
            self.now += Duration::from_millis(20);
            for (kind, stream) in [
                (MediaKind::Audio, &self.audio),
                (MediaKind::Video, &self.video),
            ] {
                let total = stream.network + stream.in_force;
                let captured = REMOTE + self.now.saturating_since(MediaTime::ZERO) - total;
                let played = Played {
                    at: self.now,
                    earliest: self.now - stream.in_force,
                    needs: stream.needs,
                    holds: stream.in_force,
                };
                self.sync.played(kind, reports.then_some(captured), played);
            }
            let wanted = self.sync.update(self.now);
            for (stream, wanted) in [
                (&mut self.audio, wanted.audio),
                (&mut self.video, wanted.video),
            ] {
                let delay = stream.needs.max(wanted);
                let (now, step) = (stream.in_force, stream.step);
                let (least, most) = (now.saturating_sub(step), now + step);
                stream.in_force = delay.clamp(least, most);
                largest = largest.max(stream.in_force);
            }
        }
        largest
    }

    /// Sound behind picture, in milliseconds.
    fn lag(&self) -> i64 {
        let total = |s: &Stream| (s.network + s.in_force).as_millis() as i64;
        total(&self.audio) - total(&self.video)
    }

    fn delays(&self) -> MinDelays {
        self.sync.delays
    }
}

#[test]
fn the_earlier_stream_waits_and_no_longer_than_it_must() {
    for (audio, video, wait) in [((20, 20), (20, 400), 405), ((300, 20), (30, 10), 264)] {
        let mut call = Call::new(audio, video);
        let wait = Duration::from_millis(wait);
        assert!(call.run(5, true).max(wait) == wait.max(call.video.needs));
        assert!((-16..=31).contains(&call.lag()), "{} ms", call.lag());
        let settled = call.delays();
        assert!(
            settled.audio.is_zero() != settled.video.is_zero(),
            "only one waits: {settled:?}"
        );
        call.run(10, true);
        assert_eq!(call.delays(), settled);
    }
}

#[test]
fn what_is_in_step_is_left_alone() {
    let mut call = Call::new((20, 30), (20, 43));
    call.run(10, true);
    assert_eq!(call.delays(), MinDelays::default());
    let lag = call.sync.offset(call.now).unwrap();
    assert!((lag + 13_000_000).abs() < 1_000, "{lag}");
}

#[test]
fn without_sender_reports_nothing_is_known() {
    let mut call = Call::new((20, 30), (20, 400));
    call.run(10, false);
    assert_eq!(call.delays(), MinDelays::default());
    assert_eq!(call.sync.offset(call.now), None);
}

#[test]
fn the_wait_is_given_back_before_the_other_is_made_to_wait() {
    let mut call = Call::new((20, 20), (20, 300));
    call.run(10, true);
    assert!(call.delays().audio > Duration::from_millis(250));
    // Now the picture comes sooner than the sound.
    call.video.needs = Duration::from_millis(10);
    call.audio.needs = Duration::from_millis(60);
    call.run(15, true);
    assert!((-16..=31).contains(&call.lag()), "{} ms", call.lag());
    assert_eq!(call.delays().audio, Duration::ZERO);
    assert!(call.delays().video < Duration::from_millis(80));
}

#[test]
fn sound_that_is_late_no_more_waits_for_a_picture_that_goes_gently() {
    let mut call = Call::new((50, 300), (50, 30));
    call.run(10, true);
    assert!((-16..=31).contains(&call.lag()), "{} ms", call.lag());
    // Sound is shortened by more than half as fast as time goes by.
    call.audio.step = Duration::from_millis(12);
    call.audio.needs = Duration::from_millis(50);
    for tenth in 0..100 {
        call.run_for(Duration::from_millis(100), true);
        assert!(
            (-16..=31).contains(&call.lag()),
            "{tenth}: {} ms",
            call.lag()
        );
    }
    assert_eq!(call.delays(), MinDelays::default());
    assert_eq!(call.lag(), 20);
}

#[test]
fn nobody_waits_for_longer_than_a_second_or_for_a_stranger() {
    let mut call = Call::new((0, 0), (3_000, 0));
    call.run(30, true);
    assert_eq!(call.delays().audio, LipSync::MAX_DELAY);
    let mut call = Call::new((0, 0), (20_000, 0));
    call.run(30, true);
    assert_eq!(call.delays(), MinDelays::default());
}

#[test]
fn a_stream_that_fell_silent_no_longer_counts() {
    let mut call = Call::new((20, 20), (20, 300));
    call.run(1, true);
    let before = call.delays();
    assert_eq!(call.sync.update(call.now + Duration::from_secs(5)), before);
    assert_eq!(call.sync.offset(call.now + Duration::from_secs(5)), None);
}
