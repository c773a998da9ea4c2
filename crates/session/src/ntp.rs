//! The time format of RTCP's sender reports.

use std::time::Duration;

/// Seconds from 1900-01-01 (NTP's epoch) to 1970-01-01 (Unix's).
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// An [NTP timestamp](https://www.rfc-editor.org/rfc/rfc3550#section-4): seconds since 1900 in 32
/// bits, and 32 bits of fraction (233 picoseconds each).
///
/// Seconds wrap in February 2036; values whose top bit is clear are read as the era that begins then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The NTP timestamp of a wall-clock reading, given as time since the Unix epoch.
    pub fn from_unix(unix: Duration) -> Self {
        let seconds = unix.as_secs().wrapping_add(UNIX_EPOCH_SECONDS) & 0xFFFF_FFFF;
        // Rounded up, so that the nanosecond survives the way there and back.
        let fraction = (u64::from(unix.subsec_nanos()) << 32).div_ceil(1_000_000_000);
        NtpTime((seconds << 32) | fraction)
    }

    /// Time since the Unix epoch, in whole nanoseconds; zero for a timestamp before it.
    pub fn to_unix(self) -> Duration {
        let mut seconds = self.0 >> 32;
        if seconds & 0x8000_0000 == 0 {
            seconds += 1 << 32;
        }
        let nanos = (u128::from(self.0 & 0xFFFF_FFFF) * NANOS_PER_SECOND) >> 32;
        let nanos = u32::try_from(nanos).unwrap_or(0);
        match seconds.checked_sub(UNIX_EPOCH_SECONDS) {
            Some(seconds) => Duration::new(seconds, nanos),
            None => Duration::ZERO,
        }
    }

    /// The middle 32 bits: 16 of seconds, 16 of fraction. What a receiver report's LSR carries.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Signed distance from `earlier` to this, in nanoseconds, across the wrap.
    pub const fn nanos_since(self, earlier: NtpTime) -> i64 {
        let ticks = self.0.wrapping_sub(earlier.0).cast_signed() as i128;
        let nanos = (ticks * NANOS_PER_SECOND as i128) >> 32;
        // 2^63 ticks are 2^31 seconds, and those in nanoseconds fit an i64.
        nanos as i64
    }
}

/// The round trip that a [report block](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1) tells
/// of: `now` is when it arrived, by the clock that stamped our sender report; `last_sr` and
/// `delay_since_last_sr` are its LSR and DLSR fields (1/65,536 s).
///
/// `None` if the other side has seen no report of ours yet, or if the sum makes no sense (negative,
/// or over a minute).
pub fn round_trip(now: NtpTime, last_sr: u32, delay_since_last_sr: u32) -> Option<Duration> {
    if last_sr == 0 {
        return None;
    }
    let ticks = now
        .middle()
        .wrapping_sub(last_sr)
        .wrapping_sub(delay_since_last_sr);
    let nanos = (u64::from(ticks) * 1_000_000_000) >> 16;
    (ticks < 60 << 16).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_the_epochs() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO).0, 2_208_988_800 << 32);
        let half = NtpTime::from_unix(Duration::from_millis(500));
        assert_eq!(half.0 & 0xFFFF_FFFF, 1 << 31);
        // 2036-02-07 06:28:16 UTC: the seconds wrap.
        let wrap = Duration::from_secs((1 << 32) - UNIX_EPOCH_SECONDS);
        assert_eq!(NtpTime::from_unix(wrap).0, 0);
        assert_eq!(NtpTime(0).to_unix(), wrap);
        assert_eq!(
            NtpTime(0).nanos_since(NtpTime(u64::MAX << 32)),
            1_000_000_000
        );
    }

    #[test]
    fn round_trip_of_a_report() {
        let sent = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
        let back = NtpTime::from_unix(Duration::from_millis(1_700_000_000_150));
        let held = 65_536 / 10;
        let rtt = round_trip(back, sent.middle(), held).unwrap();
        assert!(
            rtt.abs_diff(Duration::from_millis(50)) < Duration::from_micros(50),
            "{rtt:?}"
        );
        assert_eq!(round_trip(back, 0, 0), None);
        assert_eq!(round_trip(sent, back.middle(), 0), None);
    }

    proptest! {
        #[test]
        fn nanoseconds_survive(secs in 0u64..6_000_000_000, nanos in 0u32..1_000_000_000) {
            let unix = Duration::new(secs, nanos);
            prop_assume!(secs < (1 << 32) - UNIX_EPOCH_SECONDS + (1 << 31));
            prop_assert_eq!(NtpTime::from_unix(unix).to_unix(), unix);
        }

        #[test]
        fn nothing_panics(a in any::<u64>(), b in any::<u64>(), lsr in any::<u32>(), dlsr in any::<u32>()) {
            NtpTime(a).to_unix();
            NtpTime(a).nanos_since(NtpTime(b));
            round_trip(NtpTime(a), lsr, dlsr);
        }
    }
}
