/**
 * Puts the parts together: the call's state, this page's devices, the session and the page. The
 * only place that knows them all.
 */

import { browserTimers } from "./backoff";
import { INITIAL, inCall, reduce, type CallEvent, type CallState } from "./call";
import { Link, type LocalMedia } from "./link";
import {
  browserEnvironment,
  capture,
  captureOne,
  findObstacle,
  permission,
  type DeviceKind,
  type Wanted,
} from "./media";
import { cleanName, isRoomName } from "./protocol";
import { CallSession } from "./session";
import { sessionTokens, signalingUrl } from "./signaling";
import { read, table, type Sample } from "./stats";
import type { Launch } from "./launch";
import { Page } from "./ui";
import { viewOf, type Action } from "./view";

const STATS_PERIOD = 1_000;
const NAME_KEY = "duet.name";
const KINDS = ["camera", "microphone"] as const;

/** What this page sends; the session's links read it whenever they need a track. */
interface Local extends LocalMedia {
  stream: MediaStream;
  camera: MediaStreamTrack | null;
  microphone: MediaStreamTrack | null;
}

export class App {
  private state: CallState = INITIAL;
  private readonly page: Page;
  private readonly devices = browserEnvironment();
  private local: Local | null = null;
  private session: CallSession | null = null;
  private name: string | null = null;
  /** Counts the captures begun, so that one that comes too late is known and released. */
  private captures = 0;
  private lastSample: Sample | null = null;
  private statsTimer: number | null = null;

  constructor(root: HTMLElement) {
    this.page = new Page(root, {
      join: (room, name) => this.joinByHand(room, name),
      action: (action) => this.act(action),
      toggle: (kind) => void this.toggle(kind),
      preview: () => void this.preview(),
      statsShown: (shown) => this.showStats(shown),
      link: () => roomLink(this.state.room),
    });
  }

  async run(launch: Launch): Promise<void> {
    for (const kind of KINDS) {
      if (!launch[kind]) this.dispatch({ type: "switched", kind, enabled: false });
    }
    this.name = launch.name ?? cleanName(storedName());
    this.page.fill(launch.room, this.name ?? "");
    this.render();

    const obstacle = findObstacle(window);
    if (obstacle !== null) return this.dispatch({ type: "obstacle", obstacle });

    window.addEventListener("online", () => this.session?.online());
    window.addEventListener("pagehide", () => this.session?.hangUp({ keepToken: true }));
    navigator.mediaDevices.addEventListener("devicechange", () => void this.lookAgain());
    // A page out of the back-forward cache has left its call: it starts afresh.
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });

    if (launch.join) return this.join(launch.room);
    // Where permission was given before, a preview asks nothing of anybody.
    const granted = await Promise.all(KINDS.map(permission));
    if (this.state.stage.at === "idle" && granted.includes("granted") && !granted.includes("denied")) {
      await this.preview();
    }
  }

  private dispatch(event: CallEvent): void {
    this.state = reduce(this.state, event);
    if (this.state.stage.at === "failed") {
      // Nobody is filmed by a page that says there is no call.
      this.session?.hangUp();
      this.session = null;
      this.release();
    }
    this.render();
  }

  private render(): void {
    this.page.render(viewOf(this.state), this.state);
  }

  private joinByHand(room: string, name: string): void {
    if (!isRoomName(room)) {
      return this.page.refuseRoom("1 to 64 letters, digits, _ or -");
    }
    this.name = cleanName(name);
    storeName(this.name ?? "");
    void this.join(room);
  }

  private act(action: Exclude<Action, "copy-link">): void {
    switch (action) {
      case "join":
        return void this.join(this.state.room);
      case "join-silent":
        return void this.join(this.state.room, true);
      case "hang-up":
        return this.hangUp();
      case "lobby":
        this.dispatch({ type: "reset" });
        return;
    }
  }

  private async join(room: string, silent = false): Promise<void> {
    if (inCall(this.state)) return;
    this.dispatch({ type: "start", room });
    if (!isRoomName(room)) {
      return this.dispatch({ type: "refused", why: "bad-room", message: "" });
    }
    // A reload joins again.
    history.replaceState(null, "", addressOf(room, true));
    if (!(await this.capture(silent))) return;
    const { local } = this;
    if (local === null || this.state.stage.at !== "call") return;

    this.session = new CallSession({
      url: signalingUrl(location),
      openSocket: (url) => new WebSocket(url),
      timers: browserTimers,
      random: Math.random,
      tokens: sessionTokens(sessionStorage),
      createLink: (options) => new Link(options),
      local,
      dispatch: (event) => this.dispatch(event),
      onRemote: (stream) => this.page.showRemote(stream),
      onProblem: (what, error) => console.warn(`duet: ${what}:`, error),
    });
    this.session.join({ room, name: this.name });
  }

  /** Whether the call may go on: the person may have left while the browser asked. */
  private async capture(silent: boolean): Promise<boolean> {
    const wanted: Wanted = {
      camera: this.state.camera.enabled && !silent,
      microphone: this.state.microphone.enabled && !silent,
    };
    // A preview that shows all that is wanted goes on as it is.
    if (this.local !== null && KINDS.every((kind) => !wanted[kind] || this.local?.[kind] != null)) {
      const { camera, microphone } = this.state;
      this.dispatch({
        type: "captured",
        camera: camera.outcome,
        microphone: microphone.outcome,
        wanted,
        silent,
      });
      return true;
    }
    this.release();
    const turn = ++this.captures;
    const captured = await capture(wanted, this.devices);
    if (turn !== this.captures) {
      stop(captured.stream);
      return false;
    }
    this.adopt(captured.stream);
    this.dispatch({ type: "captured", ...captured, wanted, silent });
    return true;
  }

  private async preview(): Promise<void> {
    if (this.state.stage.at !== "idle" || this.local !== null) return;
    const { camera, microphone } = this.state;
    const wanted = { camera: camera.enabled, microphone: microphone.enabled };
    const turn = ++this.captures;
    const captured = await capture(wanted, this.devices);
    if (turn !== this.captures) return stop(captured.stream);
    this.adopt(captured.stream);
    this.dispatch({ type: "captured", ...captured, wanted });
  }

  private adopt(stream: MediaStream): void {
    this.local = { stream, camera: null, microphone: null };
    for (const track of stream.getTracks()) this.adoptTrack(this.local, track);
    this.page.showLocal(stream);
  }

  private adoptTrack(local: Local, track: MediaStreamTrack): void {
    const kind: DeviceKind = track.kind === "video" ? "camera" : "microphone";
    local[kind] = track;
    track.enabled = this.state[kind].enabled;
    // Unplugged, or taken back by the person: the call goes on without.
    track.onended = () => {
      if (local[kind] !== track) return;
      local[kind] = null;
      local.stream.removeTrack(track);
      this.session?.replaceLocal(kind, null);
      this.dispatch({ type: "device", kind, outcome: "missing" });
    };
  }

  private async toggle(kind: DeviceKind): Promise<void> {
    const { outcome, enabled } = this.state[kind];
    if (outcome === "on") {
      const track = this.local?.[kind];
      if (track != null) track.enabled = !enabled;
      return this.dispatch({ type: "switched", kind, enabled: !enabled });
    }
    if (this.local === null) {
      // Nothing was asked for yet: a wish for later.
      return this.dispatch({ type: "switched", kind, enabled: !enabled });
    }
    await this.acquire(kind);
  }

  /** Something was plugged in: what is wanted and missing may be there now. */
  private async lookAgain(): Promise<void> {
    for (const kind of KINDS) {
      const { outcome, enabled } = this.state[kind];
      // Only where it asks nothing of the person.
      if (outcome === "missing" && enabled && (await permission(kind)) === "granted") {
        await this.acquire(kind);
      }
    }
  }

  /** Asks for a device that this page does not have yet. */
  private async acquire(kind: DeviceKind): Promise<void> {
    const { local } = this;
    if (local === null) return;
    const turn = this.captures;
    const found = await captureOne(kind, this.devices);
    if (turn !== this.captures || this.local !== local || local[kind] !== null) {
      return stop(found.stream);
    }
    this.dispatch({ type: "switched", kind, enabled: true });
    this.dispatch({ type: "device", kind, outcome: found.outcome });
    for (const track of found.stream.getTracks()) {
      local.stream.addTrack(track);
      this.adoptTrack(local, track);
      this.session?.replaceLocal(kind, track);
    }
    this.page.showLocal(local.stream);
  }

  private hangUp(): void {
    this.session?.hangUp();
    this.session = null;
    this.release();
    this.dispatch({ type: "hang-up" });
    history.replaceState(null, "", addressOf(this.state.room, false));
  }

  /** Camera and microphone go dark. */
  private release(): void {
    this.captures += 1;
    if (this.local !== null) stop(this.local.stream);
    this.local = null;
    this.page.showLocal(null);
  }

  private showStats(shown: boolean): void {
    if (this.statsTimer !== null) window.clearInterval(this.statsTimer);
    this.statsTimer = null;
    this.lastSample = null;
    if (!shown) return;
    const update = async (): Promise<void> => {
      const report = await this.session?.connection?.getStats();
      const sample = read(report ?? []);
      this.page.renderStats(table(this.lastSample, sample));
      this.lastSample = sample;
    };
    void update();
    this.statsTimer = window.setInterval(() => void update(), STATS_PERIOD);
  }
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}

/** This page's address, with whatever else it asks for. */
function addressOf(room: string, join: boolean): string {
  const url = new URL(location.href);
  url.searchParams.set("room", room);
  if (join) url.searchParams.set("join", "1");
  else url.searchParams.delete("join");
  return url.href;
}

function roomLink(room: string): string {
  const url = new URL(location.pathname, location.href);
  url.searchParams.set("room", room);
  return url.href;
}

function storedName(): string {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return "";
  }
}

function storeName(name: string): void {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // Forbidden here: the name is asked for again next time.
  }
}
