// Waits for the reports of a harness, prints them, and ends with 0 if all say that media arrived
// intact.   node verdict.mjs FOLDER NAME...
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, ...names] = process.argv.slice(2);
const deadline = Date.now() + 120_000;
const path = (name) => join(folder, `${name}.json`);

function read(name) {
  if (!existsSync(path(name))) return undefined;
  try {
    return JSON.parse(readFileSync(path(name), 'utf8'));
  } catch {
    return undefined; // half written
  }
}

let reports = [];
while (Date.now() < deadline) {
  reports = names.map(read);
  if (reports.every(Boolean)) break;
  await new Promise((resolve) => setTimeout(resolve, 200));
}

let pass = true;
names.forEach((name, at) => {
  const report = reports[at] ?? { pass: false, reasons: ['no report came'] };
  pass &&= report.pass;
  const { video, audio } = report;
  const figures = [
    video && `${video.width}x${video.height}, ${video.frames_decoded} pictures, ${Number(video.fps).toFixed(1)}/s`,
    video?.latency_ms && `latency ${Math.round(video.latency_ms.p50)} ms`,
    audio && `sound ${Number(audio.received).toFixed(1)} s`,
  ].filter(Boolean).join(', ');
  console.log(`${report.pass ? 'PASS' : 'FAIL'}  ${name.padEnd(10)} ${figures} ${report.reasons.join('; ')}`);
});
console.log(pass ? 'verdict: media arrived intact everywhere' : 'verdict: FAILED');
process.exit(pass ? 0 : 1);
