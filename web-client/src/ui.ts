/**
 * The page's elements: shows a view, and reports what the person does. It decides nothing, and
 * writes what strangers said (names, sentences of the server) as text only.
 */

import type { CallState } from "./call";
import type { DeviceKind } from "./media";
import type { Table } from "./stats";
import { deviceView, type Action, type View } from "./view";

export interface Handlers {
  readonly join: (room: string, name: string) => void;
  readonly action: (action: Exclude<Action, "copy-link">) => void;
  readonly toggle: (kind: DeviceKind) => void;
  readonly preview: () => void;
  readonly statsShown: (shown: boolean) => void;
  /** The address that leads into this room. */
  readonly link: () => string;
}

export class Page {
  private readonly root: HTMLElement;
  private readonly handlers: Handlers;
  private readonly local = element("local-video", HTMLVideoElement);
  private readonly remote = element("remote-video", HTMLVideoElement);
  private readonly room = element("room", HTMLInputElement);
  private readonly name = element("name", HTMLInputElement);
  private readonly card = element("card", HTMLElement);
  private readonly stats = element("stats", HTMLElement);
  private readonly hear = element("hear", HTMLButtonElement);
  private shownCard: string | null = null;
  private shownScreen: View["screen"] | null = null;

  constructor(root: HTMLElement, handlers: Handlers) {
    this.root = root;
    this.handlers = handlers;
    element("lobby", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      handlers.join(this.room.value.trim(), this.name.value);
    });
    this.room.addEventListener("input", () => this.refuseRoom(null));
    for (const kind of ["camera", "microphone"] as const) {
      element(kind, HTMLButtonElement).addEventListener("click", () => handlers.toggle(kind));
    }
    element("hang-up", HTMLButtonElement).addEventListener("click", () => handlers.action("hang-up"));
    element("toggle-stats", HTMLButtonElement).addEventListener("click", () => this.toggleStats());
    element("preview", HTMLButtonElement).addEventListener("click", () => handlers.preview());
    this.hear.addEventListener("click", () => this.unmuteRemote());
    this.remote.addEventListener("resize", () => this.orient());
    window.addEventListener("keydown", (event) => this.key(event));
  }

  fill(room: string, name: string): void {
    this.room.value = room;
    this.name.value = name;
    if (room === "") this.room.focus();
  }

  /** Says what is wrong with the room's name, in the form's own way. */
  refuseRoom(why: string | null): void {
    this.room.setCustomValidity(why ?? "");
    if (why !== null) this.room.reportValidity();
  }

  render(view: View, state: CallState): void {
    // Asked first: what has the focus may be hidden a line later.
    const focused = document.activeElement !== null && document.activeElement !== document.body;
    const { dataset } = this.root;
    dataset["callState"] = view.status.phase;
    dataset["callReason"] = view.status.reason ?? "";
    dataset["screen"] = view.screen;
    dataset["tone"] = view.tone;
    dataset["camera"] = state.camera.outcome;
    dataset["microphone"] = state.microphone.outcome;
    const live = state.stage.at === "call" || state.stage.at === "asking";
    dataset["live"] = String(live);

    element("pill-text", HTMLElement).textContent = view.pill;
    element("pill-room", HTMLElement).textContent = view.screen === "call" ? state.room : "";
    document.title = view.screen === "call" ? `${view.pill} · ${state.room} · Duet` : "Duet";
    for (const kind of ["camera", "microphone"] as const) this.renderDevice(kind, state);
    this.renderSelf(state);
    this.renderCard(view.card);
    element("notices", HTMLElement).replaceChildren(
      ...view.notices.map((text) => textElement("li", text)),
    );
    this.renderPeer(state, view);
    const spoken = element("spoken", HTMLElement);
    if (spoken.textContent !== view.announcement) spoken.textContent = view.announcement;
    if (view.screen !== this.shownScreen) this.changeScreen(view.screen, focused);
  }

  showLocal(given: MediaStream | null): void {
    const stream = unlessEmpty(given);
    if (this.local.srcObject !== stream) this.local.srcObject = stream;
    // It is muted, so nothing can be refused that would want an answer.
    if (stream !== null) this.local.play().catch(() => undefined);
  }

  showRemote(given: MediaStream | null): void {
    const stream = unlessEmpty(given);
    const pictured =
      stream?.getVideoTracks().some((track) => !track.muted && track.readyState === "live") ?? false;
    this.root.dataset["picture"] = String(pictured);
    if (this.remote.srcObject !== stream) {
      this.remote.srcObject = stream;
      this.hear.hidden = true;
      this.remote.muted = false;
    }
    if (stream !== null && this.remote.paused) void this.playRemote();
  }

  renderStats(table: Table): void {
    const row = (head: string, cells: readonly string[]) => {
      const row = document.createElement("tr");
      const name = textElement("th", head);
      name.scope = "row";
      row.append(name, ...cells.map((cell) => textElement("td", cell)));
      return row;
    };
    element("stats-streams", HTMLElement).replaceChildren(...table.streams.map(([head, cells]) => row(head, cells)));
    element("stats-connection", HTMLElement).replaceChildren(
      ...table.connection.map(([head, value]) => row(head, [value])),
    );
    for (const cell of this.stats.querySelectorAll("#stats-connection td")) cell.setAttribute("colspan", "4");
  }

  get statsAreShown(): boolean {
    return !this.stats.hidden;
  }

  private renderDevice(kind: DeviceKind, state: CallState): void {
    const { label, name, pressed } = deviceView(kind, state);
    const button = element(kind, HTMLButtonElement);
    button.setAttribute("aria-pressed", String(pressed));
    button.setAttribute("aria-label", name);
    button.title = name;
    element(`${kind}-text`, HTMLElement).textContent = label;
  }

  private renderSelf(state: CallState): void {
    const { outcome, enabled } = state.camera;
    const seen = outcome === "on" && enabled;
    const waiting = state.stage.at !== "idle";
    this.root.dataset["self"] = seen ? "seen" : "unseen";
    const text = {
      on: "Your camera is off",
      off: !enabled ? "Your camera is off" : waiting ? "Waiting for the camera" : "See yourself before you join",
      missing: "No camera",
      busy: "Camera in use",
      refused: "Camera blocked",
    };
    element("self-text", HTMLElement).textContent = text[outcome];
    element("preview", HTMLButtonElement).hidden = !(outcome === "off" && enabled);
  }

  private renderCard(card: View["card"]): void {
    const key = card === null ? null : JSON.stringify(card);
    if (key === this.shownCard) return;
    const focusWasInside = this.card.contains(document.activeElement);
    this.shownCard = key;
    this.card.hidden = card === null;
    if (card === null) {
      if (focusWasInside) element("microphone", HTMLElement).focus();
      return;
    }
    element("card-title", HTMLElement).textContent = card.title;
    element("card-detail", HTMLElement).textContent = card.detail;
    const buttons = card.buttons.map(({ action, label, primary }) => {
      const button = textElement("button", label);
      button.type = "button";
      button.className = primary ? "primary" : "quiet";
      button.dataset["action"] = action;
      button.addEventListener("click", () => {
        if (action === "copy-link") void this.copyLink(button);
        else this.handlers.action(action);
      });
      return button;
    });
    element("card-buttons", HTMLElement).replaceChildren(...buttons);
    // Whoever works by keyboard was just asked something else: they start at the new card.
    if (focusWasInside) element("card-title", HTMLElement).focus();
  }

  private renderPeer(state: CallState, view: View): void {
    const name = state.stage.at === "call" ? (state.stage.peer?.name ?? null) : null;
    element("no-picture", HTMLElement).hidden = view.card !== null || view.screen === "lobby";
    element("avatar", HTMLElement).textContent = [...(name ?? "")][0]?.toUpperCase() ?? "";
    element("no-picture-text", HTMLElement).textContent =
      name === null ? "No picture from the other side" : `No picture from ${name}`;
  }

  private changeScreen(screen: View["screen"], focused: boolean): void {
    this.shownScreen = screen;
    // What had the focus is gone with its screen.
    if (!focused) return;
    if (screen === "lobby") this.room.focus();
    else element(this.card.hidden ? "microphone" : "card-title", HTMLElement).focus();
  }

  /** Browsers may refuse sound before a gesture: then the picture plays, and a button is offered. */
  private async playRemote(): Promise<void> {
    try {
      await this.remote.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      this.remote.muted = true;
      this.hear.hidden = false;
      await this.remote.play().catch(() => undefined);
    }
  }

  private unmuteRemote(): void {
    this.remote.muted = false;
    this.hear.hidden = true;
    this.remote.play().catch(() => undefined);
    element("microphone", HTMLElement).focus();
  }

  /** A portrait picture in a landscape window is shown whole, with bars. */
  private orient(): void {
    const { videoWidth, videoHeight } = this.remote;
    this.root.dataset["remoteShape"] = videoHeight > videoWidth ? "portrait" : "landscape";
  }

  private toggleStats(shown = this.stats.hidden === true): void {
    this.stats.hidden = !shown;
    element("toggle-stats", HTMLElement).setAttribute("aria-pressed", String(shown));
    this.handlers.statsShown(shown);
  }

  private async copyLink(button: HTMLElement): Promise<void> {
    const link = this.handlers.link();
    try {
      await navigator.clipboard.writeText(link);
      button.textContent = "Copied";
      element("spoken", HTMLElement).textContent = "The link is copied.";
    } catch {
      // No clipboard for this page: the address is shown, to be copied by hand.
      element("card-detail", HTMLElement).textContent = link;
    }
  }

  private key(event: KeyboardEvent): void {
    const shortcut = shortcutOf(event);
    if (shortcut === null || this.root.dataset["screen"] === undefined) return;
    const inCall = this.root.dataset["live"] === "true";
    switch (shortcut) {
      case "microphone":
      case "camera":
        this.handlers.toggle(shortcut);
        break;
      case "stats":
        if (!inCall) return;
        this.toggleStats();
        break;
      case "escape":
        // The nearest thing first: what lies on top is closed, and only then is hung up.
        if (this.statsAreShown) this.toggleStats(false);
        else if (inCall) this.handlers.action("hang-up");
        else return;
        break;
    }
    event.preventDefault();
  }
}

export type Shortcut = "microphone" | "camera" | "stats" | "escape";

/** The shortcut of a key press; `null` for every key that is meant for something else. */
export function shortcutOf(event: {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
  readonly repeat: boolean;
  readonly target: unknown;
}): Shortcut | null {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return null;
  if (event.key === "Escape") return "escape";
  const { tagName } = (event.target ?? {}) as { tagName?: string };
  if (tagName === "INPUT" || tagName === "TEXTAREA" || tagName === "SELECT") return null;
  switch (event.key.toLowerCase()) {
    case "m":
      return "microphone";
    case "c":
      return "camera";
    case "s":
      return "stats";
    default:
      return null;
  }
}

function element<T extends HTMLElement>(id: string, type: abstract new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return found;
}

/** A stream without a track never loads, and would hold back the page's `load` event for ever. */
function unlessEmpty(stream: MediaStream | null): MediaStream | null {
  return stream === null || stream.getTracks().length === 0 ? null : stream;
}

function textElement<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  text: string,
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
