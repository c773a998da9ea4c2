import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds a signaling server; the built page asks the host that served it. */
const server = process.env["DUET_SERVER"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  // Relative addresses: the page works under any prefix that a reverse proxy puts before it.
  base: "./",
  build: {
    target: "es2022",
    // No data: addresses and no inline script, so that a strict Content-Security-Policy holds.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/ws": { target: server, ws: true } } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 5_000,
  },
});
