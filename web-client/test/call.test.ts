import { describe, expect, it } from "vitest";
import {
  deviceReasons,
  INITIAL,
  inCall,
  reduce,
  statusOf,
  type CallEvent,
  type CallState,
  type Failure,
} from "../src/call";
import type { DeviceOutcome } from "../src/media";
import { viewOf } from "../src/view";

const ada = { id: "a", name: "Ada" };
const both = { camera: true, microphone: true };

const start: CallEvent = { type: "start", room: "demo" };
const captured: CallEvent = { type: "captured", camera: "on", microphone: "on", wanted: both };
const joined: CallEvent = { type: "joined" };
const peer: CallEvent = { type: "peer", peer: ada, path: "connecting" };
const connected: CallEvent = { type: "path", path: "connected" };
const interrupted: CallEvent = { type: "path", path: "interrupted" };
const lost: CallEvent = { type: "signaling-lost" };

function after(...events: CallEvent[]): CallState {
  return events.reduce(reduce, INITIAL);
}

function status(...events: CallEvent[]): string {
  const { phase, reason } = statusOf(after(...events));
  return reason === null ? phase : `${phase}: ${reason}`;
}

describe("the way into a call", () => {
  it.each<[string, CallEvent[]]>([
    ["idle", []],
    ["joining: asking-permission", [start]],
    ["joining: contacting-server", [start, captured]],
    ["joining: server-unreachable", [start, captured, { type: "unreachable" }]],
    ["connecting: waiting", [start, captured, joined]],
    ["connecting: negotiating", [start, captured, joined, peer]],
    ["connected", [start, captured, joined, peer, connected]],
  ])("%s", (expected, events) => {
    expect(status(...events)).toBe(expected);
  });

  it.each<[string, DeviceOutcome, DeviceOutcome]>([
    ["failed: permission-denied", "refused", "refused"],
    ["failed: permission-denied", "refused", "missing"],
    ["failed: devices-busy", "busy", "missing"],
    ["failed: no-devices", "missing", "missing"],
    ["joining: contacting-server", "on", "missing"],
    ["joining: contacting-server", "refused", "on"],
  ])("%s with a camera that is %s and a microphone that is %s", (expected, camera, microphone) => {
    const event: CallEvent = { type: "captured", camera, microphone, wanted: both };
    expect(status(start, event)).toBe(expected);
    // Whoever joins without does not fail for want of a device.
    expect(status(start, { ...event, silent: true })).toBe("joining: contacting-server");
    // A preview that shows nothing is no failed call.
    expect(status(event)).toBe("idle");
  });

  it("does not fail for a device that nobody wanted", () => {
    const none = { camera: false, microphone: false };
    const event: CallEvent = { type: "captured", camera: "off", microphone: "off", wanted: none };
    expect(status(start, event)).toBe("joining: contacting-server");
    const one = { camera: true, microphone: false };
    expect(
      status(start, { type: "captured", camera: "missing", microphone: "off", wanted: one }),
    ).toBe("failed: no-devices");
  });
});

describe("in a call", () => {
  const call = [start, captured, joined, peer, connected];

  it.each<[string, CallEvent[]]>([
    ["reconnecting: media-interrupted", [interrupted]],
    ["reconnecting: media-interrupted", [interrupted, { type: "path", path: "connecting" }]],
    ["connected", [interrupted, connected]],
    ["connected: signaling-lost", [lost]],
    ["connected", [lost, joined]],
    ["reconnecting: media-interrupted", [lost, interrupted]],
    ["connected", [{ type: "peer", peer: { id: "b", name: null }, path: "connected" }]],
    ["ended: peer-hung-up", [{ type: "peer-gone", how: "peer-hung-up" }]],
    ["ended: peer-left", [{ type: "peer-gone", how: "peer-left" }]],
    ["connecting: negotiating", [{ type: "peer-gone", how: "peer-left" }, peer]],
    ["ended: hung-up", [{ type: "hang-up" }]],
    ["failed: connection-lost", [{ type: "gave-up" }]],
    ["failed: room-full", [{ type: "refused", why: "room-full", message: "Full." }]],
    ["connected: no-camera", [{ type: "device", kind: "camera", outcome: "missing" }]],
    ["connected: microphone-busy", [{ type: "device", kind: "microphone", outcome: "busy" }]],
  ])("%s", (expected, events) => {
    expect(status(...call, ...events)).toBe(expected);
  });

  it("a lost server before anybody came is a reconnection", () => {
    expect(status(start, captured, joined, lost)).toBe("reconnecting: signaling-lost");
  });

  it("after its end begins again, or goes back to the lobby", () => {
    expect(status(...call, { type: "hang-up" }, start)).toBe("joining: asking-permission");
    expect(status(...call, { type: "hang-up" }, { type: "reset" })).toBe("idle");
    expect(status(...call, { type: "gave-up" }, start)).toBe("joining: asking-permission");
  });

  it("names everything that is missing", () => {
    const event: CallEvent = { type: "captured", camera: "busy", microphone: "refused", wanted: both };
    expect(deviceReasons(after(event))).toEqual(["camera-busy", "microphone-refused"]);
  });

  it("keeps mute over hang-up and rejoin", () => {
    const muted: CallEvent = { type: "switched", kind: "microphone", enabled: false };
    expect(after(...call, muted, { type: "hang-up" }, start).microphone.enabled).toBe(false);
  });
});

describe("every state that there is, and every event", () => {
  const failures: Failure[] = [
    "no-webrtc",
    "insecure",
    "permission-denied",
    "no-devices",
    "devices-busy",
    "room-full",
    "bad-room",
    "replaced",
    "server-refused",
    "connection-lost",
  ];
  const outcomes: DeviceOutcome[] = ["on", "off", "missing", "busy", "refused"];
  const events: CallEvent[] = [
    { type: "obstacle", obstacle: "insecure" },
    { type: "obstacle", obstacle: "no-webrtc" },
    start,
    ...outcomes.flatMap((camera): CallEvent[] =>
      outcomes.map((microphone) => ({ type: "captured", camera, microphone, wanted: both })),
    ),
    { ...captured, silent: true },
    ...outcomes.map((outcome): CallEvent => ({ type: "device", kind: "camera", outcome })),
    { type: "switched", kind: "camera", enabled: false },
    { type: "unreachable" },
    joined,
    lost,
    ...failures.map((why): CallEvent => ({ type: "refused", why, message: "No." })),
    peer,
    { type: "peer", peer: { id: "b", name: null }, path: "connected" },
    { type: "peer-gone", how: "peer-left" },
    { type: "peer-gone", how: "peer-hung-up" },
    connected,
    interrupted,
    { type: "path", path: "connecting" },
    { type: "gave-up" },
    { type: "hang-up" },
    { type: "reset" },
  ];

  /** All states reachable from the first, by any order of events. */
  const reachable = new Map<string, CallState>([[JSON.stringify(INITIAL), INITIAL]]);
  const transitions: [CallState, CallEvent, CallState][] = [];
  for (const state of reachable.values()) {
    for (const event of events) {
      const next = reduce(state, event);
      transitions.push([state, event, next]);
      reachable.set(JSON.stringify(next), next);
    }
  }

  it("are finitely many, and visit every phase", () => {
    expect(reachable.size).toBeGreaterThan(100);
    const phases = new Set([...reachable.values()].map((state) => statusOf(state).phase));
    expect([...phases].sort()).toEqual(
      ["connected", "connecting", "ended", "failed", "idle", "joining", "reconnecting"],
    );
  });

  it("have words, and a way on", () => {
    for (const state of reachable.values()) {
      const view = viewOf(state);
      expect(view.pill).not.toBe("");
      const { phase, reason } = view.status;
      const final = reason === "no-webrtc" || reason === "insecure";
      // The bar has a hang-up button in a call; elsewhere the card must lead on.
      if (view.card !== null && !inCall(state) && !final) {
        expect(view.card.buttons.length).toBeGreaterThan(0);
      }
      if (phase !== "connected" && phase !== "idle") expect(view.card).not.toBeNull();
      if (phase !== "idle") expect(view.announcement).not.toBe("");
    }
  });

  it("know a peer whenever media flows, and no path without a peer", () => {
    for (const { stage } of reachable.values()) {
      if (stage.at === "call") expect(stage.peer === null).toBe(stage.path === "none");
    }
  });

  it("leave a call only by hanging up, by failing, or for an obstacle", () => {
    const left = transitions.filter(([before, , next]) => inCall(before) && !inCall(next));
    const causes = new Set(left.map(([before, event]) => `${before.stage.at}: ${event.type}`));
    expect([...causes].sort()).toEqual([
      "asking: captured",
      "asking: hang-up",
      "asking: obstacle",
      "asking: refused",
      "call: gave-up",
      "call: hang-up",
      "call: obstacle",
      "call: refused",
    ]);
    const entered = transitions.filter(([before, , next]) => !inCall(before) && inCall(next));
    expect(new Set(entered.map(([, event]) => event.type))).toEqual(new Set(["start"]));
  });

  it("are told by no event to forget the room", () => {
    const forgetful = transitions.filter(
      ([before, event, next]) => event.type !== "start" && next.room !== before.room,
    );
    expect(forgetful).toEqual([]);
  });
});
