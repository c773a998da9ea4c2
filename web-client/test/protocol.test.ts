import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  cleanName,
  encode,
  isRoomName,
  parseServerMessage,
  ProtocolError,
  type ClientMessage,
} from "../src/protocol";

interface Valid {
  readonly what: string;
  readonly message: unknown;
  readonly means?: unknown;
}

interface Invalid {
  readonly what: string;
  readonly text: string;
  readonly code: string;
}

function fixture<T>(name: string): T[] {
  const file = new URL(`../../signaling/fixtures/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as T[];
}

describe("what the server says", () => {
  it.each(fixture<Valid>("server-valid"))("reads: $what", ({ message, means }) => {
    const parsed = parseServerMessage(JSON.stringify(message));
    expect(parsed).toEqual({ ok: true, message: means ?? message });
  });

  it.each(fixture<Invalid>("server-invalid"))("refuses: $what", ({ text, code }) => {
    const parsed = parseServerMessage(text);
    expect(parsed.ok).toBe(false);
    if (parsed.ok) return;
    expect(parsed.error).toBeInstanceOf(ProtocolError);
    expect(parsed.error.code).toBe(code);
    expect(parsed.error.message).not.toBe("");
  });

  it.each(fixture<Invalid>("client-invalid"))("is never this: $what", ({ text }) => {
    expect(parseServerMessage(text).ok).toBe(false);
  });

  it("survives a nesting that no message has", () => {
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    expect(parseServerMessage(deep).ok).toBe(false);
  });
});

describe("what this page says", () => {
  const plain = fixture<Valid>("client-valid").filter(({ means }) => means === undefined);

  it.each(plain)("writes: $what", ({ message }) => {
    expect(JSON.parse(encode(message as ClientMessage))).toEqual(message);
  });
});

describe("names", () => {
  it("takes as a room what fits into an address", () => {
    for (const name of ["demo", "A", "a-Room_1", "x".repeat(64)]) expect(isRoomName(name)).toBe(true);
    for (const name of ["", " ", "a b", "ä", "a/b", "x".repeat(65), "demo\n"]) {
      expect(isRoomName(name)).toBe(false);
    }
  });

  it("cleans a display name to what the server takes", () => {
    expect(cleanName("  Ada\u0000 \n")).toBe("Ada");
    expect(cleanName(" \t ")).toBeNull();
    // 64 characters, not 64 UTF-16 units: no emoji is cut in half.
    expect(cleanName("🎥".repeat(70))).toBe("🎥".repeat(64));
  });
});
