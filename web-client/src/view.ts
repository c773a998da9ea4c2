/**
 * What the page says and offers in each state of the call. Pure: state in, words and buttons out;
 * ui.ts puts them on the screen.
 */

import { deviceReasons, statusOf, type CallState, type DeviceReason, type Failure, type Status } from "./call";
import type { DeviceKind } from "./media";

export type Action = "join" | "join-silent" | "hang-up" | "lobby" | "copy-link";

export interface Button {
  readonly action: Action;
  readonly label: string;
  /** What most people want here. Leaving is never that. */
  readonly primary: boolean;
}

/** How a state feels: it sets the colour of the dot, and whether something turns. */
export type Tone = "calm" | "busy" | "good" | "warn" | "bad";

export interface View {
  readonly status: Status;
  /** `lobby`: the form. `call`: picture and control bar. */
  readonly screen: "lobby" | "call";
  readonly tone: Tone;
  /** One or two words, beside the dot. */
  readonly pill: string;
  /** The card in the middle; `null` where the picture speaks for itself. */
  readonly card: { readonly title: string; readonly detail: string; readonly buttons: readonly Button[] } | null;
  /** What the call goes on without, one sentence each. */
  readonly notices: readonly string[];
  /** Read out by a screen reader whenever it changes. */
  readonly announcement: string;
}

const REJOIN: Button = { action: "join", label: "Join again", primary: true };
const RETRY: Button = { action: "join", label: "Try again", primary: true };
const LOBBY: Button = { action: "lobby", label: "Choose a room", primary: false };
const LEAVE: Button = { action: "hang-up", label: "Leave", primary: false };
const CANCEL: Button = { action: "hang-up", label: "Cancel", primary: false };
const COPY: Button = { action: "copy-link", label: "Copy link", primary: true };
const SILENT: Button = { action: "join-silent", label: "Join without", primary: false };

export function viewOf(state: CallState): View {
  const status = statusOf(state);
  const rest = words(state, status);
  const notices = state.stage.at === "failed" ? [] : noticesOf(state);
  const spoken = rest.card === null ? rest.spoken : `${rest.card.title}. ${rest.card.detail}`;
  return {
    status,
    screen: status.phase === "idle" ? "lobby" : "call",
    tone: rest.tone,
    pill: rest.pill,
    card: rest.card,
    notices,
    announcement: [spoken, ...notices].filter((part) => part !== "").join(" "),
  };
}

interface Words {
  readonly tone: Tone;
  readonly pill: string;
  readonly card: View["card"];
  /** For states without a card. */
  readonly spoken: string;
}

function words(state: CallState, { phase, reason }: Status): Words {
  const { room, stage } = state;
  const name = stage.at === "call" ? (stage.peer?.name ?? null) : null;
  const peer = name ?? "the other side";
  switch (phase) {
    case "idle":
      return plain("calm", "Not in a call", "");
    case "joining":
      if (reason === "asking-permission") {
        return card("busy", "Asking", "Allow camera and microphone",
          "Your browser asks whether this page may use them. Nothing is sent before you allow it.", [CANCEL]);
      }
      return reason === "server-unreachable"
        ? card("warn", "No server", "The server does not answer",
            "Trying again and again. Check your network if this takes long.", [CANCEL])
        : card("busy", "Joining", `Joining ${room}`, "Looking for the server.", [CANCEL]);
    case "connecting":
      return reason === "waiting"
        ? card("calm", "Waiting", "You are the only one here",
            `The call starts as soon as somebody else opens the room “${room}”.`, [COPY, LEAVE])
        : card("busy", "Connecting", `Connecting to ${peer}`, "Finding the shortest way between the two of you.", [LEAVE]);
    case "connected":
      return reason === "signaling-lost"
        ? plain("warn", "Connected, server away", "The server cannot be reached. The call goes on without it.")
        : plain("good", name === null ? "Connected" : `Connected to ${name}`, `Connected to ${peer}.`);
    case "reconnecting":
      return reason === "signaling-lost"
        ? card("warn", "Reconnecting", "The server cannot be reached",
            "Trying again. Nothing is lost, your place in the room is kept.", [LEAVE])
        : card("warn", "Reconnecting", "The connection faltered",
            "Looking for another way. The call goes on as soon as there is one.", [LEAVE]);
    case "ended":
      return ended(state, reason);
    case "failed": {
      const failure = FAILURES[stage.at === "failed" ? stage.why : "server-refused"];
      const message = stage.at === "failed" ? stage.message : null;
      return card("bad", "No call", failure.title(room), failure.detail(message), failure.buttons);
    }
  }
}

function ended(state: CallState, reason: Status["reason"]): Words {
  switch (reason) {
    case "peer-hung-up":
      return card("calm", "Ended", "The other side hung up",
        `You are still in the room “${state.room}”. If somebody comes, the call goes on.`, [COPY, LEAVE]);
    case "peer-left":
      return card("calm", "Ended", "The other side is gone",
        `You are still in the room “${state.room}”. If they come back, the call goes on.`, [COPY, LEAVE]);
    default:
      return card("calm", "Ended", "You left the call", "Camera and microphone are off.", [REJOIN, LOBBY]);
  }
}

interface FailureWords {
  readonly title: (room: string) => string;
  /** `message` is the server's own sentence, where it said one. */
  readonly detail: (message: string | null) => string;
  readonly buttons: readonly Button[];
}

const FAILURES: Record<Failure, FailureWords> = {
  "no-webrtc": {
    title: () => "This browser cannot make calls",
    detail: () =>
      "It has no WebRTC, or it is switched off. A current Chrome, Edge, Firefox or Safari can.",
    buttons: [],
  },
  insecure: {
    title: () => "This page is not secure",
    detail: () =>
      "Browsers give camera and microphone only to pages opened over https:// or on localhost. Open this page by its https:// address.",
    buttons: [],
  },
  "permission-denied": {
    title: () => "Camera and microphone are blocked",
    detail: () =>
      "Allow them for this page in the address bar, or in your system’s privacy settings, then try again. Or join without them: you will see and hear, and not be seen or heard.",
    buttons: [RETRY, SILENT],
  },
  "no-devices": {
    title: () => "No camera and no microphone",
    detail: () =>
      "None were found. Plug one in and try again, or join without: you will see and hear, and not be seen or heard.",
    buttons: [RETRY, SILENT],
  },
  "devices-busy": {
    title: () => "Camera and microphone are in use",
    detail: () =>
      "Another program or tab holds them. Close it and try again, or join without them.",
    buttons: [RETRY, SILENT],
  },
  "room-full": {
    title: (room) => `The room “${room}” is full`,
    detail: () => "Every seat is taken. Try again when somebody has left, or choose another room.",
    buttons: [RETRY, LOBBY],
  },
  "bad-room": {
    title: () => "This is no room name",
    detail: () => "A room name has 1 to 64 of the characters A–Z, a–z, 0–9, _ and -.",
    buttons: [LOBBY],
  },
  replaced: {
    title: () => "The call goes on elsewhere",
    detail: () => "This call was taken over by another tab or window.",
    buttons: [REJOIN],
  },
  "server-refused": {
    title: () => "The server said no",
    detail: (message) => message ?? "It gave no reason.",
    buttons: [RETRY, LOBBY],
  },
  "connection-lost": {
    title: () => "The connection is lost",
    detail: () => "No way to the other side was found, in several attempts. Check your network and try again.",
    buttons: [RETRY, LOBBY],
  },
};

const NOTICES: Record<DeviceReason, string> = {
  "no-camera": "No camera was found. You are heard, but not seen.",
  "no-microphone": "No microphone was found. You are seen, but not heard.",
  "camera-busy": "Another program uses the camera. You are not seen.",
  "microphone-busy": "Another program uses the microphone. You are not heard.",
  "camera-refused": "The camera is blocked for this page. You are not seen.",
  "microphone-refused": "The microphone is blocked for this page. You are not heard.",
};

function noticesOf(state: CallState): readonly string[] {
  const reasons = deviceReasons(state);
  // Who joined without either knows it.
  if (state.camera.outcome !== "on" && state.microphone.outcome !== "on" && reasons.length > 0) {
    return ["You are neither seen nor heard."];
  }
  return reasons.map((reason) => NOTICES[reason]);
}

/** The button of a device. */
export interface DeviceView {
  /** Short, below the icon. */
  readonly label: string;
  /** For a screen reader; it names what a press does and does not change with `pressed`. */
  readonly name: string;
  /** Switched off, by the person or by want of a device: `aria-pressed`. */
  readonly pressed: boolean;
}

export function deviceView(kind: DeviceKind, state: CallState): DeviceView {
  const { outcome, enabled } = state[kind];
  const [name, on, off, short] =
    kind === "camera"
      ? ["Camera off", "Camera", "Camera off", "camera"]
      : ["Mute", "Mute", "Muted", "mic"];
  switch (outcome) {
    case "on":
    case "off":
      return { label: enabled ? on : off, name, pressed: !enabled };
    case "missing":
      return { label: `No ${short}`, name: `No ${kind} was found. Look again`, pressed: true };
    case "busy":
      return { label: "In use", name: `The ${kind} is in use. Try again`, pressed: true };
    case "refused":
      return { label: "Blocked", name: `The ${kind} is blocked. Ask again`, pressed: true };
  }
}

function plain(tone: Tone, pill: string, spoken: string): Words {
  return { tone, pill, card: null, spoken };
}

function card(tone: Tone, pill: string, title: string, detail: string, buttons: readonly Button[]): Words {
  return { tone, pill, card: { title, detail, buttons }, spoken: "" };
}
