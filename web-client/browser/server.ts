/**
 * The signaling server of a test: the program that `DUET_SERVE` names (its words up to the address
 * to listen on, as in `target/debug/duet serve --listen`), or else the small one of rooms.ts.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { Rooms } from "./rooms";

export interface TestServer {
  readonly url: string;
  start(): Promise<void>;
  /** As if killed. It can be started again, on the same port. */
  stop(): Promise<void>;
}

export const given = process.env["DUET_SERVE"];

export function page(): Rooms {
  return new Rooms(fileURLToPath(new URL("../dist", import.meta.url)));
}

/** A program of ours; it carries the page that it was built with. */
export class Program implements TestServer {
  private readonly words: readonly string[];
  private child: ChildProcess | null = null;
  private port = 0;

  constructor(command: string) {
    this.words = command.split(" ").filter((word) => word !== "");
  }

  get url(): string {
    return `http://localhost:${this.port}/`;
  }

  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    const [program = "", ...rest] = this.words;
    const child = spawn(program, [...rest, `127.0.0.1:${this.port}`], { stdio: "ignore" });
    this.child = child;
    const failed = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
    });
    failed.catch(() => undefined);
    await Promise.race([failed, answers(this.url)]);
  }

  async stop(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function answers(url: string): Promise<void> {
  for (;;) {
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // Not yet. The next question comes when this one has failed, and a moment later.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
