// The browser of the Docker harness: opens a page that joins a room, reads back what the other side
// sends, and leaves a report.   node harness.mjs URL REPORT
import { writeFileSync } from 'node:fs';
import { launch } from './browsers.mjs';
import { installMarks, waitForPicture, waitForState, watchRemote } from './page.mjs';

const [url, reportPath] = process.argv.slice(2);
const reasons = [];
let seen, browser;
try {
  browser = await launch({ name: 'chromium', insecureOrigin: new URL(url).origin });
  const page = await browser.browser.newPage();
  // The server may still be starting.
  for (let tries = 0; ; tries++) {
    try {
      await page.goto(url, { waitUntil: 'domcontentloaded' });
      break;
    } catch (error) {
      if (tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  await page.evaluate(waitForState, ['connected'], 30_000);
  await page.evaluate(waitForPicture, '#remote-video', 20_000);
  await page.evaluate(installMarks);
  seen = await page.evaluate(watchRemote, 8_000);
  const ages = seen.frames.map(([arrival, , unixMs]) => (arrival - unixMs) | 0).sort((a, b) => a - b);
  seen.fps = seen.frames.length / 8;
  seen.age_p50_ms = ages[ages.length >> 1] ?? null;
  if (seen.frames.length < 100) reasons.push(`only ${seen.frames.length} readable pictures in 8 s`);
  if (seen.unreadable > seen.frames.length / 20) reasons.push(`${seen.unreadable} unreadable pictures`);
  if (seen.hz.length < 20) reasons.push('no sound was heard');
} catch (error) {
  reasons.push(String(error?.message ?? error));
} finally {
  await browser?.close();
}
const report = { pass: reasons.length === 0, reasons, video: seen && {
  width: seen.width, height: seen.height, frames_decoded: seen.frames.length, fps: seen.fps,
  latency_ms: { p50: seen.age_p50_ms } } };
writeFileSync(reportPath, JSON.stringify(report));
console.log(JSON.stringify(report));
process.exit(0);
