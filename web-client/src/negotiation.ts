/**
 * Perfect negotiation: either side may change the call at any time, and when both do so at once
 * the polite one yields. The pattern is webrtc-pc's, section 10.7.
 *
 * It moves descriptions and candidates between one peer connection and one remote peer. It decides
 * neither when ICE restarts (see recovery.ts) nor which tracks there are (see link.ts).
 */

/** What this module uses of `RTCPeerConnection`; a test passes a fake. */
export type NegotiablePeerConnection = Pick<
  RTCPeerConnection,
  | "signalingState"
  | "localDescription"
  | "remoteDescription"
  | "setLocalDescription"
  | "setRemoteDescription"
  | "addIceCandidate"
  | "restartIce"
  | "onnegotiationneeded"
  | "onicecandidate"
>;

/** A candidate as it travels; the empty `candidate` ends a generation (RFC 8838, section 8.2). */
export interface Candidate {
  readonly candidate: string;
  readonly sdpMid: string | null;
  readonly sdpMLineIndex: number | null;
  readonly usernameFragment: string | null;
}

export interface NegotiatorOptions {
  readonly connection: NegotiablePeerConnection;
  /** Whether this side yields when two offers cross. */
  readonly polite: boolean;
  readonly sendDescription: (type: "offer" | "answer", sdp: string) => void;
  readonly sendCandidate: (candidate: Candidate) => void;
  /** The remote's offer could not be taken: it is told, or it would wait for its answer. */
  readonly sendReject: () => void;
  /** Runs between a remote offer and its answer: the place to add what this side sends. */
  readonly beforeAnswer?: () => void;
  /** What the remote said could not be applied, or this side could not describe itself. */
  readonly onProblem?: (step: NegotiationStep, error: unknown) => void;
}

export type NegotiationStep = "describe" | "offer" | "answer" | "candidate";

/** Candidates held until a description comes; a remote that sends more loses the rest. */
export const HELD_CANDIDATES = 64;

/** Offers in a row that may be rejected: what was refused so often is refused for good. */
export const MAX_REJECTED = 3;

export class Negotiator {
  private readonly options: NegotiatorOptions;
  private readonly connection: NegotiablePeerConnection;
  private polite: boolean;
  private makingOffer = false;
  private ignoreOffer = false;
  private settingRemoteAnswer = false;
  /** Offers of ours that were rejected, since a description of the remote's was taken last. */
  private rejected = 0;
  private held: Candidate[] = [];
  /** Of the generation being gathered: where its end belongs. `null` once the end was told. */
  private lastGathered: Candidate | null = null;
  private closed = false;

  constructor(options: NegotiatorOptions) {
    this.options = options;
    this.connection = options.connection;
    this.polite = options.polite;
    this.connection.onnegotiationneeded = () => {
      if (this.rejected < MAX_REJECTED) void this.offer();
    };
    this.connection.onicecandidate = (event) => this.gathered(event.candidate);
  }

  /** A remote offer or answer. Never rejects: what cannot be applied goes to `onProblem`. */
  async receiveDescription(type: "offer" | "answer", sdp: string): Promise<void> {
    if (this.closed) return;
    const { connection } = this;
    // While an answer is being applied the state is about to be stable: an offer may come.
    const readyForOffer =
      !this.makingOffer && (connection.signalingState === "stable" || this.settingRemoteAnswer);
    this.ignoreOffer = type === "offer" && !readyForOffer && !this.polite;
    if (this.ignoreOffer) return;

    try {
      this.settingRemoteAnswer = type === "answer";
      // For a polite side in glare this rolls its own offer back first.
      await connection.setRemoteDescription({ type, sdp });
    } catch (error) {
      this.problem(type, error);
      if (type === "offer") this.reject();
      return;
    } finally {
      this.settingRemoteAnswer = false;
    }
    this.rejected = 0;
    await this.releaseHeld();
    if (type === "offer") await this.answer();
  }

  /** A remote candidate, or the end of them. */
  async receiveCandidate(candidate: Candidate): Promise<void> {
    if (this.closed) return;
    if (this.connection.remoteDescription === null && !this.ignoreOffer) {
      if (this.held.length < HELD_CANDIDATES) this.held.push(candidate);
      return;
    }
    try {
      await this.connection.addIceCandidate({ ...candidate });
    } catch (error) {
      // Candidates of an offer that was ignored belong to nothing here.
      if (!this.ignoreOffer) this.problem("candidate", error);
    }
  }

  /**
   * The remote could not take the offer that is open. It is taken back; the connection then says by
   * `negotiationneeded` whether another is wanted.
   */
  async receiveReject(): Promise<void> {
    if (this.closed || this.connection.signalingState !== "have-local-offer") return;
    this.rejected += 1;
    if (this.rejected === MAX_REJECTED) {
      this.problem("describe", new Error("the other side can take no offer of this one"));
    }
    try {
      await this.connection.setLocalDescription({ type: "rollback" });
    } catch (error) {
      this.problem("describe", error);
    }
  }

  /** New ICE credentials and an offer with them; an offer that waits for its answer is repeated. */
  restartIce(): void {
    if (this.closed) return;
    // With other credentials an offer may fare better than those that were rejected.
    this.rejected = Math.min(this.rejected, MAX_REJECTED - 1);
    if (this.connection.signalingState === "have-local-offer") this.resend();
    else this.connection.restartIce();
  }

  /** After signaling was away: an offer may have been lost on the way, so it is told again. */
  resend(): void {
    const description = this.connection.localDescription;
    if (this.closed || this.connection.signalingState !== "have-local-offer") return;
    if (description !== null) this.options.sendDescription("offer", description.sdp);
  }

  /**
   * The remote is the same, but joined anew, and so the roles are too. An offer that was under way
   * may have been lost, and is told again.
   */
  rebind(polite: boolean): void {
    this.polite = polite;
    this.resend();
  }

  /** Offers what stands already, to find out whether the remote still is the one it was. */
  renegotiate(): void {
    if (!this.closed && this.connection.signalingState === "stable") void this.offer();
  }

  /** Nothing is sent or reported from here on. The connection itself stays its owner's. */
  close(): void {
    this.closed = true;
    this.held = [];
    this.connection.onnegotiationneeded = null;
    this.connection.onicecandidate = null;
  }

  private async offer(): Promise<void> {
    try {
      this.makingOffer = true;
      await this.connection.setLocalDescription();
      this.tell();
    } catch (error) {
      this.problem("describe", error);
    } finally {
      this.makingOffer = false;
    }
  }

  private async answer(): Promise<void> {
    try {
      if (this.closed) return;
      this.options.beforeAnswer?.();
      await this.connection.setLocalDescription();
      this.tell();
    } catch (error) {
      this.problem("describe", error);
      this.reject();
      // Left open, it would keep this side from ever offering. A connection that is closed has none.
      await this.connection.setRemoteDescription({ type: "rollback" }).catch(() => undefined);
    }
  }

  private reject(): void {
    if (!this.closed) this.options.sendReject();
  }

  private tell(): void {
    const description = this.connection.localDescription;
    if (this.closed || description === null) return;
    if (description.type === "offer" || description.type === "answer") {
      this.options.sendDescription(description.type, description.sdp);
    }
  }

  private async releaseHeld(): Promise<void> {
    const held = this.held;
    this.held = [];
    for (const candidate of held) await this.receiveCandidate(candidate);
  }

  /** Some browsers end a generation by an empty candidate, some by `null`, some by both. */
  private gathered(candidate: RTCIceCandidate | null): void {
    if (this.closed) return;
    if (candidate !== null) {
      const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
      const told = { candidate: candidate.candidate, sdpMid, sdpMLineIndex, usernameFragment };
      this.lastGathered = told.candidate === "" ? null : told;
      this.options.sendCandidate(told);
    } else if (this.lastGathered !== null) {
      const end = { ...this.lastGathered, candidate: "" };
      this.lastGathered = null;
      this.options.sendCandidate(end);
    }
  }

  private problem(step: NegotiationStep, error: unknown): void {
    if (!this.closed) this.options.onProblem?.(step, error);
  }
}
