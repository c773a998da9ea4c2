// Starts a headless browser with fake or given media, always with a profile of its own.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--no-first-run', '--disable-quic', '--mute-audio',
  '--autoplay-policy=no-user-gesture-required',
  // A page in the background is a page that a test looks at.
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];

const FIREFOX_PREFS = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.loopback': true,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // Nothing is sent anywhere by the browser itself.
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'app.normandy.enabled': false,
  'browser.safebrowsing.downloads.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.update.enabled': false,
  'browser.search.update': false,
  'services.settings.server': 'data:,',
};

const PLACES = {
  chromium: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
  firefox: ['/usr/bin/firefox-esr', '/usr/bin/firefox'],
};

/** The executable of a browser: $CHROMIUM or $FIREFOX, or where Debian puts it. */
export function executable(name) {
  const found = [process.env[name.toUpperCase()], ...PLACES[name]].find((path) => path && existsSync(path));
  if (!found) throw new Error(`${name} is not installed; script/bootstrap test installs it`);
  return found;
}

/**
 * options: { name: 'chromium' | 'firefox', video?, audio? (files for Chromium's fake devices), devices? (false: none),
 *            permission? ('deny'), insecureOrigin? (an http origin to be treated as safe) }
 * Returns { browser, close() }.
 */
export async function launch({ name, video, audio, devices = true, permission, insecureOrigin }) {
  const profile = mkdtempSync(join(tmpdir(), 'duet-browser-'));
  const common = { browser: name === 'firefox' ? 'firefox' : 'chrome', executablePath: executable(name),
    headless: true, userDataDir: profile, acceptInsecureCerts: true, protocolTimeout: 120_000 };
  let browser;
  if (name === 'firefox') {
    browser = await puppeteer.launch({ ...common, extraPrefsFirefox: FIREFOX_PREFS });
  } else {
    const args = [...CHROMIUM_FLAGS];
    if (devices) args.push('--use-fake-device-for-media-stream');
    args.push(permission === 'deny' ? '--deny-permission-prompts' : '--use-fake-ui-for-media-stream');
    if (video) args.push(`--use-file-for-fake-video-capture=${video}`);
    if (audio) args.push(`--use-file-for-fake-audio-capture=${audio}`);
    if (insecureOrigin) args.push(`--unsafely-treat-insecure-origin-as-secure=${insecureOrigin}`);
    browser = await puppeteer.launch({ ...common, args });
  }
  const close = async () => {
    await browser.close().catch(() => browser.process()?.kill('SIGKILL'));
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { browser, close };
}
