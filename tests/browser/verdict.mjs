// Waits for the reports of a harness, prints them, and ends with 0 if all say that media arrived
// intact.   node verdict.mjs FOLDER NAME...
import { readFileSync, watch } from 'node:fs';
import { join } from 'node:path';

const PATIENCE = 120_000;
const [folder, ...names] = process.argv.slice(2);

function read(name) {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  } catch {
    return undefined; // not there, or half written
  }
}

let reports = [];
await new Promise((resolve) => {
  const end = () => {
    clearTimeout(timer);
    watcher.close();
    resolve();
  };
  const look = () => {
    reports = names.map(read);
    if (reports.every(Boolean)) end();
  };
  const timer = setTimeout(end, PATIENCE);
  // Before the first look, so that no report comes unseen between the two.
  const watcher = watch(folder, look);
  look();
});

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
