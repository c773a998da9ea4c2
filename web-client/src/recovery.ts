/**
 * When to restart ICE: after a short grace when the path falters, at once when it failed, then
 * again with growing pauses, and after a bounded number of times no more.
 *
 * A policy only: it is told the connection's state and calls `restart` or `giveUp`.
 */

import { backoffDelay, type BackoffLimits, type Timers } from "./backoff";

export interface RecoveryOptions {
  readonly restart: () => void;
  readonly giveUp: () => void;
  /** Whether an offer would reach the other side now. */
  readonly canSignal: () => boolean;
  /** The side that offers restarts first, so that two restarts seldom cross. */
  readonly isFirst: () => boolean;
  readonly timers: Timers;
  readonly random: () => number;
}

/**
 * A path that falters mostly returns by itself, on the addresses that it had, and the other side may
 * drop those when it is offered others: what is this long gone is looked for. Milliseconds after
 * `disconnected`, which itself comes some five seconds late.
 */
export const GRACE = 8_000;
/** How much later the side that does not offer acts; milliseconds. */
export const SECOND_SIDE_DELAY = 3_000;
/** A first connection that takes longer than this is tried anew; milliseconds. */
export const CONNECT_TIMEOUT = 15_000;
/** Restarts in a row before the call is given up: with these pauses, about two minutes. */
export const MAX_RESTARTS = 10;

const PAUSE: BackoffLimits = { first: 4_000, longest: 15_000 };

export class IceRecovery {
  private readonly options: RecoveryOptions;
  private timer: number | null = null;
  private attempts = 0;
  /** A restart came due while signaling was away. */
  private waitsForSignaling = false;
  private failed = false;
  private stopped = false;

  constructor(options: RecoveryOptions) {
    this.options = options;
    this.after(CONNECT_TIMEOUT);
  }

  /** The connection's state changed. */
  onState(state: RTCPeerConnectionState): void {
    if (this.stopped) return;
    switch (state) {
      case "connected":
        this.clear();
        this.attempts = 0;
        this.failed = false;
        break;
      case "disconnected":
        if (this.attempts === 0) this.after(GRACE + this.handicap());
        break;
      case "failed":
        // The first failure is acted on at once; later ones wait for the pause that already runs.
        if (!this.failed && this.attempts === 0) this.after(this.handicap());
        this.failed = true;
        break;
      case "closed":
        this.stop();
        break;
      case "new":
      case "connecting":
        break;
    }
  }

  /** The other side offers anew: while it is at work, this side does not cut in. */
  remoteOffered(): void {
    if (this.timer !== null) this.after(PAUSE.longest + this.handicap());
  }

  /** Signaling works again: a restart that came due meanwhile happens now. */
  signalingReturned(): void {
    if (!this.waitsForSignaling || this.stopped) return;
    this.due();
  }

  stop(): void {
    this.stopped = true;
    this.clear();
  }

  private due(): void {
    this.clear();
    if (!this.options.canSignal()) {
      this.waitsForSignaling = true;
      return;
    }
    if (this.attempts >= MAX_RESTARTS) {
      this.stop();
      this.options.giveUp();
      return;
    }
    const pause = backoffDelay(this.attempts, PAUSE, this.options.random());
    this.attempts += 1;
    this.after(pause + this.handicap());
    this.options.restart();
  }

  private handicap(): number {
    return this.options.isFirst() ? 0 : SECOND_SIDE_DELAY;
  }

  private after(milliseconds: number): void {
    this.clear();
    this.timer = this.options.timers.set(() => {
      this.timer = null;
      this.due();
    }, milliseconds);
  }

  private clear(): void {
    if (this.timer !== null) this.options.timers.clear(this.timer);
    this.timer = null;
    this.waitsForSignaling = false;
  }
}
