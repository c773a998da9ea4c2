/**
 * The messages of the signaling protocol, version 1 (signaling/PROTOCOL.md), and the one place
 * where text from the server becomes a typed value.
 *
 * It decides nothing: whether a message makes sense at this moment is the session's business.
 */

export const PROTOCOL_VERSION = 1;

/** The longest display name, in characters (code points). */
export const MAX_NAME_CHARS = 64;

export interface IceCandidate {
  /** Empty: there are no more. */
  readonly candidate: string;
  readonly sdpMid?: string;
  readonly sdpMLineIndex?: number;
  readonly usernameFragment?: string;
}

export interface PeerInfo {
  readonly id: string;
  /** Written by a stranger: shown as text only. */
  readonly name?: string;
  /** Whether this page is the polite one towards that peer. */
  readonly polite: boolean;
}

export interface IceServer {
  readonly urls: string[];
  readonly username?: string;
  readonly credential?: string;
}

export type ClientMessage =
  | {
      readonly type: "join";
      readonly version: typeof PROTOCOL_VERSION;
      readonly room: string;
      readonly name?: string;
      readonly resumeToken?: string;
    }
  | { readonly type: "leave" }
  | { readonly type: "offer" | "answer"; readonly to: string; readonly sdp: string }
  | ({ readonly type: "candidate"; readonly to: string } & IceCandidate)
  | { readonly type: "reject" | "bye"; readonly to: string }
  | { readonly type: "ping" };

export interface Joined {
  readonly type: "joined";
  readonly version: number;
  readonly id: string;
  readonly room: string;
  readonly peers: PeerInfo[];
  readonly iceServers: IceServer[];
  readonly heartbeatSeconds: number;
  readonly resumeToken: string;
}

export type LeaveReason = "left" | "gone" | "replaced";

export const ERROR_CODES = [
  "room-full",
  "bad-message",
  "unknown-type",
  "too-large",
  "too-fast",
  "no-such-peer",
  "not-in-room",
  "bad-room-name",
  "version",
  "room-limit",
  "server-full",
  "already-joined",
] as const;

/** `other` stands for every code of a later version. */
export type ErrorCode = (typeof ERROR_CODES)[number] | "other";

export interface ServerError {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
  readonly fatal: boolean;
}

export type ServerMessage =
  | Joined
  | { readonly type: "peer-joined"; readonly peer: PeerInfo }
  | { readonly type: "peer-left"; readonly id: string; readonly reason: LeaveReason }
  | { readonly type: "offer" | "answer"; readonly from: string; readonly sdp: string }
  | ({ readonly type: "candidate"; readonly from: string } & IceCandidate)
  | { readonly type: "reject" | "bye"; readonly from: string }
  | { readonly type: "pong" }
  | ServerError;

/** Text that is no message. `unknown-type` is skipped: a newer server may say more. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: "bad-message" | "unknown-type";

  constructor(code: ProtocolError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

export type Parsed<T> =
  | { readonly ok: true; readonly message: T }
  | { readonly ok: false; readonly error: ProtocolError };

/** Reads one text frame. Unknown fields are ignored; `null` in an optional one reads as absent. */
export function parseServerMessage(text: string): Parsed<ServerMessage> {
  try {
    return { ok: true, message: read(text) };
  } catch (error) {
    if (error instanceof ProtocolError) return { ok: false, error };
    throw error;
  }
}

export function encode(message: ClientMessage): string {
  return JSON.stringify(message);
}

/** 1 to 64 of `A-Z a-z 0-9 _ -`, so that it fits into an address as it is. */
export function isRoomName(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(text);
}

/** What of `text` may be sent as a name; `null` if nothing is left. */
export function cleanName(text: string): string | null {
  const printable = [...text.replace(/\p{Cc}/gu, "")].slice(0, MAX_NAME_CHARS).join("").trim();
  return printable === "" ? null : printable;
}

function read(text: string): ServerMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad("a message must be JSON");
  }
  const fields = object(value, "a message");
  const type = fields["type"];
  switch (type) {
    case "joined":
      return {
        type,
        version: integer(fields, "version"),
        id: string(fields, "id"),
        room: string(fields, "room"),
        peers: list(fields, "peers").map(readPeer),
        iceServers: list(fields, "iceServers").map(readIceServer),
        heartbeatSeconds: integer(fields, "heartbeatSeconds"),
        resumeToken: string(fields, "resumeToken"),
      };
    case "peer-joined":
      return { type, peer: readPeer(fields["peer"]) };
    case "peer-left": {
      const reason = string(fields, "reason");
      return {
        type,
        id: string(fields, "id"),
        reason: reason === "left" || reason === "replaced" ? reason : "gone",
      };
    }
    case "offer":
    case "answer":
      return { type, from: string(fields, "from"), sdp: string(fields, "sdp") };
    case "candidate":
      return {
        type,
        from: string(fields, "from"),
        candidate: string(fields, "candidate"),
        ...present("sdpMid", optional(fields, "sdpMid", string)),
        ...present("sdpMLineIndex", optional(fields, "sdpMLineIndex", integer)),
        ...present("usernameFragment", optional(fields, "usernameFragment", string)),
      };
    case "reject":
    case "bye":
      return { type, from: string(fields, "from") };
    case "pong":
      return { type };
    case "error": {
      const code = string(fields, "code");
      return {
        type,
        code: ERROR_CODES.find((known) => known === code) ?? "other",
        message: string(fields, "message"),
        fatal: boolean(fields, "fatal"),
      };
    }
    default:
      if (typeof type !== "string") throw bad('a message must have a "type", which is a string');
      throw new ProtocolError("unknown-type", `"${type.slice(0, 40)}" is no message of version 1`);
  }
}

function readPeer(value: unknown): PeerInfo {
  const fields = object(value, "a peer");
  return {
    id: string(fields, "id"),
    ...present("name", optional(fields, "name", string)),
    polite: boolean(fields, "polite"),
  };
}

function readIceServer(value: unknown): IceServer {
  const fields = object(value, "an ICE server");
  const urls = list(fields, "urls");
  if (!urls.every((url) => typeof url === "string")) throw bad('"urls" must hold strings');
  return {
    urls,
    ...present("username", optional(fields, "username", string)),
    ...present("credential", optional(fields, "credential", string)),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function object(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${what} must be a JSON object`);
  }
  return value as Fields;
}

function string(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== "string") throw bad(`"${key}" must be a string`);
  return value;
}

function boolean(fields: Fields, key: string): boolean {
  const value = fields[key];
  if (typeof value !== "boolean") throw bad(`"${key}" must be true or false`);
  return value;
}

/** Every number of this protocol is a count. */
function integer(fields: Fields, key: string): number {
  const value = fields[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw bad(`"${key}" must be a whole number, not negative`);
  }
  return value;
}

function list(fields: Fields, key: string): unknown[] {
  const value = fields[key];
  if (!Array.isArray(value)) throw bad(`"${key}" must be a list`);
  return value;
}

function optional<T>(
  fields: Fields,
  key: string,
  reader: (fields: Fields, key: string) => T,
): T | undefined {
  return fields[key] === undefined || fields[key] === null ? undefined : reader(fields, key);
}

/** `{ [key]: value }`, or nothing where the value is absent. */
function present<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: T });
}

function bad(message: string): ProtocolError {
  return new ProtocolError("bad-message", message);
}
