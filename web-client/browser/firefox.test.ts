/** This page in Firefox calls this page in Chromium. Skipped where there is no Firefox. */

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inState, launch, person, pictureMoves } from "./chromium";
import { Firefox, hasFirefox } from "./firefox";
import { page as builtPage } from "./server";

describe.skipIf(!hasFirefox)("Firefox and Chromium", () => {
  const rooms = builtPage();
  let chromium: Browser;
  let firefox: Firefox;

  beforeAll(async () => {
    await rooms.start();
    [chromium, firefox] = await Promise.all([launch(), Firefox.launch()]);
  });

  afterAll(async () => {
    await Promise.all([chromium.close(), firefox.close()]);
    await rooms.stop();
  });

  const foxState = () => firefox.evaluate("document.documentElement.dataset.callState");
  /** A headless Firefox counts no painted frames; the clock of the element moves with them. */
  const foxTime = () => firefox.evaluate("document.querySelector('#remote-video').currentTime");

  async function foxPictureMoves(): Promise<void> {
    const before = Number(await foxTime());
    await expect.poll(foxTime, { timeout: 20_000 }).toBeGreaterThan(before + 1);
    expect(await firefox.evaluate("document.documentElement.dataset.picture")).toBe("true");
  }

  it.each(["Firefox", "Chromium"])("meet when %s is there first", async (first) => {
    const address = `${rooms.url}?room=first-${first}&join=1&name=`;
    const { page, problems, context } = await person(chromium);
    const steps = [() => firefox.goto(`${address}Fox`), () => page.goto(`${address}Chrome`)];
    for (const step of first === "Firefox" ? steps : steps.reverse()) await step();
    await inState(page, "connected");
    await expect.poll(foxState, { timeout: 20_000 }).toBe("connected");
    await Promise.all([pictureMoves(page), foxPictureMoves()]);

    await page.reload();
    await inState(page, "connected");
    await Promise.all([pictureMoves(page), foxPictureMoves()]);

    await rooms.stop();
    await inState(page, "connected", "signaling-lost");
    await rooms.start();
    await inState(page, "connected", "");
    await Promise.all([pictureMoves(page, 60), foxPictureMoves()]);

    await page.keyboard.press("Escape");
    await expect.poll(foxState, { timeout: 20_000 }).toBe("ended");
    await firefox.evaluate("document.querySelector('#hang-up').click()");
    expect(problems).toEqual([]);
    await context.close();
  });
});
