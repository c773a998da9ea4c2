/** A headless Firefox with a fake camera and microphone, led by WebDriver BiDi over its own socket. */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

export const FIREFOX = process.env["FIREFOX"] ?? "/usr/bin/firefox-esr";
export const hasFirefox = existsSync(FIREFOX);

const PREFERENCES = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.peerconnection.ice.loopback": true,
  "media.autoplay.default": 0,
  "datareporting.policy.dataSubmissionEnabled": false,
};

interface Reply {
  readonly id?: number;
  readonly result?: unknown;
  readonly message?: string;
}

export class Firefox {
  private readonly socket: WebSocket;
  private readonly quit: () => Promise<void>;
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private last = 0;
  private context = "";

  private constructor(socket: WebSocket, quit: () => Promise<void>) {
    this.socket = socket;
    this.quit = quit;
    socket.on("message", (data) => {
      const reply = JSON.parse(String(data)) as Reply;
      if (reply.id !== undefined) this.waiting.get(reply.id)?.(reply);
    });
  }

  static async launch(): Promise<Firefox> {
    const profile = mkdtempSync(join(tmpdir(), "firefox-"));
    const lines = Object.entries(PREFERENCES).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
    );
    writeFileSync(join(profile, "user.js"), lines.join("\n"));
    const child = spawn(
      FIREFOX,
      ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank"],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const quit = async () => {
      child.kill("SIGTERM");
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    };
    try {
      const address = await new Promise<string>((resolve, reject) => {
        createInterface({ input: child.stderr }).on("line", (line) => {
          const found = /WebDriver BiDi listening on (\S+)/.exec(line)?.[1];
          if (found !== undefined) resolve(found);
        });
        ended.then(() => reject(new Error("Firefox ended before it could be led")), reject);
      });
      const socket = new WebSocket(`${address}/session`);
      await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
      const firefox = new Firefox(socket, quit);
      await firefox.command("session.new", { capabilities: {} });
      const tree = (await firefox.command("browsingContext.getTree", {})) as {
        contexts: { context: string }[];
      };
      firefox.context = tree.contexts[0]?.context ?? "";
      return firefox;
    } catch (error) {
      await quit();
      throw error;
    }
  }

  async goto(url: string): Promise<void> {
    await this.command("browsingContext.navigate", { context: this.context, url, wait: "complete" });
  }

  /** The value of an expression in the page: a string, a number, a boolean or null. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = (await this.command("script.evaluate", {
      expression,
      target: { context: this.context },
      awaitPromise: true,
    })) as { result?: { value?: unknown } };
    return answer.result?.value ?? null;
  }

  async close(): Promise<void> {
    this.socket.terminate();
    await this.quit();
  }

  private async command(method: string, params: object): Promise<unknown> {
    this.last += 1;
    const id = this.last;
    const reply = await new Promise<Reply>((resolve) => {
      this.waiting.set(id, resolve);
      this.socket.send(JSON.stringify({ id, method, params }));
    });
    this.waiting.delete(id);
    if (reply.result === undefined) throw new Error(`${method}: ${reply.message ?? "no result"}`);
    return reply.result;
  }
}
