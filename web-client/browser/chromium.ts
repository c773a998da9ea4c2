/** A headless Chromium with a fake camera and microphone. */

import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  // A page that is not on top goes on like one that is.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: FLAGS,
  });
}

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };

/** A person of their own: storage and permissions are shared with nobody. */
export async function person(
  browser: Browser,
  options: { viewport?: { width: number; height: number }; script?: string; mayFilm?: boolean } = {},
): Promise<{ context: BrowserContext; page: Page; problems: string[] }> {
  const context = await browser.newContext({
    viewport: options.viewport ?? DESKTOP,
    reducedMotion: "reduce",
    permissions: options.mayFilm === false ? [] : ["camera", "microphone"],
  });
  if (options.script !== undefined) await context.addInitScript(options.script);
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    // A server that is away is part of some stories, and the browser logs it as an error.
    const expected = message.text().startsWith("WebSocket connection to");
    if (message.type() === "error" && !expected) problems.push(message.text());
  });
  return { context, page, problems };
}

/** Waits until the root element says `state`, and, if given, `reason`. */
export async function inState(page: Page, state: string, reason?: string): Promise<void> {
  const selector =
    `html[data-call-state="${state}"]` + (reason === undefined ? "" : `[data-call-reason="${reason}"]`);
  await page.locator(selector).waitFor({ state: "attached", timeout: 20_000 });
}

/** Keeps the page's peer connections where a test can reach them. */
export const exposingConnections = `
  window.connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) { super(...given); window.connections.push(this); }
  };`;

/** Frames that the remote video has shown. */
export async function framesShown(page: Page): Promise<number> {
  return page
    .locator("#remote-video")
    .evaluate((video) => (video as HTMLVideoElement).getVideoPlaybackQuality().totalVideoFrames);
}

/** Waits until the remote picture has gone on by `more` frames. */
export async function pictureMoves(page: Page, more = 10): Promise<void> {
  const before = await framesShown(page);
  await page.waitForFunction(
    (least) => {
      const video = document.querySelector<HTMLVideoElement>("#remote-video");
      return (video?.getVideoPlaybackQuality().totalVideoFrames ?? 0) >= least;
    },
    before + more,
    { timeout: 20_000 },
  );
}
