/**
 * The socket to the signaling server: joins a room, and joins it again whenever the socket breaks.
 *
 * It carries messages and knows nothing of calls. What is said while the socket is down is lost,
 * and the caller is told so: after a rejoin the room is a new one, and old messages would mislead.
 */

import { backoffDelay, type BackoffLimits, type Timers } from "./backoff";
import {
  encode,
  parseServerMessage,
  PROTOCOL_VERSION,
  type ClientMessage,
  type ProtocolError,
  type ServerMessage,
} from "./protocol";

/** What this module uses of `WebSocket`; a test passes a fake. */
export type Socket = Pick<
  WebSocket,
  "onopen" | "onmessage" | "onclose" | "readyState" | "send" | "close"
>;

export interface Membership {
  readonly room: string;
  readonly name: string | null;
}

export interface SignalingOptions {
  readonly url: string;
  readonly openSocket: (url: string) => Socket;
  readonly timers: Timers;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
  /** The token of this page's membership in a room, over reloads. */
  readonly tokens: TokenStore;
  readonly onMessage: (message: ServerMessage) => void;
  /** The socket broke, or did not come about; another attempt will be made. */
  readonly onDown: () => void;
  /** Another page holds this membership; no attempt will be made. */
  readonly onTakenOver: () => void;
  readonly onProblem?: (error: ProtocolError) => void;
}

export interface TokenStore {
  read(room: string): string | null;
  write(room: string, token: string): void;
  clear(): void;
}

export const BACKOFF: BackoffLimits = { first: 500, longest: 10_000 };

/** How long a socket may take to open, and the server to answer a join; milliseconds. */
export const ANSWER_TIMEOUT = 10_000;

const TAKEN_OVER = 4001;
const OPEN = 1;

export class SignalingClient {
  private readonly options: SignalingOptions;
  private membership: Membership | null = null;
  private socket: Socket | null = null;
  private joined = false;
  private attempt = 0;
  private retryTimer: number | null = null;
  private beatTimer: number | null = null;
  private silentBeats = 0;

  constructor(options: SignalingOptions) {
    this.options = options;
  }

  /** Joins, and stays joined until `leave`. */
  join(membership: Membership): void {
    this.membership = membership;
    this.attempt = 0;
    this.connect();
  }

  get isJoined(): boolean {
    return this.joined;
  }

  /** Whether it went out. */
  send(message: ClientMessage): boolean {
    if (!this.joined || this.socket?.readyState !== OPEN) return false;
    this.socket.send(encode(message));
    return true;
  }

  /**
   * Gives the seat back and forgets the room. A page that is being unloaded keeps its token: should
   * these last words not get through, its successor replaces the ghost.
   */
  leave(how: { readonly keepToken: boolean }): void {
    this.send({ type: "leave" });
    this.membership = null;
    if (!how.keepToken) this.options.tokens.clear();
    this.drop();
  }

  /** The room would not have us now; the socket is given up and tried again after a pause. */
  retryLater(): void {
    this.drop();
    this.retry();
  }

  /** The network came back: there is no point in waiting out the pause. */
  retryNow(): void {
    if (this.retryTimer === null) return;
    this.attempt = 0;
    this.connect();
  }

  private connect(): void {
    this.drop();
    const { membership } = this;
    if (membership === null) return;
    const { tokens, timers } = this.options;

    const socket = this.options.openSocket(this.options.url);
    this.socket = socket;
    this.beatTimer = timers.set(() => this.lost(), ANSWER_TIMEOUT);
    socket.onopen = () => {
      const resumeToken = tokens.read(membership.room);
      socket.send(
        encode({
          type: "join",
          version: PROTOCOL_VERSION,
          room: membership.room,
          ...(membership.name === null ? {} : { name: membership.name }),
          ...(resumeToken === null ? {} : { resumeToken }),
        }),
      );
    };
    socket.onmessage = (event) => this.received(event.data);
    socket.onclose = (event) => {
      if (event.code !== TAKEN_OVER) return this.lost();
      this.membership = null;
      this.drop();
      this.options.onTakenOver();
    };
  }

  private received(data: unknown): void {
    this.silentBeats = 0;
    if (typeof data !== "string") return;
    const parsed = parseServerMessage(data);
    if (!parsed.ok) {
      this.options.onProblem?.(parsed.error);
      return;
    }
    const { message } = parsed;
    if (message.type === "pong") return;
    if (message.type === "joined") {
      this.joined = true;
      this.options.tokens.write(message.room, message.resumeToken);
      this.beat(Math.min(Math.max(message.heartbeatSeconds, 1), 300) * 1_000);
    }
    this.options.onMessage(message);
  }

  /** A page cannot see WebSocket pings, so it sends its own, and counts the beats without a word. */
  private beat(period: number): void {
    this.clearTimers();
    this.beatTimer = this.options.timers.set(() => {
      if (this.silentBeats >= 2) return this.lost();
      // Only a membership that lasts ends the growing of the pauses.
      this.attempt = 0;
      this.silentBeats += 1;
      this.send({ type: "ping" });
      this.beat(period);
    }, period);
  }

  private lost(): void {
    this.drop();
    this.retry();
    this.options.onDown();
  }

  private retry(): void {
    if (this.membership === null) return;
    const delay = backoffDelay(this.attempt, BACKOFF, this.options.random());
    this.attempt += 1;
    this.retryTimer = this.options.timers.set(() => this.connect(), delay);
  }

  /** Closes what there is, without a word to anybody. */
  private drop(): void {
    this.clearTimers();
    this.joined = false;
    this.silentBeats = 0;
    const { socket } = this;
    this.socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  private clearTimers(): void {
    const { timers } = this.options;
    if (this.retryTimer !== null) timers.clear(this.retryTimer);
    if (this.beatTimer !== null) timers.clear(this.beatTimer);
    this.retryTimer = this.beatTimer = null;
  }
}

/** Tokens of a tab: they outlive a reload and nothing else. */
export function sessionTokens(storage: Storage): TokenStore {
  const key = "duet.resume";
  return {
    read(room) {
      try {
        const kept: unknown = JSON.parse(storage.getItem(key) ?? "null");
        if (!Array.isArray(kept) || kept[0] !== room || typeof kept[1] !== "string") return null;
        return kept[1];
      } catch {
        return null; // Storage forbidden, or holding what is not ours: as good as none.
      }
    },
    write(room, token) {
      try {
        storage.setItem(key, JSON.stringify([room, token]));
      } catch {
        // Full or forbidden. A reload then waits until the server has noticed the closed socket.
      }
    },
    clear() {
      try {
        storage.removeItem(key);
      } catch {
        // As above.
      }
    },
  };
}

/** The server that served this page. */
export function signalingUrl(page: { readonly href: string }): string {
  const url = new URL("ws", page.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = url.hash = "";
  return url.href;
}
