/**
 * Two pages call each other in a real Chromium, over the signaling server that server.ts finds.
 */

import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exposingConnections, inState, launch, person, PHONE, pictureMoves } from "./chromium";
import { given, page, Program } from "./server";

const rooms = page();
const server = given === undefined ? rooms : new Program(given);
let browser: Browser;
let base: string;
let room: string;
let turn = 0;
let problems: string[][] = [];

beforeAll(async () => {
  await server.start();
  base = server.url;
  browser = await launch();
}, 30_000);

afterAll(async () => {
  await browser.close();
  await server.stop();
});

beforeEach(() => {
  turn += 1;
  problems = [];
  room = `test-${process.pid}-${turn}`;
});

afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  expect(problems.flat()).toEqual([]);
});

function address(query = ""): string {
  return `${base}?room=${room}&join=1${query}`;
}

async function join(name: string, query = "", options: Parameters<typeof person>[1] = {}): Promise<Page> {
  const { page, problems: own } = await person(browser, options);
  problems.push(own);
  await page.goto(address(`&name=${name}${query}`));
  return page;
}

async function pair(): Promise<[Page, Page]> {
  const ada = await join("Ada", "", { script: exposingConnections });
  await inState(ada, "connecting", "waiting");
  const ben = await join("Ben", "", { script: exposingConnections });
  await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
  await Promise.all([pictureMoves(ada), pictureMoves(ben)]);
  return [ada, ben];
}

describe("a call of two pages", () => {
  it("shows each the other, with sound, by VP8 and Opus", async () => {
    const [ada, ben] = await pair();
    for (const page of [ada, ben]) {
      const remote = await page.locator("#remote-video").evaluate((element) => {
        const video = element as HTMLVideoElement;
        const stream = video.srcObject as MediaStream;
        return {
          size: [video.videoWidth, video.videoHeight],
          muted: video.muted,
          paused: video.paused,
          kinds: stream.getTracks().map((track) => track.kind).sort(),
        };
      });
      expect(remote).toMatchObject({ muted: false, paused: false, kinds: ["audio", "video"] });
      expect(remote.size[0]).toBeGreaterThanOrEqual(320);
    }
    await ada.keyboard.press("s");
    const figures = ada.locator("#stats-rows");
    await expect.poll(() => figures.textContent(), { timeout: 10_000 }).toMatch(/VP8opus.*framesPerSecond\d\d.*qualityLimitationReasonnone/s);
  });

  it("sends at most what the hints allow", async () => {
    const [ada] = await pair();
    const hints = await ada.evaluate(() => {
      const [connection] = (window as unknown as { connections: RTCPeerConnection[] }).connections;
      const sender = connection?.getSenders().find(({ track }) => track?.kind === "video");
      return [sender?.getParameters().encodings[0]?.maxBitrate, sender?.track?.contentHint];
    });
    expect(hints).toEqual([2_500_000, "motion"]);
  });

  it("survives a restart of ICE that both sides begin in the same moment", async () => {
    const pages = await pair();
    const before = await Promise.all(pages.map(credentials));
    await Promise.all(
      pages.map((page) =>
        page.evaluate(() => {
          for (const one of (window as unknown as { connections: RTCPeerConnection[] }).connections) one.restartIce();
        }),
      ),
    );
    for (const [index, page] of pages.entries()) {
      await expect.poll(() => credentials(page), { timeout: 10_000 }).not.toBe(before[index]);
      await pictureMoves(page, 30);
      await inState(page, "connected", "");
    }
  });

  it("goes on when one side hangs up and comes again", async () => {
    const [ada, ben] = await pair();
    await ben.locator("#hang-up").click();
    await inState(ben, "ended", "hung-up");
    await inState(ada, "ended", "peer-hung-up");
    expect(await ben.locator("#local-video").evaluate((v) => (v as HTMLVideoElement).srcObject)).toBeNull();
    await ben.getByRole("button", { name: "Join again" }).click();
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await Promise.all([pictureMoves(ada), pictureMoves(ben)]);
  });

  it("survives a reload of either page", async () => {
    const [ada, ben] = await pair();
    for (const [reloaded, other] of [
      [ben, ada],
      [ada, ben],
    ] as const) {
      await reloaded.reload();
      await Promise.all([inState(reloaded, "connected"), inState(other, "connected")]);
      await Promise.all([pictureMoves(reloaded), pictureMoves(other)]);
    }
  });

  it("sees at once that the other end of the connection was closed, without a word", async () => {
    const [ada, ben] = await pair();
    const before = Date.now();
    await ben.evaluate(() => {
      for (const one of (window as unknown as { connections: RTCPeerConnection[] }).connections) one.close();
    });
    await inState(ada, "ended", "peer-hung-up");
    // ICE alone would take five seconds to notice.
    expect(Date.now() - before).toBeLessThan(3_000);
  });

  it("sees within seconds that the other tab is gone", async () => {
    const [ada, ben] = await pair();
    await ben.close({ runBeforeUnload: false });
    await inState(ada, "ended");
  });

  it("finds the door of a full room closed, and the call inside unharmed", async () => {
    const [ada] = await pair();
    const third = await join("Cyd");
    await inState(third, "failed", "room-full");
    expect(await third.locator("#local-video").evaluate((v) => (v as HTMLVideoElement).srcObject)).toBeNull();
    await pictureMoves(ada);
  });

  it("connects two who join at the same moment", async () => {
    const [ada, ben] = await Promise.all([join("Ada"), join("Ben")]);
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await Promise.all([pictureMoves(ada), pictureMoves(ben)]);
  });
});

describe("when the server goes", () => {
  it("the call goes on without it, and the room is joined again", async () => {
    const [ada, ben] = await pair();
    await server.stop();
    await Promise.all([inState(ada, "connected", "signaling-lost"), inState(ben, "connected", "signaling-lost")]);
    await Promise.all([pictureMoves(ada, 30), pictureMoves(ben, 30)]);

    const gaps = [await watchGaps(ada), await watchGaps(ben)];
    await server.start();
    await Promise.all([inState(ada, "connected", ""), inState(ben, "connected", "")]);
    await Promise.all([pictureMoves(ada, 60), pictureMoves(ben, 60)]);
    for (const longest of gaps) expect(await longest()).toBeLessThan(1_000);
    expect(await Promise.all([connectionsMade(ada), connectionsMade(ben)])).toEqual([1, 1]);
    // And the room is one again: what is said over the server arrives.
    await ben.locator("#hang-up").click();
    await inState(ada, "ended", "peer-hung-up");
  });

  it.skipIf(given !== undefined)("one side loses its socket, and nobody sees it", async () => {
    const [ada, ben] = await pair();
    const gaps = [await watchGaps(ada), await watchGaps(ben)];
    rooms.cut("Ada");
    await inState(ada, "connected", "signaling-lost");
    await inState(ada, "connected", "");
    await Promise.all([pictureMoves(ada, 60), pictureMoves(ben, 60)]);
    for (const longest of gaps) expect(await longest()).toBeLessThan(1_000);
    expect(await Promise.all([connectionsMade(ada), connectionsMade(ben)])).toEqual([1, 1]);
    await ben.locator("#hang-up").click();
    await inState(ada, "ended", "peer-hung-up");
  });
});

describe("devices", () => {
  it("one side without a camera is heard, and says so", async () => {
    const ada = await join("Ada", "", { script: without("videoinput") });
    const ben = await join("Ben");
    await inState(ada, "connected", "no-camera");
    await inState(ben, "connected");
    await pictureMoves(ada);
    expect(await ada.locator("#notices").textContent()).toContain("No camera was found");
    const kinds = await ben
      .locator("#remote-video")
      .evaluate((v) => ((v as HTMLVideoElement).srcObject as MediaStream).getTracks().map((t) => t.kind));
    expect(kinds).toContain("audio");
    await ben.getByText("No picture from Ada").waitFor();
  });

  it("a camera that turns up in mid-call is seen", async () => {
    const ada = await join("Ada", "&camera=0");
    const ben = await join("Ben");
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await ada.keyboard.press("c");
    await pictureMoves(ben);
  });

  it("a camera that is unplugged takes nothing else with it", async () => {
    const [ada, ben] = await pair();
    await ada.locator("#local-video").evaluate((v) => {
      const [track] = ((v as HTMLVideoElement).srcObject as MediaStream).getVideoTracks();
      track?.stop();
      track?.dispatchEvent(new Event("ended"));
    });
    await inState(ada, "connected", "no-camera");
    await ben.getByText("No picture from Ada").waitFor();
    await pictureMoves(ada);
    // Plugged in again.
    await ada.evaluate(() => navigator.mediaDevices.dispatchEvent(new Event("devicechange")));
    await inState(ada, "connected", "");
    await pictureMoves(ben);
  });

  it("mute and camera off reach the other side, by keyboard", async () => {
    const [ada, ben] = await pair();
    await ada.keyboard.press("c");
    await ada.keyboard.press("m");
    expect(await ada.locator("#camera").getAttribute("aria-pressed")).toBe("true");
    expect(await ada.locator("#microphone").getAttribute("aria-pressed")).toBe("true");
    // The encoder's black is black, not merely dark.
    await expect.poll(() => brightness(ben), { timeout: 10_000 }).toBeLessThan(20);
    await ada.keyboard.press("c");
    await expect.poll(() => brightness(ben), { timeout: 10_000 }).toBeGreaterThan(20);
  });

  it("joins with neither, to see and hear", async () => {
    const ada = await join("Ada", "&camera=0&microphone=0", { script: refusingAll });
    const ben = await join("Ben");
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await pictureMoves(ada);
  });

  it("offers to be heard where the browser refuses sound without a gesture", async () => {
    const ada = await join("Ada", "&camera=0&microphone=0", { script: refusingSound });
    await join("Ben");
    await pictureMoves(ada);
    const muted = () => ada.locator("#remote-video").evaluate((v) => (v as HTMLVideoElement).muted);
    expect(await muted()).toBe(true);
    await ada.getByRole("button", { name: "Tap to hear" }).click();
    expect(await muted()).toBe(false);
    expect(await ada.locator("#hear").isHidden()).toBe(true);
    await pictureMoves(ada);
  });

  it("says that permission was refused, and lets one join without", async () => {
    const ada = await join("Ada", "", { script: refusingAll, viewport: PHONE });
    await inState(ada, "failed", "permission-denied");
    await ada.getByRole("button", { name: "Join without" }).click();
    const ben = await join("Ben");
    await Promise.all([inState(ada, "connected"), inState(ben, "connected")]);
    await pictureMoves(ada);
  });
});

describe("the page alone", () => {
  it("needs no mouse", async () => {
    const { page } = await person(browser);
    await page.goto(base);
    await page.keyboard.type(room);
    await page.keyboard.press("Enter");
    await inState(page, "connecting", "waiting");
    await page.keyboard.press("Escape");
    await inState(page, "ended", "hung-up");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await inState(page, "connecting", "waiting");
    // Whoever is in a room is in it again after a reload.
    await page.reload();
    await inState(page, "connecting", "waiting");
  });

  it("refuses a room name that is none, in the form and in the address", async () => {
    const { page } = await person(browser);
    await page.goto(base);
    await page.locator("#room").fill("a b");
    await page.keyboard.press("Enter");
    expect(await page.locator("#room").evaluate((e) => (e as HTMLInputElement).validationMessage)).not.toBe("");
    await inState(page, "idle");
    await page.goto(`${base}?room=a%20b&join=1`);
    await inState(page, "failed", "bad-room");
  });

  it("tells a browser without WebRTC from a page that is not secure", async () => {
    const bare = await person(browser, { script: "delete window.RTCPeerConnection" });
    await bare.page.goto(base);
    await inState(bare.page, "failed", "no-webrtc");
    const { page } = await person(browser, {
      script: "Object.defineProperty(window, 'isSecureContext', { value: false })",
    });
    await page.goto(base);
    await inState(page, "failed", "insecure");
  });
});

/** As browsers do it. A page that is led by a test counts as touched, so they do not do it here. */
const refusingSound = `{
  const real = HTMLMediaElement.prototype.play;
  let touched = false;
  addEventListener("pointerdown", () => (touched = true), true);
  HTMLMediaElement.prototype.play = function () {
    return this.muted || touched
      ? real.call(this)
      : Promise.reject(new DOMException("play() failed", "NotAllowedError"));
  };
}`;

const refusingAll = `navigator.mediaDevices.getUserMedia = () =>
  Promise.reject(new DOMException("Permission denied", "NotAllowedError"));`;

function without(kind: "audioinput" | "videoinput"): string {
  const key = kind === "videoinput" ? "video" : "audio";
  return `{
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (constraints) => constraints.${key}
      ? Promise.reject(new DOMException("Requested device not found", "NotFoundError"))
      : real(constraints);
  }`;
}

async function connectionsMade(page: Page): Promise<number> {
  return page.evaluate(() => (window as unknown as { connections: unknown[] }).connections.length);
}

/** The ICE user name in use, which a restart changes. */
async function credentials(page: Page): Promise<string> {
  return page.evaluate(() => {
    const [connection] = (window as unknown as { connections: RTCPeerConnection[] }).connections;
    return /^a=ice-ufrag:(.*)$/m.exec(connection?.currentLocalDescription?.sdp ?? "")?.[1] ?? "";
  });
}

/** The mean of the remote picture's middle, 0 to 255. */
async function brightness(page: Page): Promise<number> {
  return page.locator("#remote-video").evaluate((video) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 64;
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("no canvas");
    context.drawImage(video as HTMLVideoElement, 0, 0, 64, 64);
    const { data } = context.getImageData(0, 0, 64, 64);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) {
      sum += ((data[i] ?? 0) + (data[i + 1] ?? 0) + (data[i + 2] ?? 0)) / 3;
    }
    return sum / (data.length / 4);
  });
}

/** Watches, from now on, how long the remote picture stands still at most; milliseconds. */
async function watchGaps(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const video = document.querySelector<HTMLVideoElement>("#remote-video");
    const watched = window as unknown as { longestGap: number };
    watched.longestGap = 0;
    let last = performance.now();
    const frame = () => {
      const now = performance.now();
      watched.longestGap = Math.max(watched.longestGap, now - last);
      last = now;
      video?.requestVideoFrameCallback(frame);
    };
    video?.requestVideoFrameCallback(frame);
  });
  return () => page.evaluate(() => (window as unknown as { longestGap: number }).longestGap);
}

