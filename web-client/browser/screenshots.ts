/**
 * A picture of every state, at a desk and on a phone. States that a machine cannot come into by
 * itself are brought about as the world would do it: a device that refuses, a server that is full.
 */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DESKTOP, exposingConnections, inState, launch, person, PHONE, pictureMoves } from "./chromium";
import { page as builtPage } from "./server";

const rooms = builtPage();
const out = fileURLToPath(new URL("../screenshots/", import.meta.url));
let browser: Browser;
let room = 0;

beforeAll(async () => {
  mkdirSync(out, { recursive: true });
  await rooms.start();
  browser = await launch();
});

afterAll(async () => {
  await browser.close();
  await rooms.stop();
});

afterEach(async () => {
  room += 1;
  await Promise.all(browser.contexts().map((context) => context.close()));
});

const rejecting = (name: string, which = "true") => `{
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (c) =>
    ${which} ? Promise.reject(new DOMException("", "${name}")) : real(c);
}`;

const asking = "navigator.mediaDevices.getUserMedia = () => new Promise(() => {});";
const noSocket = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({ code: 1006 })); } close() {} send() {} };";

describe.each([
  ["desktop", DESKTOP],
  ["phone", PHONE],
] as const)("%s", (size, viewport) => {
  const open = async (query: string, script?: string, mayFilm = true): Promise<Page> => {
    const { page } = await person(browser, { viewport, mayFilm, ...(script ? { script } : {}) });
    await page.goto(`${rooms.url}?${query}`);
    return page;
  };
  const join = (name: string, script?: string, query = "") =>
    open(`room=demo-${room}&join=1&name=${name}${query}`, script);
  const shoot = async (page: Page, name: string): Promise<void> => {
    // Nothing may stick out sideways.
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(viewport.width);
    // Fades and the first frames of a picture.
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${out}${size}-${name}.png` });
  };

  it("lobby", async () => {
    await shoot(await open("", undefined, false), "lobby");
    const page = await open("room=demo&name=Ada");
    await page.locator('html[data-self="seen"]').waitFor({ state: "attached" });
    await page.locator("#join").focus();
    await shoot(page, "lobby-preview");
  });

  it.each([
    ["asking", asking, "joining", "asking-permission"],
    ["refused", rejecting("NotAllowedError"), "failed", "permission-denied"],
    ["no-devices", rejecting("NotFoundError"), "failed", "no-devices"],
    ["busy", rejecting("NotReadableError"), "failed", "devices-busy"],
    ["no-webrtc", "delete window.RTCPeerConnection", "failed", "no-webrtc"],
    ["insecure", "Object.defineProperty(window, 'isSecureContext', { value: false })", "failed", "insecure"],
    ["no-server", noSocket, "joining", "server-unreachable"],
    ["waiting", undefined, "connecting", "waiting"],
    ["waiting-no-camera", rejecting("NotFoundError", "c.video"), "connecting", "waiting"],
  ])("%s", async (name, script, state, reason) => {
    const page = await join("Ada", script);
    await inState(page, state, reason);
    await shoot(page, name);
  });

  it("a call, and its end", async () => {
    const ada = await join("Ada");
    await inState(ada, "connecting", "waiting");
    const ben = await join("Ben", rejecting("NotFoundError", "c.audio"));
    await inState(ada, "connected");
    await pictureMoves(ada, 60);
    await shoot(ada, "connected");
    await pictureMoves(ben);
    await shoot(ben, "connected-no-microphone");
    await ada.keyboard.press("s");
    await ada.keyboard.press("m");
    await ada.waitForTimeout(2_200);
    await shoot(ada, "connected-stats");
    await ada.keyboard.press("c");
    await ada.keyboard.press("Escape");
    await ada.keyboard.press("Tab");
    await shoot(ada, "connected-camera-off-focus");
    const third = await join("Cyd");
    await inState(third, "failed", "room-full");
    await shoot(third, "room-full");
    await ben.keyboard.press("Escape");
    await inState(ben, "ended", "hung-up");
    await shoot(ben, "ended");
    await inState(ada, "ended", "peer-hung-up");
    await shoot(ada, "ended-by-other");
  });

  it("no picture from the other side, and the server away", async () => {
    const ada = await join("Ada");
    const ben = await join("Ben", undefined, "&camera=0");
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await shoot(ada, "connected-no-remote-picture");
    await rooms.stop();
    await inState(ben, "connected", "signaling-lost");
    await shoot(ben, "connected-server-away");
    await rooms.start();
  });

  it("reconnecting", async () => {
    const ada = await join("Ada", exposingConnections);
    const ben = await join("Ben");
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await pictureMoves(ada, 30);
    // What the browser would say some seconds after the path broke, said now.
    await ada.evaluate(() => {
      const { connections } = window as unknown as { connections: RTCPeerConnection[] };
      for (const connection of connections) {
        Object.defineProperty(connection, "connectionState", { value: "disconnected" });
        connection.dispatchEvent(new Event("connectionstatechange"));
      }
    });
    await inState(ada, "reconnecting", "media-interrupted");
    await shoot(ada, "reconnecting");
  });

  it("connecting", async () => {
    // Nobody ever answers.
    const ada = await join("Ada", "RTCPeerConnection.prototype.setRemoteDescription = () => new Promise(() => {})");
    await inState(ada, "connecting", "waiting");
    await join("Ben");
    await inState(ada, "connecting", "negotiating");
    await shoot(ada, "connecting");
  });
});
