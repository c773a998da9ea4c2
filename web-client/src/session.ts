/**
 * From joining a room to leaving it: who is there, which link belongs to whom, and what the page is
 * told. It owns the signaling socket and the links; it owns no local track and draws nothing.
 *
 * Media does not run over the server, so a lost socket ends no call. After a rejoin every id is
 * new; who is who shows in the certificates. The newcomer offers on the link that it has: if offer
 * or answer bear the certificate that the link knows, it goes on. If not, a fresh link is made, and
 * the old one carries picture and sound until the new one does.
 */

import type { CallEvent, Failure, Peer } from "./call";
import type { DeviceKind } from "./media";
import type { Link, LinkOptions, LocalMedia } from "./link";
import type { NegotiationStep } from "./negotiation";
import type { ErrorCode, Joined, LeaveReason, PeerInfo, ServerError, ServerMessage } from "./protocol";
import { bytesReceived } from "./stats";
import { SignalingClient, type Membership, type SignalingOptions } from "./signaling";

/** What the session uses of a link; a test passes its own. */
export type SessionLink = Pick<
  Link,
  | "connection"
  | "remote"
  | "receiveDescription"
  | "receiveCandidate"
  | "receiveReject"
  | "isDescribedBy"
  | "isUntouched"
  | "rebind"
  | "renegotiate"
  | "replaceLocal"
  | "signalingReturned"
  | "close"
>;

export interface SessionOptions
  extends Pick<SignalingOptions, "url" | "openSocket" | "timers" | "random" | "tokens"> {
  readonly createLink: (options: LinkOptions) => SessionLink;
  readonly local: LocalMedia;
  readonly dispatch: (event: CallEvent) => void;
  /** What the page shall show of the remote: another stream, or the same with other tracks. */
  readonly onRemote: (stream: MediaStream | null) => void;
  readonly onProblem: (what: string, error: unknown) => void;
}

/** How long a remote whose socket went may send nothing before it is held for gone; milliseconds. */
export const SILENCE = 2_000;
const SILENCE_CHECK = 500;

/** A link that is connected but shows no picture takes over after this; milliseconds. */
export const TAKE_OVER_DELAY = 2_000;

interface Bound {
  readonly link: SessionLink;
  /** Where its messages go. `null`: its remote has no seat in the room now. */
  peerId: string | null;
  name: string | null;
  everConnected: boolean;
}

export class CallSession {
  private readonly options: SessionOptions;
  private readonly signaling: SignalingClient;
  private readonly roster = new Map<string, PeerInfo>();
  private iceServers: RTCIceServer[] = [];
  /** The link whose media the page shows. */
  private shown: Bound | null = null;
  /** The link that is to take its place. */
  private next: Bound | null = null;
  private silenceTimer: number | null = null;
  private takeOverTimer: number | null = null;
  private over = false;

  constructor(options: SessionOptions) {
    this.options = options;
    this.signaling = new SignalingClient({
      ...options,
      onMessage: (message) => this.received(message),
      onDown: () => {
        this.roster.clear();
        for (const bound of [this.shown, this.next]) if (bound !== null) bound.peerId = null;
        options.dispatch({ type: "signaling-lost" });
        options.dispatch({ type: "unreachable" });
      },
      onTakenOver: () => this.fail("replaced", "This call goes on in another tab."),
      onProblem: (error) => options.onProblem("signaling", error),
    });
  }

  join(membership: Membership): void {
    this.signaling.join(membership);
  }

  /** The connection whose figures are of interest. */
  get connection(): RTCPeerConnection | null {
    return this.shown?.link.connection ?? null;
  }

  /** The network is there again. */
  online(): void {
    this.signaling.retryNow();
  }

  replaceLocal(kind: DeviceKind, track: MediaStreamTrack | null): void {
    for (const bound of [this.shown, this.next]) {
      bound?.link
        .replaceLocal(kind, track)
        .catch((error: unknown) => this.options.onProblem(kind, error));
    }
  }

  /** Says goodbye and gives everything back. Nothing is dispatched from here on. */
  hangUp(how = { keepToken: false }): void {
    if (this.over) return;
    for (const id of this.roster.keys()) this.signaling.send({ type: "bye", to: id });
    this.end(how.keepToken);
  }

  private received(message: ServerMessage): void {
    if (this.over) return;
    switch (message.type) {
      case "joined":
        return this.joined(message);
      case "peer-joined":
        return this.peerJoined(message.peer);
      case "peer-left":
        return this.peerLeft(message.id, message.reason);
      case "offer":
        return this.offered(message.from, message.sdp);
      case "answer":
        return this.answered(message.from, message.sdp);
      case "candidate": {
        const { candidate, sdpMid = null, sdpMLineIndex = null, usernameFragment = null } = message;
        this.linkOf(message.from)?.link.receiveCandidate({
          candidate,
          sdpMid,
          sdpMLineIndex,
          usernameFragment,
        });
        return;
      }
      case "reject":
        return this.linkOf(message.from)?.link.receiveReject();
      case "bye":
        return this.hungUp(message.from);
      case "error":
        return this.refused(message);
      case "pong":
        return;
    }
  }

  private joined(message: Joined): void {
    const { dispatch } = this.options;
    this.roster.clear();
    for (const peer of message.peers) this.roster.set(peer.id, peer);
    this.iceServers = message.iceServers;
    dispatch({ type: "joined" });
    // A call of two: of several, the first is the one.
    const [peer] = message.peers;
    const { shown } = this;
    if (peer === undefined) {
      if (shown !== null) this.listenForSilence();
    } else if (shown !== null && isAlive(shown)) {
      this.dropNext();
      this.rebind(shown, peer);
      shown.link.renegotiate();
    } else {
      this.begin(peer);
    }
  }

  private peerJoined(peer: PeerInfo): void {
    this.roster.set(peer.id, peer);
    const { shown } = this;
    if (shown === null) return this.begin(peer);
    if (shown.peerId !== null) return;
    // Most likely the one we are linked with came back. Its offer will tell.
    if (isAlive(shown)) this.rebind(shown, peer);
    else this.begin(peer);
  }

  /** From here on the link's messages go to `peer`, and come from there. */
  private rebind(bound: Bound, peer: PeerInfo): void {
    this.stopListening();
    bound.peerId = peer.id;
    bound.name = peer.name ?? null;
    bound.link.rebind(peer.polite, this.iceServers);
    bound.link.signalingReturned();
  }

  private peerLeft(id: string, reason: LeaveReason): void {
    this.roster.delete(id);
    const bound = this.linkOf(id);
    if (bound === null) return;
    bound.peerId = null;
    if (bound === this.next) this.dropNext();
    const { shown } = this;
    if (shown === null || reason === "left" || !isAlive(shown)) return this.gone("peer-left");
    // Its socket went, or it is about to come back: perhaps it is still there to be seen.
    this.listenForSilence();
  }

  private hungUp(id: string): void {
    // Whoever hangs up means the call, not one of its two links.
    if (this.linkOf(id) !== null) this.gone("peer-hung-up", id);
  }

  private offered(from: string, sdp: string): void {
    const known = [this.next, this.shown].filter((bound) => bound?.peerId === from);
    for (const bound of known) {
      if (bound !== null && (bound.link.isUntouched || bound.link.isDescribedBy(sdp))) {
        return bound.link.receiveDescription("offer", sdp);
      }
    }
    const peer = this.roster.get(from);
    if (peer === undefined) return;
    const { shown } = this;
    // In a room of more than two, somebody else calls into a call that stands.
    if (shown !== null && shown.peerId !== null && shown.peerId !== from && isAlive(shown)) return;
    if (shown !== null && shown.peerId === null && isAlive(shown) && shown.link.isDescribedBy(sdp)) {
      this.rebind(shown, peer);
      return shown.link.receiveDescription("offer", sdp);
    }
    // The remote made itself a new connection: it was reloaded, or joined again.
    this.begin(peer, false);
    this.linkOf(from)?.link.receiveDescription("offer", sdp);
  }

  private answered(from: string, sdp: string): void {
    const link = this.linkOf(from)?.link;
    if (link === undefined) return;
    if (link.isUntouched || link.isDescribedBy(sdp)) return link.receiveDescription("answer", sdp);
    // Somebody else sits where our remote sat.
    const peer = this.roster.get(from);
    if (peer !== undefined) this.begin(peer, true);
  }

  private refused({ code, message, fatal }: ServerError): void {
    const why = failureOf(code);
    if (why === null) {
      this.options.onProblem("signaling", message);
      // After a fatal one the socket closes, and is opened again after a pause.
      return;
    }
    // A call that stands is not ended by a server that came back without knowing it.
    if (this.shown !== null && isAlive(this.shown) && (!fatal || code === "server-full")) {
      return this.signaling.retryLater();
    }
    this.fail(why, message);
  }

  /** A fresh link to `peer`; beside the one that is shown, if that one still carries media. */
  private begin(peer: PeerInfo, offers = peer.polite): void {
    this.dropNext();
    this.stopListening();
    const bound = this.bind(peer, offers);
    if (this.shown !== null && isAlive(this.shown)) {
      this.shown.peerId = null;
      this.next = bound;
    } else {
      this.shown?.link.close();
      this.shown = bound;
      this.options.onRemote(null);
      this.options.dispatch({ type: "peer", peer: named(bound, peer.id), path: "connecting" });
    }
  }

  private bind(peer: PeerInfo, offers: boolean): Bound {
    const { options, signaling } = this;
    let bound: Bound | null = null;
    const to = (): string | null => bound?.peerId ?? null;
    const linkOptions: LinkOptions = {
      iceServers: this.iceServers,
      offers,
      polite: peer.polite,
      local: options.local,
      timers: options.timers,
      canSignal: () => signaling.isJoined && to() !== null,
      sendDescription: (type, sdp) => {
        const id = to();
        if (id !== null) signaling.send({ type, to: id, sdp });
      },
      sendCandidate: ({ candidate, sdpMid, sdpMLineIndex, usernameFragment }) => {
        const id = to();
        if (id === null) return;
        signaling.send({
          type: "candidate",
          to: id,
          candidate,
          ...(sdpMid === null ? {} : { sdpMid }),
          ...(sdpMLineIndex === null ? {} : { sdpMLineIndex }),
          ...(usernameFragment === null ? {} : { usernameFragment }),
        });
      },
      sendReject: () => {
        const id = to();
        if (id !== null) signaling.send({ type: "reject", to: id });
      },
      onState: (state) => {
        if (bound !== null) this.stateChanged(bound, state);
      },
      onRemoteChange: () => {
        if (bound !== null) this.remoteChanged(bound);
      },
      onRemoteClosed: () => {
        if (bound !== null) this.remoteClosed(bound);
      },
      onGiveUp: () => {
        if (bound !== null) this.gaveUp(bound);
      },
      onProblem: (step: NegotiationStep, error) => options.onProblem(step, error),
    };
    bound = {
      link: options.createLink(linkOptions),
      peerId: peer.id,
      name: peer.name ?? null,
      everConnected: false,
    };
    return bound;
  }

  private stateChanged(bound: Bound, state: RTCPeerConnectionState): void {
    if (state === "connected") bound.everConnected = true;
    if (bound === this.next) {
      if (state === "connected") this.considerTakeOver();
      return;
    }
    if (bound !== this.shown) return;
    if (state === "connected") {
      this.options.dispatch({ type: "path", path: "connected" });
      return;
    }
    if (state !== "disconnected" && state !== "failed" && state !== "closed") return;
    if (this.next !== null) return this.takeOver();
    // Nobody is there with whom the path could be mended.
    if (bound.peerId === null && this.signaling.isJoined) return this.gone("peer-left");
    if (bound.everConnected) this.options.dispatch({ type: "path", path: "interrupted" });
  }

  private remoteChanged(bound: Bound): void {
    if (bound === this.shown) this.options.onRemote(bound.link.remote);
    else if (bound === this.next) this.considerTakeOver();
  }

  /** The new link takes over when its picture is there, or when none comes in a fair time. */
  private considerTakeOver(): void {
    const { next } = this;
    if (next === null || !next.everConnected) return;
    if (next.link.remote.getVideoTracks().some((track) => !track.muted)) return this.takeOver();
    this.takeOverTimer ??= this.options.timers.set(() => this.takeOver(), TAKE_OVER_DELAY);
  }

  private takeOver(): void {
    const { next } = this;
    if (next === null) return;
    this.clearTakeOver();
    this.next = null;
    this.shown?.link.close();
    this.shown = next;
    this.options.onRemote(next.link.remote);
    const connected = next.link.connection.connectionState === "connected";
    this.options.dispatch({
      type: "peer",
      peer: named(next, next.peerId ?? ""),
      path: connected ? "connected" : "connecting",
    });
  }

  /**
   * The other end of this very link is closed. Whoever dies does not say so: this is a hang-up, and
   * its `bye`, which takes the way over the server, comes a moment later.
   */
  private remoteClosed(bound: Bound): void {
    if (bound === this.next) return this.dropNext();
    if (bound !== this.shown) return;
    if (this.next !== null) this.takeOver();
    else this.gone("peer-hung-up", bound.peerId);
  }

  private gaveUp(bound: Bound): void {
    if (bound === this.next) return this.dropNext();
    if (bound !== this.shown) return;
    this.hangUp();
    this.options.dispatch({ type: "gave-up" });
  }

  /** The call with whoever was there is over; this page stays in the room for whoever comes. */
  private gone(how: "peer-hung-up" | "peer-left", who: string | null = null): void {
    this.dropNext();
    this.stopListening();
    const { shown } = this;
    if (shown === null) return;
    shown.link.close();
    this.shown = null;
    this.options.onRemote(null);
    this.options.dispatch({ type: "peer-gone", how });
    // Somebody else may have come in the meantime.
    const waiting = [...this.roster.values()].find((peer) => peer.id !== (who ?? shown.peerId));
    if (waiting !== undefined) this.begin(waiting);
  }

  /** While the remote has no socket, only its media tells whether it lives. */
  private listenForSilence(): void {
    this.stopListening();
    const { shown } = this;
    if (shown === null) return;
    let last = -1;
    let silent = 0;
    const check = async (): Promise<void> => {
      const bytes = await bytesReceived(shown.link.connection);
      if (this.shown !== shown || this.silenceTimer === null) return;
      silent = bytes > last ? 0 : silent + SILENCE_CHECK;
      last = bytes;
      if (shown.peerId === null && silent >= SILENCE) return this.gone("peer-left");
      this.silenceTimer = this.options.timers.set(() => void check(), SILENCE_CHECK);
    };
    this.silenceTimer = this.options.timers.set(() => void check(), SILENCE_CHECK);
  }

  private stopListening(): void {
    if (this.silenceTimer !== null) this.options.timers.clear(this.silenceTimer);
    this.silenceTimer = null;
  }

  private dropNext(): void {
    this.clearTakeOver();
    this.next?.link.close();
    this.next = null;
  }

  private clearTakeOver(): void {
    if (this.takeOverTimer !== null) this.options.timers.clear(this.takeOverTimer);
    this.takeOverTimer = null;
  }

  private linkOf(id: string): Bound | null {
    if (this.next?.peerId === id) return this.next;
    return this.shown?.peerId === id ? this.shown : null;
  }

  private fail(why: Failure, message: string): void {
    this.end();
    this.options.dispatch({ type: "refused", why, message });
  }

  private end(keepToken = false): void {
    this.over = true;
    this.stopListening();
    this.dropNext();
    this.shown?.link.close();
    this.shown = null;
    this.signaling.leave({ keepToken });
    this.options.onRemote(null);
  }
}

/** Whether the link still carries media, or may do so again by itself. */
function isAlive({ link, everConnected }: Bound): boolean {
  const state = link.connection.connectionState;
  return everConnected && (state === "connected" || state === "disconnected");
}

function named(bound: Bound, id: string): Peer {
  return { id, name: bound.name };
}

/** Refusals that end the way into the room; `null` for those that concern one message. */
function failureOf(code: ErrorCode): Failure | null {
  switch (code) {
    case "room-full":
      return "room-full";
    case "bad-room-name":
      return "bad-room";
    case "version":
    case "room-limit":
    case "server-full":
      return "server-refused";
    case "bad-message":
    case "unknown-type":
    case "too-large":
    case "too-fast":
    case "no-such-peer":
    case "not-in-room":
    case "already-joined":
    case "other":
      return null;
  }
}
