//! What came of one stream, as [RFC 3550](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1) counts it:
//! how many packets were lost on the way, and how unevenly they came.
//!
//! Not concerned with what is made good later: a packet that was lost and asked for again is lost.

use crate::NtpTime;
use duet_media::MediaTime;
use std::time::Duration;

/// The figures of one stream, and the report blocks that tell the other side of them.
///
/// Sequence numbers that jump by more than is lost in so short a time are taken for a stream that
/// started anew, once two in a row say so ([appendix A.1](https://www.rfc-editor.org/rfc/rfc3550#appendix-A.1)):
/// nothing counts as lost in between.
#[derive(Clone, Debug)]
pub struct Reception {
    clock_rate: f64,
    /// The standing run of numbers: its first, and its highest, unwrapped.
    run: Option<(i64, i64)>,
    /// Packets that were expected of the runs before.
    expected_before: u64,
    received: u64,
    /// A number that did not fit: the next one says whether the stream started anew.
    odd: Option<u16>,
    oddities: Oddities,
    /// When the last packet came, of whatever number.
    heard: Option<MediaTime>,
    /// Arrival and time stamp of the newest packet.
    newest: Option<(MediaTime, u32)>,
    /// Arrival and time stamp from which the clock is measured.
    measured: Option<(MediaTime, u32)>,
    /// Seconds.
    jitter: f64,
    sender_report: Option<(NtpTime, MediaTime)>,
    /// Expected and received at the last report.
    reported: (u64, u64),
}

/// How often a stream did what none does that is sent by the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Its sequence numbers started anew.
    pub restarts: u64,
    /// Its time stamps jumped by more than five seconds against the packets' coming: forth, back, or because
    /// what was sent before an outage came after it.
    pub jumps: u64,
    /// Its time stamps ran a quarter faster or slower than its clock rate, for five seconds or more.
    pub misfits: u64,
}

/// One [report block](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1), without its SSRC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost so far, of 24 bits; below zero where packets came twice.
    pub lost: i32,
    /// The highest sequence number, with how often it wrapped in the upper half.
    pub highest: u32,
    /// In ticks of the stream's clock.
    pub jitter: u32,
    /// The middle of the last sender report's NTP time; 0 before the first.
    pub last_sender_report: u32,
    /// Since that came, in 65,536ths of a second.
    pub delay: u32,
}

impl Reception {
    /// A jump of the sequence numbers by less is loss, however short the silence.
    pub const MAX_DROPOUT: i64 = 3_000;
    /// So many packets a second may have been lost in a silence.
    const RATE: f64 = 3_000.0;
    /// A number that is so far behind is of another run.
    const MAX_MISORDER: i64 = 1_000;
    /// Time stamps and arrivals that differ by more say nothing about the path.
    const MAX_TRANSIT: f64 = 5.0;
    /// So long a clock is measured, and by how much it may be off: the network's delays may change by a
    /// second in between.
    const MEASURE: f64 = 5.0;
    const MOST_OFF: f64 = 0.25;
    const MOST_LOST: i64 = 0x7F_FFFF;

    /// Nothing yet, of a stream whose time stamps count `clock_rate` ticks a second.
    pub fn new(clock_rate: u32) -> Self {
        Reception {
            clock_rate: f64::from(clock_rate.max(1)),
            run: None,
            expected_before: 0,
            received: 0,
            odd: None,
            oddities: Oddities::default(),
            heard: None,
            newest: None,
            measured: None,
            jitter: 0.0,
            sender_report: None,
            reported: (0, 0),
        }
    }

    /// A packet of the stream came, for the first time or again.
    pub fn on_packet(&mut self, sequence_number: u16, timestamp: u32, now: MediaTime) {
        self.received += 1;
        let last = self.heard.replace(now);
        let Some((first, highest)) = self.run else {
            self.begin(sequence_number, timestamp, now);
            return;
        };
        let step = i64::from(sequence_number.wrapping_sub(highest as u16).cast_signed());
        let silence = last.map_or(Duration::ZERO, |at| now.saturating_since(at));
        let most = Self::MAX_DROPOUT.max((silence.as_secs_f64() * Self::RATE) as i64);
        if step > most || step < -Self::MAX_MISORDER {
            if self.odd == Some(sequence_number) {
                self.oddities.restarts += 1;
                // The one before was the first of the new run.
                self.expected_before = self.expected();
                self.begin(sequence_number.wrapping_sub(1), timestamp, now);
                self.run = self.run.map(|(first, _)| (first, first + 1));
            } else {
                // Counted with its run, if there is one.
                self.odd = Some(sequence_number.wrapping_add(1));
                self.expected_before += 1;
            }
            return;
        }
        self.odd = None;
        let number = highest + step;
        self.run = Some((first.min(number), highest.max(number)));
        if step > 0 {
            self.note_transit(timestamp, now);
        }
    }

    fn begin(&mut self, sequence_number: u16, timestamp: u32, now: MediaTime) {
        if self.odd.take().is_some() {
            // Was counted by itself.
            self.expected_before = self.expected_before.saturating_sub(1);
        }
        let number = i64::from(sequence_number);
        self.run = Some((number, number));
        self.newest = Some((now, timestamp));
        self.measured = self.newest;
    }

    /// [Appendix A.8](https://www.rfc-editor.org/rfc/rfc3550#appendix-A.8). The packets of one picture
    /// are of one time and leave one after the other: the first tells.
    fn note_transit(&mut self, timestamp: u32, now: MediaTime) {
        let Some((at, before)) = self.newest else {
            return;
        };
        if before == timestamp {
            self.measure_clock(timestamp, now);
        } else {
            let sent = f64::from(timestamp.wrapping_sub(before).cast_signed()) / self.clock_rate;
            let apart = now.nanos_since(at) as f64 / 1e9 - sent;
            self.newest = Some((now, timestamp));
            if apart.abs() < Self::MAX_TRANSIT {
                self.jitter += (apart.abs() - self.jitter) / 16.0;
                self.measure_clock(timestamp, now);
            } else {
                self.oddities.jumps += 1;
                self.measured = self.newest;
            }
        }
    }

    /// Whether the time stamps pass as the clock rate says.
    fn measure_clock(&mut self, timestamp: u32, now: MediaTime) {
        let (at, before) = *self.measured.get_or_insert((now, timestamp));
        let passed = now.nanos_since(at) as f64 / 1e9;
        if passed < Self::MEASURE {
            return;
        }
        let sent = f64::from(timestamp.wrapping_sub(before).cast_signed()) / self.clock_rate;
        self.oddities.misfits += u64::from((sent / passed - 1.0).abs() > Self::MOST_OFF);
        self.measured = Some((now, timestamp));
    }

    /// A sender report of the stream came.
    pub fn on_sender_report(&mut self, ntp: NtpTime, now: MediaTime) {
        self.sender_report = Some((ntp, now));
    }

    /// What to tell the other side.
    pub fn report(&mut self, now: MediaTime) -> ReportBlock {
        let (expected, received) = (self.expected(), self.received);
        let (expected_before, received_before) =
            std::mem::replace(&mut self.reported, (expected, received));
        let expected_since = expected.saturating_sub(expected_before);
        let lost_since = expected_since.saturating_sub(received - received_before);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let lost = self.lost().clamp(-Self::MOST_LOST - 1, Self::MOST_LOST);
        let delay = self.sender_report.map(|(_, at)| now.saturating_since(at));
        let delay = delay.map_or(0.0, |delay| delay.as_secs_f64() * 65_536.0);
        ReportBlock {
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: i32::try_from(lost).unwrap_or(0),
            highest: self.run.map_or(0, |(_, highest)| highest as u32),
            jitter: (self.jitter * self.clock_rate) as u32,
            last_sender_report: self.sender_report.map_or(0, |(ntp, _)| ntp.middle()),
            delay: delay as u32,
        }
    }

    /// Packets that came, copies included.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that were sent, by their numbers.
    pub fn expected(&self) -> u64 {
        let run = self.run.map_or(0, |(first, highest)| highest - first + 1);
        self.expected_before + u64::try_from(run).unwrap_or(0)
    }

    /// Packets that were sent and did not come: below zero where some came twice.
    pub fn lost(&self) -> i64 {
        let count = |packets: u64| i64::try_from(packets).unwrap_or(i64::MAX);
        count(self.expected()).saturating_sub(count(self.received))
    }

    /// In seconds.
    pub fn jitter(&self) -> f64 {
        self.jitter
    }

    /// What was odd about it so far.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    /// Packets of 20 ms at 48 kHz.
    fn hear(reception: &mut Reception, numbers: impl IntoIterator<Item = u16>) {
        for number in numbers {
            let time = u32::from(number);
            reception.on_packet(number, time.wrapping_mul(960), at(i64::from(number) * 20));
        }
    }

    #[test]
    fn what_is_missing_is_lost_and_what_comes_late_is_not() {
        let mut reception = Reception::new(48_000);
        hear(&mut reception, (100..200).filter(|n| n % 10 != 0));
        assert_eq!((reception.expected(), reception.lost()), (99, 9));
        let block = reception.report(at(4_000));
        assert_eq!((block.lost, block.highest), (9, 199));
        assert_eq!(block.fraction_lost, 23, "9 of 99");
        reception.on_packet(110, 110 * 960, at(4_000));
        assert_eq!(reception.lost(), 8);
        hear(&mut reception, 200..300);
        assert_eq!(reception.report(at(6_000)).fraction_lost, 0);
    }

    #[test]
    fn copies_make_the_loss_negative() {
        let mut reception = Reception::new(48_000);
        hear(&mut reception, (0..10).chain(0..10));
        assert_eq!(reception.lost(), -10);
        assert_eq!(reception.report(at(0)).lost, -10);
    }

    #[test]
    fn numbers_and_time_stamps_wrap() {
        let mut reception = Reception::new(48_000);
        for n in 0..1_000_u32 {
            let timestamp = (u32::MAX - 480_000).wrapping_add(n * 960);
            let number = 65_000_u16.wrapping_add(n as u16);
            reception.on_packet(number, timestamp, at(i64::from(n) * 20));
        }
        assert_eq!((reception.expected(), reception.lost()), (1_000, 0));
        assert_eq!(reception.report(at(20_000)).highest, (1 << 16) + 463);
        assert!(reception.jitter() < 1e-6, "{}", reception.jitter());
    }

    #[test]
    fn jitter_is_in_seconds() {
        let mut reception = Reception::new(90_000);
        for n in 0..200 {
            let late = if n % 2 == 0 { 0 } else { 10 };
            // Three packets to the picture.
            for part in 0..3 {
                let number = (n * 3 + part) as u16;
                reception.on_packet(number, n as u32 * 3_600, at(n * 40 + late + part));
            }
        }
        assert!(
            (reception.jitter() - 0.01).abs() < 1e-3,
            "{}",
            reception.jitter()
        );
        assert_eq!(reception.report(at(8_000)).jitter / 90, 9);
    }

    #[test]
    fn a_stream_that_starts_anew_lost_nothing() {
        let mut reception = Reception::new(48_000);
        let mut hear = |numbers: std::ops::Range<u16>| {
            numbers.for_each(|number| reception.on_packet(number, 0, at(0)));
        };
        hear(0..100);
        hear(30_000..30_100);
        // Back again.
        hear(50..100);
        assert_eq!((reception.lost(), reception.oddities().restarts), (0, 2));
    }

    #[test]
    fn numbers_that_jump_all_the_time_are_not_taken_for_loss() {
        let mut reception = Reception::new(48_000);
        for n in 0..10_000_u32 {
            reception.on_packet((n * 20_011) as u16, n * 960, at(i64::from(n)));
        }
        // But where they happen to be near: of 200 million numbers that were skipped.
        assert!(
            (0..1_000_000).contains(&reception.lost()),
            "{}",
            reception.lost()
        );
    }

    #[test]
    fn time_stamps_that_do_not_fit_the_clock_rate_are_told() {
        // Packets of 20 ms, and what they say that they last, in ticks of 48 kHz.
        let minute = |ticks: u32, late: fn(u32) -> i64| {
            let mut reception = Reception::new(48_000);
            for n in 0..3_000 {
                let arrival = at(i64::from(n) * 20 + late(n));
                reception.on_packet(n as u16, n.wrapping_mul(ticks), arrival);
            }
            reception.oddities()
        };
        assert_eq!(minute(960, |_| 0), Oddities::default());
        // A second of delay, now and then.
        let shaken = minute(960, |n| if n / 300 % 2 == 0 { 0 } else { 1_000 });
        assert_eq!(shaken, Oddities::default());
        for wrong in [0, 320, 1_800, 0_u32.wrapping_sub(960)] {
            let misfits = minute(wrong, |_| 0).misfits;
            assert!((10..=12).contains(&misfits), "{wrong}: {misfits}");
        }
        // Each packet a minute before or after the one before.
        assert!(minute(60 * 48_000, |_| 0).jumps > 2_990);
    }

    #[test]
    fn an_outage_is_loss() {
        let mut reception = Reception::new(48_000);
        for n in 0..100 {
            reception.on_packet(n, 0, at(0));
        }
        reception.on_packet(5_100, 480_000, at(10_000));
        reception.on_packet(5_101, 480_000, at(10_000));
        assert_eq!(reception.lost(), 5_000);
    }

    #[test]
    fn sender_reports_come_back_with_what_they_waited() {
        let mut reception = Reception::new(48_000);
        hear(&mut reception, 0..3);
        assert_eq!(reception.report(at(60)).last_sender_report, 0);
        let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
        reception.on_sender_report(ntp, at(100));
        let block = reception.report(at(600));
        assert_eq!(
            (block.last_sender_report, block.delay),
            (ntp.middle(), 32_768)
        );
    }
}
