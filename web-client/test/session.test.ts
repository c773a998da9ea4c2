import { beforeEach, describe, expect, it } from "vitest";
import { INITIAL, reduce, statusOf, type CallEvent, type CallState } from "../src/call";
import { fingerprintOf, type LinkOptions } from "../src/link";
import type { ClientMessage, PeerInfo, ServerMessage } from "../src/protocol";
import { CallSession, SILENCE, TAKE_OVER_DELAY, type SessionLink } from "../src/session";
import { FakeSocket, FakeTimers } from "./fakes";

/** A link that records what it is told; the test plays the network behind it. */
class FakeLink {
  readonly tracks: { kind: string; muted: boolean }[] = [];
  readonly remote = {
    getVideoTracks: () => this.tracks.filter(({ kind }) => kind === "video"),
    getTracks: () => this.tracks,
  };
  bytes = 0;
  readonly connection = {
    connectionState: "new" as RTCPeerConnectionState,
    getStats: () => Promise.resolve(new Map([["i", { type: "inbound-rtp", bytesReceived: this.bytes }]])),
  };
  readonly descriptions: string[] = [];
  readonly candidates: string[] = [];
  rejections = 0;
  remoteSdp: string | null = null;
  closed = false;
  returns = 0;
  polite: boolean | null = null;
  readonly options: LinkOptions;

  constructor(options: LinkOptions) {
    this.options = options;
  }

  get isUntouched(): boolean {
    return this.remoteSdp === null;
  }

  isDescribedBy(sdp: string): boolean {
    return this.remoteSdp !== null && fingerprintOf(this.remoteSdp) === fingerprintOf(sdp);
  }

  receiveDescription(type: "offer" | "answer", sdp: string): void {
    this.descriptions.push(type);
    this.remoteSdp = sdp;
  }

  receiveCandidate({ candidate }: { candidate: string }): void {
    this.candidates.push(candidate);
  }

  receiveReject(): void {
    this.rejections += 1;
  }

  replaceLocal(): Promise<void> {
    return Promise.resolve();
  }

  rebind(polite: boolean): void {
    this.polite = polite;
  }

  renegotiate(): void {
    this.options.sendDescription("offer", "again");
  }

  signalingReturned(): void {
    this.returns += 1;
  }

  close(): void {
    this.closed = true;
  }

  become(state: RTCPeerConnectionState): void {
    this.connection.connectionState = state;
    this.options.onState(state);
  }

  /** The remote picture begins. */
  showPicture(): void {
    this.tracks.push({ kind: "video", muted: false });
    this.options.onRemoteChange();
  }
}

const ben: PeerInfo = { id: "ben", name: "Ben", polite: false };

let timers: FakeTimers;
let sockets: FakeSocket[];
let links: FakeLink[];
let state: CallState;
let shown: unknown;
let session: CallSession;

beforeEach(() => {
  timers = new FakeTimers();
  sockets = [];
  links = [];
  shown = null;
  const wanted = { camera: true, microphone: true };
  state = [
    { type: "start", room: "demo" } as const,
    { type: "captured", camera: "on", microphone: "on", wanted } as const,
  ].reduce<CallState>(reduce, INITIAL);
  session = new CallSession({
    url: "ws://server/ws",
    openSocket: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket.asSocket;
    },
    timers,
    random: () => 1,
    tokens: { read: () => null, write: () => {}, clear: () => {} },
    createLink: (options) => {
      const link = new FakeLink(options);
      links.push(link);
      return link as unknown as SessionLink;
    },
    local: { stream: {} as MediaStream, camera: null, microphone: null },
    dispatch: (event: CallEvent) => (state = reduce(state, event)),
    onRemote: (stream) => (shown = stream),
    onProblem: () => {},
  });
});

function status(): string {
  const { phase, reason } = statusOf(state);
  return reason === null ? phase : `${phase}: ${reason}`;
}

function socket(): FakeSocket {
  const last = sockets.at(-1);
  if (last === undefined) throw new Error("no socket");
  return last;
}

function link(index: number): FakeLink {
  const found = links[index];
  if (found === undefined) throw new Error(`no link ${index}`);
  return found;
}

function say(message: ServerMessage): void {
  socket().say(message);
}

function enter(...peers: PeerInfo[]): void {
  socket().open();
  say({
    type: "joined",
    version: 1,
    id: "me",
    room: "demo",
    peers,
    iceServers: [],
    heartbeatSeconds: 10,
    resumeToken: "t",
  });
}

function join(...peers: PeerInfo[]): void {
  session.join({ room: "demo", name: null });
  enter(...peers);
}

function sdp(fingerprint: string): string {
  return `v=0\r\na=fingerprint:sha-256 ${fingerprint}\r\n`;
}

/** This page waits, Ben comes and offers, and the two are connected. */
function inCallWithBen(): FakeLink {
  join();
  say({ type: "peer-joined", peer: ben });
  say({ type: "offer", from: "ben", sdp: sdp("B1") });
  link(0).become("connected");
  link(0).showPicture();
  return link(0);
}

async function reconnect(...peers: PeerInfo[]): Promise<void> {
  await timers.advance(timers.next ?? 0);
  enter(...peers);
}

/** The server was away, and whoever answers now has another certificate. */
async function metAStranger(): Promise<FakeLink> {
  const old = inCallWithBen();
  socket().break();
  await reconnect({ ...ben, id: "ben 2", polite: true });
  say({ type: "answer", from: "ben 2", sdp: sdp("B2") });
  return old;
}

function sent<T extends ClientMessage["type"]>(type: T): Extract<ClientMessage, { type: T }>[] {
  return sockets.flatMap((one) => one.sentOf(type));
}

describe("two meet", () => {
  it("whoever was there first waits for the offer, and is impolite", () => {
    inCallWithBen();
    expect(links).toHaveLength(1);
    expect(link(0).options).toMatchObject({ offers: false, polite: false });
    expect(link(0).descriptions).toEqual(["offer"]);
    expect(status()).toBe("connected");
    expect(shown).toBe(link(0).remote);
  });

  it("the newcomer offers, and is polite", () => {
    join({ ...ben, polite: true });
    expect(link(0).options).toMatchObject({ offers: true, polite: true });
    expect(status()).toBe("connecting: negotiating");
    link(0).options.sendDescription("offer", sdp("A1"));
    link(0).options.sendCandidate({ candidate: "", sdpMid: "0", sdpMLineIndex: 0, usernameFragment: null });
    expect(sent("offer")).toEqual([{ type: "offer", to: "ben", sdp: sdp("A1") }]);
    expect(sent("candidate")).toEqual([
      { type: "candidate", to: "ben", candidate: "", sdpMid: "0", sdpMLineIndex: 0 },
    ]);
    say({ type: "answer", from: "ben", sdp: sdp("B1") });
    say({ type: "candidate", from: "ben", candidate: "c" });
    expect(link(0).descriptions).toEqual(["answer"]);
    expect(link(0).candidates).toEqual(["c"]);
  });

  it("an offer that cannot be taken is rejected, and the one who made it is told", () => {
    inCallWithBen();
    link(0).options.sendReject();
    expect(sent("reject")).toEqual([{ type: "reject", to: "ben" }]);
    say({ type: "reject", from: "ben" });
    expect(link(0).rejections).toBe(1);
    expect(status()).toBe("connected");
  });

  it("what comes from nobody in the room goes nowhere", () => {
    inCallWithBen();
    say({ type: "reject", from: "eve" });
    expect(link(0).rejections).toBe(0);
    say({ type: "answer", from: "eve", sdp: sdp("E") });
    say({ type: "offer", from: "eve", sdp: sdp("E") });
    say({ type: "candidate", from: "eve", candidate: "c" });
    say({ type: "bye", from: "eve" });
    say({ type: "peer-left", id: "eve", reason: "left" });
    expect(links).toHaveLength(1);
    expect(link(0).descriptions).toEqual(["offer"]);
    expect(status()).toBe("connected");
  });

  it("a third in a larger room does not break into the call", () => {
    inCallWithBen();
    say({ type: "peer-joined", peer: { id: "cyd", polite: false } });
    say({ type: "offer", from: "cyd", sdp: sdp("C") });
    expect(links).toHaveLength(1);
    expect(status()).toBe("connected");
    // But takes the place of whoever leaves.
    say({ type: "peer-left", id: "ben", reason: "left" });
    expect(links).toHaveLength(2);
    expect(status()).toBe("connecting: negotiating");
  });
});

describe("the other side goes", () => {
  it("by hanging up, and may call again", () => {
    inCallWithBen();
    say({ type: "bye", from: "ben" });
    expect(link(0).closed).toBe(true);
    expect(shown).toBeNull();
    expect(status()).toBe("ended: peer-hung-up");
    say({ type: "offer", from: "ben", sdp: sdp("B2") });
    expect(status()).toBe("connecting: negotiating");
    expect(link(1).descriptions).toEqual(["offer"]);
  });

  it("by leaving", () => {
    inCallWithBen();
    say({ type: "peer-left", id: "ben", reason: "left" });
    expect(status()).toBe("ended: peer-left");
  });

  it("by a reload: the new page is called at once", () => {
    inCallWithBen();
    say({ type: "bye", from: "ben" });
    say({ type: "peer-left", id: "ben", reason: "left" });
    say({ type: "peer-joined", peer: { ...ben, id: "ben 2" } });
    expect(links).toHaveLength(2);
    expect(status()).toBe("connecting: negotiating");
  });

  it("by falling silent together with its socket", async () => {
    const old = inCallWithBen();
    say({ type: "peer-left", id: "ben", reason: "gone" });
    expect(status()).toBe("connected");
    for (let i = 0; i < 10; i += 1) {
      old.bytes += 1_000;
      await timers.advance(500);
    }
    expect(status()).toBe("connected");
    await timers.advance(SILENCE + 500);
    expect(status()).toBe("ended: peer-left");
    expect(old.closed).toBe(true);
  });

  it("before it was ever connected", () => {
    join();
    say({ type: "peer-joined", peer: ben });
    say({ type: "peer-left", id: "ben", reason: "gone" });
    expect(status()).toBe("ended: peer-left");
  });

  it("when the path breaks and nobody is there to mend it with", () => {
    const old = inCallWithBen();
    say({ type: "peer-left", id: "ben", reason: "gone" });
    old.become("disconnected");
    expect(status()).toBe("ended: peer-left");
  });
});

describe("the server goes", () => {
  it("and media goes on; after the rejoin the link is kept", async () => {
    const old = inCallWithBen();
    socket().break();
    expect(status()).toBe("connected: signaling-lost");
    await reconnect({ ...ben, id: "ben 2", polite: true });
    expect(status()).toBe("connected");
    // The roles are those of the new membership.
    expect(old.polite).toBe(true);
    expect(sent("offer")).toEqual([{ type: "offer", to: "ben 2", sdp: "again" }]);
    say({ type: "answer", from: "ben 2", sdp: sdp("B1") });
    say({ type: "candidate", from: "ben 2", candidate: "c" });
    expect(old.descriptions).toEqual(["offer", "answer"]);
    expect(old.candidates).toEqual(["c"]);
    expect(links).toHaveLength(1);
    session.hangUp();
    expect(sent("bye")).toEqual([{ type: "bye", to: "ben 2" }]);
  });

  it("and the answer is a stranger's: a new link takes over once its picture is there", async () => {
    const old = await metAStranger();
    expect(status()).toBe("connected");
    expect(link(1).options.offers).toBe(true);
    expect(old.descriptions).toEqual(["offer"]);
    expect(shown).toBe(old.remote);
    link(1).become("connected");
    expect(shown).toBe(old.remote);
    link(1).showPicture();
    expect(shown).toBe(link(1).remote);
    expect(old.closed).toBe(true);
    expect(status()).toBe("connected");
  });

  it("and a new link without a picture takes over after a moment", async () => {
    const old = await metAStranger();
    link(1).become("connected");
    await timers.advance(TAKE_OVER_DELAY);
    expect(old.closed).toBe(true);
    expect(status()).toBe("connected");
  });

  it("and the other side, back first, keeps the link that it has", async () => {
    const old = inCallWithBen();
    socket().break();
    await reconnect();
    expect(status()).toBe("connected");
    say({ type: "peer-joined", peer: { ...ben, id: "ben 2" } });
    expect(links).toHaveLength(1);
    expect(old.returns).toBe(1);
    expect(old.polite).toBe(false);
    // By its certificate the offer belongs to the connection that there is.
    say({ type: "offer", from: "ben 2", sdp: sdp("B1") });
    expect(links).toHaveLength(1);
    expect(old.descriptions).toEqual(["offer", "offer"]);
    // By this one it does not.
    say({ type: "offer", from: "ben 2", sdp: sdp("B2") });
    expect(links).toHaveLength(2);
    expect(link(1).descriptions).toEqual(["offer"]);
    expect(old.closed).toBe(false);
  });

  it("and takes the path with it: the link is mended over the new membership", async () => {
    const old = inCallWithBen();
    socket().break();
    old.become("disconnected");
    expect(status()).toBe("reconnecting: media-interrupted");
    expect(old.options.canSignal()).toBe(false);
    await reconnect({ ...ben, polite: true });
    expect(old.options.canSignal()).toBe(true);
    expect(old.returns).toBe(1);
    old.become("connected");
    expect(status()).toBe("connected");
    expect(links).toHaveLength(1);
  });

  it("and takes the path with it for good: a new link is made at once", async () => {
    const old = inCallWithBen();
    socket().break();
    old.become("failed");
    await reconnect({ ...ben, polite: true });
    expect(old.closed).toBe(true);
    expect(links).toHaveLength(2);
    expect(status()).toBe("connecting: negotiating");
  });

  it("and the old path breaks while the new link is on its way: it takes over at once", async () => {
    const old = await metAStranger();
    old.become("failed");
    expect(old.closed).toBe(true);
    link(1).become("connected");
    expect(status()).toBe("connected");
  });

  it("and the room is full when it comes back: the call stands, the door is tried again", async () => {
    inCallWithBen();
    socket().break();
    await timers.advance(timers.next ?? 0);
    socket().open();
    const count = sockets.length;
    say({ type: "error", code: "room-full", message: "Full.", fatal: false });
    expect(status()).toBe("connected: signaling-lost");
    await timers.advance(10_000);
    expect(sockets).toHaveLength(count + 1);
  });

  it("before anybody came: nothing is lost but time", async () => {
    join();
    socket().break();
    expect(status()).toBe("reconnecting: signaling-lost");
    await reconnect();
    expect(status()).toBe("connecting: waiting");
  });
});

describe("the other end of a link closes", () => {
  it("and with it the call", () => {
    const only = inCallWithBen();
    only.options.onRemoteClosed();
    say({ type: "bye", from: "ben" });
    expect(status()).toBe("ended: peer-hung-up");
    expect(links).toHaveLength(1);
  });

  it("because it took to the new link a moment earlier", async () => {
    const old = await metAStranger();
    link(1).become("connected");
    old.options.onRemoteClosed();
    expect(shown).toBe(link(1).remote);
    expect(status()).toBe("connected");
  });
});

describe("the path breaks", () => {
  it("and comes back", () => {
    const only = inCallWithBen();
    only.become("disconnected");
    expect(status()).toBe("reconnecting: media-interrupted");
    only.become("connected");
    expect(status()).toBe("connected");
  });

  it("for good: the call has failed, and everything is given back", () => {
    const only = inCallWithBen();
    only.become("failed");
    only.options.onGiveUp();
    expect(status()).toBe("failed: connection-lost");
    expect(only.closed).toBe(true);
    expect(sent("bye")).toEqual([{ type: "bye", to: "ben" }]);
    expect(timers.pending).toBe(0);
  });
});

describe("the door", () => {
  it.each([
    ["room-full", false, "failed: room-full"],
    ["bad-room-name", false, "failed: bad-room"],
    ["server-full", true, "failed: server-refused"],
    ["version", true, "failed: server-refused"],
    ["room-limit", false, "failed: server-refused"],
  ] as const)("is closed: %s", (code, fatal, expected) => {
    session.join({ room: "demo", name: null });
    socket().open();
    say({ type: "error", code, message: "No.", fatal });
    expect(status()).toBe(expected);
    expect(socket().closedWith).toBe(1000);
    expect(timers.pending).toBe(0);
  });

  it("an error about one message is no end", () => {
    inCallWithBen();
    say({ type: "error", code: "no-such-peer", message: "Gone.", fatal: false });
    expect(status()).toBe("connected");
  });

  it("another tab takes the seat", () => {
    inCallWithBen();
    socket().break(4001);
    expect(status()).toBe("failed: replaced");
    expect(link(0).closed).toBe(true);
  });
});

it("hangs up with a goodbye, once, and closes everything", () => {
  const only = inCallWithBen();
  session.hangUp();
  session.hangUp();
  expect(sent("bye")).toEqual([{ type: "bye", to: "ben" }]);
  expect(sent("leave")).toHaveLength(1);
  expect(only.closed).toBe(true);
  expect(shown).toBeNull();
  expect(timers.pending).toBe(0);
});
