/**
 * The state of the call as a value, and the one function that changes it.
 *
 * Pure: it touches no socket, device or element. session.ts tells it what happened; the page shows
 * what `statusOf` says. Everything that a person can be told about a call is named here.
 */

import type { DeviceKind, DeviceOutcome, Obstacle, Wanted } from "./media";

export type Phase =
  | "idle"
  | "joining"
  | "connecting"
  | "connected"
  | "reconnecting"
  | "ended"
  | "failed";

/** Why a call could not be, or ceased to be. */
export type Failure =
  | Obstacle
  | "permission-denied"
  | "no-devices"
  | "devices-busy"
  | "room-full"
  | "bad-room"
  | "replaced"
  | "server-refused"
  | "connection-lost";

/** What lies behind a phase; `data-call-reason` on the root element. */
export type Reason =
  | Failure
  | "asking-permission"
  | "contacting-server"
  | "server-unreachable"
  | "waiting"
  | "negotiating"
  | "signaling-lost"
  | "media-interrupted"
  | "hung-up"
  | "peer-hung-up"
  | "peer-left"
  | DeviceReason;

/** The call goes on, with less than was asked for. */
export type DeviceReason =
  | "no-camera"
  | "no-microphone"
  | "camera-busy"
  | "microphone-busy"
  | "camera-refused"
  | "microphone-refused";

export interface Peer {
  readonly id: string;
  readonly name: string | null;
}

export interface Device {
  readonly outcome: DeviceOutcome;
  /** Switched on by the person; says nothing of whether there is a device. */
  readonly enabled: boolean;
}

export type Stage =
  | { readonly at: "idle" }
  | { readonly at: "asking" }
  | {
      readonly at: "call";
      readonly signaling: "opening" | "unreachable" | "joined" | "lost";
      readonly peer: Peer | null;
      readonly path: "none" | "connecting" | "connected" | "interrupted";
      /** Who was here before is gone, and how; `null` while nobody has come yet. */
      readonly left: "peer-hung-up" | "peer-left" | null;
    }
  | { readonly at: "ended" }
  | { readonly at: "failed"; readonly why: Failure; readonly message: string | null };

export interface CallState {
  readonly stage: Stage;
  readonly room: string;
  readonly camera: Device;
  readonly microphone: Device;
}

export type CallEvent =
  /** The page cannot call at all. */
  | { readonly type: "obstacle"; readonly obstacle: Obstacle }
  /** The person wants into `room`; permission is about to be asked for. */
  | { readonly type: "start"; readonly room: string }
  /** A preview or the call's own capture is there. */
  | {
      readonly type: "captured";
      readonly camera: DeviceOutcome;
      readonly microphone: DeviceOutcome;
      readonly wanted: Wanted;
      /** Join even with nothing to send. */
      readonly silent?: boolean;
    }
  | { readonly type: "device"; readonly kind: DeviceKind; readonly outcome: DeviceOutcome }
  | { readonly type: "switched"; readonly kind: DeviceKind; readonly enabled: boolean }
  | { readonly type: "unreachable" }
  | { readonly type: "joined" }
  | { readonly type: "signaling-lost" }
  | { readonly type: "refused"; readonly why: Failure; readonly message: string }
  /** A fresh connection to `peer` begins. */
  | {
      readonly type: "peer";
      readonly peer: Peer;
      /** `connected`: it takes the place of one that carried media until now. */
      readonly path: "connecting" | "connected";
    }
  | { readonly type: "peer-gone"; readonly how: "peer-hung-up" | "peer-left" }
  | { readonly type: "path"; readonly path: "connecting" | "connected" | "interrupted" }
  | { readonly type: "gave-up" }
  | { readonly type: "hang-up" }
  /** Back to the lobby. */
  | { readonly type: "reset" };

export const INITIAL: CallState = {
  stage: { at: "idle" },
  room: "",
  camera: { outcome: "off", enabled: true },
  microphone: { outcome: "off", enabled: true },
};

/** The next state. An event that makes no sense where the call is changes nothing. */
export function reduce(state: CallState, event: CallEvent): CallState {
  const { stage } = state;
  switch (event.type) {
    case "obstacle":
      return fail(state, event.obstacle);

    case "start":
      // From a call one hangs up first.
      if (stage.at === "call" || stage.at === "asking") return state;
      return { ...state, room: event.room, stage: { at: "asking" } };

    case "captured": {
      const next: CallState = {
        ...state,
        camera: { ...state.camera, outcome: event.camera },
        microphone: { ...state.microphone, outcome: event.microphone },
      };
      // A preview in the lobby shows what is missing, but nothing has failed yet.
      if (stage.at !== "asking") return next;
      const failure = event.silent === true ? null : captureFailure(event);
      if (failure !== null) return fail(next, failure);
      return {
        ...next,
        stage: { at: "call", signaling: "opening", peer: null, path: "none", left: null },
      };
    }

    case "device":
      return { ...state, [event.kind]: { ...state[event.kind], outcome: event.outcome } };

    case "switched":
      return { ...state, [event.kind]: { ...state[event.kind], enabled: event.enabled } };

    case "unreachable":
      if (stage.at !== "call" || stage.signaling !== "opening") return state;
      return { ...state, stage: { ...stage, signaling: "unreachable" } };

    case "joined":
      if (stage.at !== "call") return state;
      return { ...state, stage: { ...stage, signaling: "joined" } };

    case "signaling-lost":
      // Before the first `joined` there is nothing to lose: that is `unreachable`.
      if (stage.at !== "call" || stage.signaling !== "joined") return state;
      return { ...state, stage: { ...stage, signaling: "lost" } };

    case "refused":
      return inCall(state) ? fail(state, event.why, event.message) : state;

    case "peer":
      if (stage.at !== "call") return state;
      return { ...state, stage: { ...stage, peer: event.peer, path: event.path, left: null } };

    case "peer-gone":
      if (stage.at !== "call" || stage.peer === null) return state;
      return { ...state, stage: { ...stage, path: "none", peer: null, left: event.how } };

    case "path": {
      if (stage.at !== "call" || stage.peer === null) return state;
      // Once media flowed, "connecting" is an interruption like any other.
      const flowed = stage.path === "connected" || stage.path === "interrupted";
      const path = flowed && event.path === "connecting" ? "interrupted" : event.path;
      return { ...state, stage: { ...stage, path } };
    }

    case "gave-up":
      return stage.at === "call" ? fail(state, "connection-lost") : state;

    case "hang-up":
      if (stage.at !== "call" && stage.at !== "asking") return state;
      return { ...state, stage: { at: "ended" } };

    case "reset":
      if (stage.at === "call" || stage.at === "asking") return state;
      return { ...state, stage: { at: "idle" } };
  }
}

export interface Status {
  readonly phase: Phase;
  readonly reason: Reason | null;
}

/** What the root element carries: `data-call-state` and `data-call-reason`. */
export function statusOf(state: CallState): Status {
  const { stage } = state;
  switch (stage.at) {
    case "idle":
      return { phase: "idle", reason: null };
    case "asking":
      return { phase: "joining", reason: "asking-permission" };
    case "ended":
      return { phase: "ended", reason: "hung-up" };
    case "failed":
      return { phase: "failed", reason: stage.why };
    case "call":
      break;
  }
  // Media first: it flows without the server, and a person cares for nothing more.
  if (stage.path === "connected") {
    const reason = stage.signaling === "lost" ? "signaling-lost" : (deviceReasons(state)[0] ?? null);
    return { phase: "connected", reason };
  }
  if (stage.path === "interrupted") return { phase: "reconnecting", reason: "media-interrupted" };
  switch (stage.signaling) {
    case "opening":
      return { phase: "joining", reason: "contacting-server" };
    case "unreachable":
      return { phase: "joining", reason: "server-unreachable" };
    case "lost":
      return { phase: "reconnecting", reason: "signaling-lost" };
    case "joined":
      break;
  }
  if (stage.peer !== null) return { phase: "connecting", reason: "negotiating" };
  if (stage.left !== null) return { phase: "ended", reason: stage.left };
  return { phase: "connecting", reason: "waiting" };
}

/** What the call goes on without, the camera first. */
export function deviceReasons(state: CallState): readonly DeviceReason[] {
  return (["camera", "microphone"] as const).flatMap((kind): DeviceReason[] => {
    switch (state[kind].outcome) {
      case "missing":
        return [`no-${kind}`];
      case "busy":
        return [`${kind}-busy`];
      case "refused":
        return [`${kind}-refused`];
      case "on":
      case "off":
        return [];
    }
  });
}

/** Whether this page is in a room, or on its way into one. */
export function inCall(state: CallState): boolean {
  return state.stage.at === "call" || state.stage.at === "asking";
}

/** Nothing at all could be had, though something was wanted: the most telling of the causes. */
function captureFailure(event: {
  readonly camera: DeviceOutcome;
  readonly microphone: DeviceOutcome;
  readonly wanted: Wanted;
}): Failure | null {
  const outcomes = [
    ...(event.wanted.camera ? [event.camera] : []),
    ...(event.wanted.microphone ? [event.microphone] : []),
  ];
  if (outcomes.length === 0 || outcomes.includes("on")) return null;
  if (outcomes.includes("refused")) return "permission-denied";
  return outcomes.includes("busy") ? "devices-busy" : "no-devices";
}

function fail(state: CallState, why: Failure, message: string | null = null): CallState {
  return { ...state, stage: { at: "failed", why, message } };
}
