import { describe, expect, it } from "vitest";
import { INITIAL, type CallState } from "../src/call";
import { parseLaunch } from "../src/launch";
import { fingerprintOf } from "../src/link";
import { shortcutOf } from "../src/ui";
import { deviceView, viewOf } from "../src/view";

describe("the address", () => {
  it("joins at once where it says so", () => {
    expect(parseLaunch("?room=demo&join=1")).toEqual({
      room: "demo",
      join: true,
      camera: true,
      microphone: true,
      name: null,
    });
    expect(parseLaunch("?room=demo&join=1&camera=0&microphone=0&name=Ada")).toMatchObject({
      camera: false,
      microphone: false,
      name: "Ada",
    });
  });

  it("else fills in the form", () => {
    expect(parseLaunch("")).toMatchObject({ room: "", join: false });
    expect(parseLaunch("?room=demo")).toMatchObject({ room: "demo", join: false });
    expect(parseLaunch("?join=1")).toMatchObject({ join: false });
    expect(parseLaunch("?room=demo&join=0").join).toBe(false);
  });
});

describe("shortcuts", () => {
  const press = { key: "m", ctrlKey: false, altKey: false, metaKey: false, repeat: false, target: null };

  it("are single keys, in either case", () => {
    const keys = ["m", "M", "c", "s", "Escape", "x", "Enter"].map((key) => shortcutOf({ ...press, key }));
    expect(keys).toEqual(["microphone", "microphone", "camera", "stats", "escape", null, null]);
  });

  it("leave alone what is typed, held down, or the browser's own", () => {
    expect(shortcutOf({ ...press, target: { tagName: "INPUT" } })).toBeNull();
    expect(shortcutOf({ ...press, ctrlKey: true, key: "c" })).toBeNull();
    expect(shortcutOf({ ...press, metaKey: true })).toBeNull();
    expect(shortcutOf({ ...press, repeat: true })).toBeNull();
  });
});

describe("the words", () => {
  const withDevices = (camera: CallState["camera"], microphone: CallState["microphone"]): CallState => ({
    ...INITIAL,
    camera,
    microphone,
  });
  const on = { outcome: "on", enabled: true } as const;
  const none = { outcome: "missing", enabled: true } as const;

  it("say what the call goes on without", () => {
    expect(viewOf(withDevices(on, none)).notices).toEqual([
      "No microphone was found. You are seen, but not heard.",
    ]);
    expect(viewOf(withDevices(none, none)).notices).toEqual(["You are neither seen nor heard."]);
    expect(viewOf(withDevices(on, on)).notices).toEqual([]);
  });

  it("keep the name of a toggle while its state changes", () => {
    const heard = deviceView("microphone", withDevices(on, on));
    const muted = deviceView("microphone", withDevices(on, { ...on, enabled: false }));
    expect([heard.pressed, muted.pressed]).toEqual([false, true]);
    expect(heard.name).toBe(muted.name);
    expect(deviceView("camera", withDevices(none, on))).toMatchObject({ label: "No camera", pressed: true });
  });

  it("put the server's own sentence where it gave one", () => {
    const message = "This server speaks version 1.";
    const view = viewOf({ ...INITIAL, stage: { at: "failed", why: "server-refused", message } });
    expect(view.card?.detail).toBe(message);
  });
});

describe("a fingerprint", () => {
  it("tells connections apart, whatever the case of its letters", () => {
    const sdp = "v=0\r\na=group:BUNDLE 0\r\na=fingerprint:sha-256 AB:CD\r\nm=audio 9\r\n";
    expect(fingerprintOf(sdp)).toBe("sha-256 ab:cd");
    expect(fingerprintOf(sdp.toLowerCase())).toBe(fingerprintOf(sdp));
    expect(fingerprintOf("v=0\r\n")).toBeNull();
  });
});
