'use strict';
// What drives a headless browser as a peer: a page with core.js in it, and the kit's lines in and out. puppeteer-core
// comes from the folder that NODE_MODULES names.
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const readline = require('readline');
const puppeteer = require(`${process.env.NODE_MODULES}/puppeteer-core`);

const [role, clip] = process.argv.slice(2);
const emit = (message) => process.stdout.write(JSON.stringify(message) + '\n');

async function serveFiles() {
  const server = http.createServer((request, response) => {
    if (request.url === '/clip') return fs.createReadStream(clip).pipe(response);
    if (request.url === '/speech') return fs.createReadStream(process.env.RIVALS_SPEECH).pipe(response);
    if (request.url === '/heard') {
      const heard = fs.createWriteStream(process.env.RIVALS_HEARD);
      return request.pipe(heard).on('finish', () => response.end());
    }
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}/`;
}

async function main(options, pageMain) {
  const url = await serveFiles();
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'rivals-browser-'));
  const browser = await puppeteer.launch({ headless: true, userDataDir: profile, ...options });
  const quit = async () => {
    await browser.close().catch(() => {});
    fs.rmSync(profile, { recursive: true, force: true });
    process.exit(0);
  };
  const page = await browser.newPage();
  page.on('console', (message) => console.error('page:', message.text()));
  page.on('pageerror', (error) => console.error('page:', error.message));
  await page.goto(url);
  await page.exposeFunction('emitLine', (line) => emit(JSON.parse(line)));
  await page.addScriptTag({ content: fs.readFileSync(path.join(__dirname, 'core.js'), 'utf8') });
  const { RIVALS_START_KBPS, RIVALS_MAX_KBPS, RIVALS_SPEECH, RIVALS_HEARD, RIVALS_RED } = process.env;
  const sound = { speaks: !!RIVALS_SPEECH, hears: !!RIVALS_HEARD, red: !!RIVALS_RED };
  await page.evaluate(pageMain, role, RIVALS_START_KBPS, RIVALS_MAX_KBPS, sound);
  readline.createInterface({ input: process.stdin })
    .on('line', (line) => page.evaluate((m) => { window.handle(m); }, JSON.parse(line)).catch(console.error))
    .on('close', quit);
  emit({ type: 'ready' });
}

/** Starts the browser with puppeteer's `options`; `pageMain(role, startKbps, maxKbps, { speaks, hears, red })` runs in
 * its page, next to core.js. */
exports.run = (options, pageMain) => main(options, pageMain).catch((error) => {
  emit({ type: 'error', message: error.message });
  process.exit(1);
});
