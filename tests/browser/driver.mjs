// A browser for a test in another language: commands come as JSON lines on standard input, one answer
// each goes out on standard output. It ends, and the browser with it, when its input ends.
//
//   {"id":1,"do":"launch","name":"chromium"}            options of browsers.mjs
//   {"id":2,"do":"open","page":"a","url":"http://…"}
//   {"id":3,"do":"state","page":"a","states":["connected"],"ms":20000}
//   {"id":4,"do":"watch","page":"a","ms":3000}
//   {"id":5,"do":"recording","page":"a","path":"a.webm","type":"video/webm","seek":2.5}
//   picture, eval, click, reload, screenshot, shut: see below
// An answer is {"id":…,"ok":…} or {"id":…,"error":"…"}.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { launch } from './browsers.mjs';
import { installMarks, keepConnections, waitForPicture, waitForState, watchRecording, watchRemote } from './page.mjs';

let launched;
const pages = new Map();

const page = (name) => pages.get(name) ?? (() => { throw new Error(`no page '${name}' is open`); })();

const actions = {
  async launch(options) {
    launched = await launch(options);
    return await launched.browser.version();
  },
  async open({ page: name, url, width = 1280, height = 800 }) {
    const opened = await launched.browser.newPage();
    pages.set(name, opened);
    opened.on('console', (message) => process.stderr.write(`[${name}] ${message.type()}: ${message.text()}\n`));
    opened.on('pageerror', (error) => process.stderr.write(`[${name}] error: ${error.message}\n`));
    await opened.setViewport({ width, height });
    await opened.evaluateOnNewDocument(keepConnections);
    await opened.goto(url, { waitUntil: 'domcontentloaded' });
    return true;
  },
  state: ({ page: name, states, ms }) => page(name).evaluate(waitForState, states, ms),
  picture: ({ page: name, selector, ms }) => page(name).evaluate(waitForPicture, selector, ms),
  async watch({ page: name, ms }) {
    await page(name).evaluate(installMarks);
    return page(name).evaluate(watchRemote, ms);
  },
  async recording({ page: name, path, type, seek = null }) {
    await page(name).evaluate(installMarks);
    return page(name).evaluate(watchRecording, readFileSync(path, 'base64'), type, seek);
  },
  eval: ({ page: name, code }) => page(name).evaluate(code),
  async click({ page: name, selector }) {
    await page(name).click(selector);
    return true;
  },
  async reload({ page: name }) {
    await page(name).reload({ waitUntil: 'domcontentloaded' });
    return true;
  },
  async screenshot({ page: name, path }) {
    await page(name).screenshot({ path });
    return true;
  },
  async shut({ page: name }) {
    await page(name).close({ runBeforeUnload: false });
    pages.delete(name);
    return true;
  },
};

async function answer(line) {
  const { id, do: action, ...options } = JSON.parse(line);
  try {
    const ok = (await actions[action](options)) ?? null;
    process.stdout.write(`${JSON.stringify({ id, ok })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id, error: String(error?.message ?? error) })}\n`);
  }
}

const pending = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  const task = answer(line).finally(() => pending.delete(task));
  pending.add(task);
}
await Promise.allSettled(pending);
await launched?.close();
process.exit(0);
