//! What of the losses is congestion.
//!
//! A queue that overflows loses when much is sent, and no more when less is; a radio loses whatever is
//! sent. Which of them it is shows by trial: where packets are lost all the time, less is sent for a
//! second. If as many are lost as before, that share is the path's nature, and only what is above it
//! counts from then on.

use duet_media::MediaTime;
use std::time::Duration;

/// A share is told of this long at least, and of so many packets.
const SPAN: Duration = Duration::from_millis(500);
const LEAST_PACKETS: u32 = 25;
/// Less than this is not worth a trial.
const LITTLE: f64 = 0.02;
/// More than this is never nature.
const MOST_INHERENT: f64 = 0.25;
/// If no more than this share of the losses is left when less is sent, they were congestion.
const CURED: f64 = 0.5;
/// Spans of a trial.
const TRIAL_SPANS: u32 = 2;
/// Until the next trial, where the last showed nature, and where it showed congestion.
const NEXT_TRIAL: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(8));

/// What a report's packets show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LossNews {
    /// This share was lost of late to congestion.
    Congested(f64),
    /// Less is to be sent, to see whether that helps.
    TrialBegins,
    /// It did, or it did not.
    TrialEnds { cured: bool },
}

#[derive(Debug)]
struct Trial {
    /// What arrives from then on was sent at the lower rate.
    counts_from: MediaTime,
    share_before: f64,
    spans: u32,
    packets: u32,
    lost: u32,
}

#[derive(Debug, Default)]
pub(super) struct Loss {
    packets: u32,
    lost: u32,
    begun: Option<MediaTime>,
    smoothed: f64,
    /// The share that is lost whatever is sent.
    inherent: f64,
    /// Spans in a row that were worth a trial.
    worth: u32,
    trial: Option<Trial>,
    next_trial: MediaTime,
}

impl Loss {
    /// Counts a report's packets.
    pub(super) fn on_report(
        &mut self,
        packets: u32,
        lost: u32,
        now: MediaTime,
        round_trip: Duration,
    ) -> Option<LossNews> {
        self.packets += packets;
        self.lost += lost;
        let share = f64::from(lost) / f64::from(packets.max(1));
        self.smoothed += (share - self.smoothed) * 0.1;
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_since(begun) < SPAN || self.packets < LEAST_PACKETS {
            return None;
        }
        let (packets, lost) = (self.packets, self.lost);
        let share = f64::from(lost) / f64::from(packets);
        (self.packets, self.lost, self.begun) = (0, 0, Some(now));
        if let Some(trial) = &mut self.trial {
            if begun < trial.counts_from {
                return None;
            }
            trial.spans += 1;
            trial.packets += packets;
            trial.lost += lost;
            if trial.spans < TRIAL_SPANS {
                return None;
            }
            return self.end_trial(now);
        }
        // What is lost no more never was nature.
        self.inherent = self.inherent.min(share);
        let congested = share - self.inherent;
        self.worth = if congested > LITTLE {
            self.worth + 1
        } else {
            0
        };
        if self.worth >= TRIAL_SPANS && now >= self.next_trial {
            self.worth = 0;
            self.trial = Some(Trial {
                counts_from: now + round_trip,
                share_before: self.smoothed.max(share),
                spans: 0,
                packets: 0,
                lost: 0,
            });
            return Some(LossNews::TrialBegins);
        }
        Some(LossNews::Congested(congested))
    }

    /// The rate changes for another reason: a trial would show nothing.
    pub(super) fn break_off(&mut self) {
        self.trial = None;
    }

    /// Share of packets lost of late.
    pub(super) fn share(&self) -> f64 {
        self.smoothed
    }

    fn end_trial(&mut self, now: MediaTime) -> Option<LossNews> {
        let trial = self.trial.take()?;
        let share = f64::from(trial.lost) / f64::from(trial.packets.max(1));
        let cured = share < trial.share_before * CURED;
        self.inherent = share.min(MOST_INHERENT);
        let (nature, congestion) = NEXT_TRIAL;
        self.next_trial = now + if cured { congestion } else { nature };
        Some(LossNews::TrialEnds { cured })
    }
}
