import { beforeEach, describe, expect, it } from "vitest";
import type { Joined, ServerMessage } from "../src/protocol";
import {
  ANSWER_TIMEOUT,
  BACKOFF,
  sessionTokens,
  SignalingClient,
  signalingUrl,
  type TokenStore,
} from "../src/signaling";
import { FakeSocket, FakeTimers } from "./fakes";

const joined: Joined = {
  type: "joined",
  version: 1,
  id: "me",
  room: "demo",
  peers: [],
  iceServers: [],
  heartbeatSeconds: 10,
  resumeToken: "token 1",
};

let timers: FakeTimers;
let sockets: FakeSocket[];
let heard: ServerMessage[];
let problems: string[];
let downs: number;
let takenOver: number;
let tokens: TokenStore;
let client: SignalingClient;

beforeEach(() => {
  timers = new FakeTimers();
  sockets = [];
  heard = [];
  problems = [];
  downs = takenOver = 0;
  tokens = sessionTokens(memory());
  client = new SignalingClient({
    url: "ws://server/ws",
    openSocket: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket.asSocket;
    },
    timers,
    random: () => 1,
    tokens,
    onMessage: (message) => heard.push(message),
    onDown: () => (downs += 1),
    onTakenOver: () => (takenOver += 1),
    onProblem: (error) => problems.push(error.code),
  });
});

function memory(): Storage {
  const kept = new Map<string, string>();
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  } as unknown as Storage;
}

function socket(): FakeSocket {
  const last = sockets.at(-1);
  if (last === undefined) throw new Error("no socket was opened");
  return last;
}

function join(): void {
  client.join({ room: "demo", name: "Ada" });
  socket().open();
  socket().say(joined);
}

describe("joining", () => {
  it("asks for the room as soon as the socket is open, and reports the answer", () => {
    client.join({ room: "demo", name: "Ada" });
    expect(client.isJoined).toBe(false);
    expect(client.send({ type: "bye", to: "x" })).toBe(false);
    socket().open();
    expect(socket().sent).toEqual([{ type: "join", version: 1, room: "demo", name: "Ada" }]);
    socket().say(joined);
    expect(client.isJoined).toBe(true);
    expect(heard).toEqual([joined]);
    expect(client.send({ type: "bye", to: "x" })).toBe(true);
  });

  it("says nothing of a name that there is not", () => {
    client.join({ room: "demo", name: null });
    socket().open();
    expect(socket().sent).toEqual([{ type: "join", version: 1, room: "demo" }]);
  });

  it("leaves with a word, forgets its token and tries no more", () => {
    join();
    client.leave({ keepToken: false });
    expect(socket().sentOf("leave")).toHaveLength(1);
    expect(socket().closedWith).toBe(1000);
    expect(tokens.read("demo")).toBeNull();
    expect(timers.pending).toBe(0);
  });

  it("keeps the token of a page that is unloaded", () => {
    join();
    client.leave({ keepToken: true });
    expect(socket().sentOf("leave")).toHaveLength(1);
    expect(tokens.read("demo")).toBe("token 1");
  });
});

describe("a socket that breaks", () => {
  it("is opened again after growing pauses, and joins with the newest token", async () => {
    join();
    const pauses: number[] = [];
    for (let i = 0; i < 7; i += 1) {
      const count = sockets.length;
      socket().break();
      pauses.push(timers.next ?? -1);
      await timers.advance(timers.next ?? 0);
      expect(sockets).toHaveLength(count + 1);
    }
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, BACKOFF.longest, BACKOFF.longest]);
    expect(downs).toBe(7);
    socket().open();
    expect(socket().sentOf("join")[0]?.resumeToken).toBe("token 1");
    socket().say({ ...joined, resumeToken: "token 2" });
    expect(tokens.read("demo")).toBe("token 2");
  });

  it("does not hurry after a membership that lasted no time", async () => {
    for (const pause of [500, 1_000, 2_000]) {
      if (sockets.length === 0) client.join({ room: "demo", name: null });
      socket().open();
      socket().say(joined);
      socket().break(1008);
      expect(timers.next).toBe(pause);
      await timers.advance(pause);
    }
    socket().open();
    socket().say(joined);
    await timers.advance(10_000);
    socket().say({ type: "pong" });
    socket().break();
    expect(timers.next).toBe(500);
  });

  it("is not opened again where somebody took the membership over", () => {
    join();
    socket().break(4001);
    expect(takenOver).toBe(1);
    expect(downs).toBe(0);
    expect(timers.pending).toBe(0);
  });

  it("is given up when it does not open, or the server does not answer", async () => {
    client.join({ room: "demo", name: null });
    await timers.advance(ANSWER_TIMEOUT);
    expect(downs).toBe(1);
    expect(sockets[0]?.closedWith).toBe(1000);
    await timers.advance(500);
    socket().open();
    await timers.advance(ANSWER_TIMEOUT);
    expect(downs).toBe(2);
  });

  it("is opened at once when the network comes back", () => {
    join();
    socket().break();
    client.retryNow();
    expect(sockets).toHaveLength(2);
    client.retryNow();
    expect(sockets).toHaveLength(2);
  });

  it("is heard no more once it was replaced", () => {
    join();
    const old = socket();
    old.break();
    client.retryNow();
    old.say({ type: "bye", from: "x" });
    old.onclose?.({ code: 1006 });
    expect(heard).toHaveLength(1);
    expect(downs).toBe(1);
  });
});

describe("the heartbeat", () => {
  it("pings in the server's rhythm, and holds on while anything comes", async () => {
    join();
    for (let i = 0; i < 10; i += 1) {
      await timers.advance(10_000);
      socket().say({ type: "pong" });
    }
    expect(socket().sentOf("ping")).toHaveLength(10);
    expect(downs).toBe(0);
    // A pong concerns nobody else.
    expect(heard).toHaveLength(1);
  });

  it("holds a silent connection for dead", async () => {
    join();
    await timers.advance(20_000);
    expect(downs).toBe(0);
    await timers.advance(10_000);
    expect(downs).toBe(1);
    expect(socket().closedWith).toBe(1000);
  });

  it("does not take a senseless period from a server", async () => {
    client.join({ room: "demo", name: null });
    socket().open();
    socket().say({ ...joined, heartbeatSeconds: 0 });
    await timers.advance(999);
    expect(socket().sentOf("ping")).toHaveLength(0);
    await timers.advance(1);
    expect(socket().sentOf("ping")).toHaveLength(1);
  });
});

it("reports what is no message, and goes on", () => {
  join();
  socket().onmessage?.({ data: "hello" });
  socket().onmessage?.({ data: new ArrayBuffer(4) });
  socket().say({ type: "weather" } as unknown as ServerMessage);
  expect(problems).toEqual(["bad-message", "unknown-type"]);
  socket().say({ type: "bye", from: "x" });
  expect(heard).toHaveLength(2);
});

describe("the token", () => {
  it("is of one room, and survives storage that is forbidden or holds something else", () => {
    const store = memory();
    const kept = sessionTokens(store);
    kept.write("demo", "t");
    expect(kept.read("demo")).toBe("t");
    expect(kept.read("other")).toBeNull();
    store.setItem("duet.resume", "{");
    expect(kept.read("demo")).toBeNull();
    const refuse = () => {
      throw new DOMException("no", "SecurityError");
    };
    const forbidden = sessionTokens({ getItem: refuse, setItem: refuse, removeItem: refuse } as unknown as Storage);
    forbidden.write("demo", "t");
    forbidden.clear();
    expect(forbidden.read("demo")).toBeNull();
  });
});

it("finds the server beside the page", () => {
  expect(signalingUrl({ href: "https://host:8443/?room=demo&join=1#x" })).toBe("wss://host:8443/ws");
  expect(signalingUrl({ href: "http://localhost:8080/duet/index.html" })).toBe("ws://localhost:8080/duet/ws");
});
