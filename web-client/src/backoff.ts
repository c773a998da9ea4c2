/**
 * How long to wait before the next attempt: exponential, capped, with jitter, so that a server
 * that comes back is not met by all its clients in the same moment.
 */

export interface BackoffLimits {
  /** The first delay, milliseconds. */
  readonly first: number;
  /** No delay is longer, milliseconds. */
  readonly longest: number;
}

/** The delay before attempt `attempt` (0 is the first); half of it fixed, half by `random` (0..1). */
export function backoffDelay(attempt: number, limits: BackoffLimits, random: number): number {
  // 2 ** 30 is past any cap; a larger exponent would only lose precision.
  const full = Math.min(limits.longest, limits.first * 2 ** Math.min(Math.max(attempt, 0), 30));
  return Math.round(full / 2 + (full / 2) * random);
}

/** Timers as an argument, so that a test owns the time. */
export interface Timers {
  readonly set: (callback: () => void, milliseconds: number) => number;
  readonly clear: (timer: number) => void;
}

export const browserTimers: Timers = {
  set: (callback, milliseconds) => window.setTimeout(callback, milliseconds),
  clear: (timer) => window.clearTimeout(timer),
};
