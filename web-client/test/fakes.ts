/** Time, sockets and peer connections that a test holds in its hand. */

import type { Timers } from "../src/backoff";
import type { NegotiablePeerConnection } from "../src/negotiation";
import type { ClientMessage, ServerMessage } from "../src/protocol";
import type { Socket } from "../src/signaling";

/** A clock that moves only when told. */
export class FakeTimers implements Timers {
  private now = 0;
  private last = 0;
  private readonly due = new Map<number, { at: number; callback: () => void }>();

  readonly set = (callback: () => void, milliseconds: number): number => {
    this.last += 1;
    this.due.set(this.last, { at: this.now + milliseconds, callback });
    return this.last;
  };

  readonly clear = (timer: number): void => {
    this.due.delete(timer);
  };

  get pending(): number {
    return this.due.size;
  }

  /** Milliseconds until the next timer; `null` if none is set. */
  get next(): number | null {
    const times = [...this.due.values()].map(({ at }) => at - this.now);
    return times.length === 0 ? null : Math.min(...times);
  }

  async advance(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    for (;;) {
      const first = [...this.due].sort(([, a], [, b]) => a.at - b.at)[0];
      if (first === undefined || first[1].at > end) break;
      this.due.delete(first[0]);
      this.now = first[1].at;
      first[1].callback();
      await settle();
    }
    this.now = end;
    await settle();
  }
}

/** Lets every promise that can go on do so. */
export async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

export class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readyState = 0;
  closedWith: number | null = null;
  readonly sent: ClientMessage[] = [];

  get asSocket(): Socket {
    return this as unknown as Socket;
  }

  send(data: string): void {
    if (this.readyState !== 1) throw new Error("sent on a socket that is not open");
    this.sent.push(JSON.parse(data) as ClientMessage);
  }

  close(code?: number): void {
    this.readyState = 3;
    this.closedWith ??= code ?? 1005;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(message: ServerMessage): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** What the browser does when the other end is gone. */
  break(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }

  sentOf<T extends ClientMessage["type"]>(type: T): Extract<ClientMessage, { type: T }>[] {
    return this.sent.filter((message) => message.type === type) as Extract<
      ClientMessage,
      { type: T }
    >[];
  }
}

/** Enough of JSEP's state machine for negotiation: states, rollback, and refusals where due. */
export class FakeConnection {
  signalingState: RTCSignalingState = "stable";
  localDescription: RTCSessionDescription | null = null;
  remoteDescription: RTCSessionDescription | null = null;
  onnegotiationneeded: (() => void) | null = null;
  onicecandidate: ((event: { candidate: unknown }) => void) | null = null;
  readonly added: RTCIceCandidateInit[] = [];
  restarts = 0;
  cannotAnswer = false;
  rollbacks = 0;
  /** Held back, until the test lets it go. */
  gate: Promise<void> = Promise.resolve();
  private serial = 0;
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get asConnection(): NegotiablePeerConnection {
    return this as unknown as NegotiablePeerConnection;
  }

  async setLocalDescription(description?: RTCLocalSessionDescriptionInit): Promise<void> {
    await this.gate;
    if (description?.type === "rollback") {
      this.rollbacks += 1;
      this.signalingState = "stable";
      this.onnegotiationneeded?.();
      return;
    }
    if (this.cannotAnswer && this.signalingState === "have-remote-offer") {
      throw new DOMException("no answer", "OperationError");
    }
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    this.signalingState = type === "offer" ? "have-local-offer" : "stable";
    this.serial += 1;
    this.localDescription = { type, sdp: `${type} ${this.serial} of ${this.name}` } as RTCSessionDescription;
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    await this.gate;
    if (description.type === "rollback") {
      this.signalingState = "stable";
      return;
    }
    if (description.sdp === "garbage") throw new DOMException("no SDP", "OperationError");
    if (description.type === "answer" && this.signalingState !== "have-local-offer") {
      throw new DOMException("no offer to answer", "InvalidStateError");
    }
    if (description.type === "offer" && this.signalingState === "have-local-offer") this.rollbacks += 1;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
    this.remoteDescription = description as RTCSessionDescription;
  }

  async addIceCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    if (candidate.candidate === "garbage") throw new DOMException("no candidate", "OperationError");
    this.added.push(candidate);
    return Promise.resolve();
  }

  restartIce(): void {
    this.restarts += 1;
    this.onnegotiationneeded?.();
  }

  gather(candidate: Partial<RTCIceCandidate> | null): void {
    this.onicecandidate?.({ candidate });
  }
}
