/**
 * A signaling server of the smallest kind, with this page in it, for tests that have no other. It
 * keeps the protocol's rules of rooms and ids, and none of its limits. It can be stopped and
 * started again on the same port, as a test of a lost server wants.
 */

import { randomUUID } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { WebSocketServer, type WebSocket } from "ws";
import type { TestServer } from "./server";
import type { ClientMessage, PeerInfo, ServerMessage } from "../src/protocol";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** As strict as the real server's: the page has to work under it. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

const SEATS = 2;

interface Member {
  readonly socket: WebSocket;
  readonly id: string;
  readonly name: string | undefined;
  readonly room: string;
  readonly token: string;
}

export class Rooms implements TestServer {
  private http: Server | null = null;
  private members = new Map<string, Member>();
  private port = 0;
  private readonly page: string;

  constructor(page: string) {
    this.page = page;
  }

  get url(): string {
    return `http://localhost:${this.port}/`;
  }

  async start(): Promise<void> {
    const http = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://localhost").pathname;
      const file = join(this.page, normalize(path === "/" ? "/index.html" : path));
      if (!file.startsWith(this.page) || !existsSync(file)) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, {
        "content-type": TYPES[extname(file)] ?? "application/octet-stream",
        "content-security-policy": POLICY,
      });
      createReadStream(file).pipe(response);
    });
    new WebSocketServer({ server: http, path: "/ws" }).on("connection", (socket) => this.serve(socket));
    await new Promise<void>((resolve) => http.listen(this.port, "localhost", resolve));
    this.port = (http.address() as AddressInfo).port;
    this.http = http;
  }

  /** As if killed: no socket gets a goodbye, and every seat is forgotten. */
  async stop(): Promise<void> {
    const { http, members } = this;
    this.members = new Map();
    this.http = null;
    for (const { socket } of members.values()) socket.terminate();
    http?.closeAllConnections();
    await new Promise<void>((resolve) => (http === null ? resolve() : http.close(() => resolve())));
  }

  /** Breaks the sockets of everybody whose name this is. */
  cut(name: string): void {
    for (const member of this.members.values()) if (member.name === name) member.socket.terminate();
  }

  private serve(socket: WebSocket): void {
    let self: Member | null = null;
    socket.on("message", (data) => {
      const message = JSON.parse(String(data)) as ClientMessage;
      switch (message.type) {
        case "join":
          self = this.join(socket, message);
          return;
        case "leave":
          if (self !== null) this.part(self, "left");
          self = null;
          return;
        case "ping":
          return say(socket, { type: "pong" });
        default: {
          const { to, ...rest } = message;
          const peer = this.members.get(to);
          if (self !== null && peer?.room === self.room) {
            say(peer.socket, { ...rest, from: self.id } as ServerMessage);
          }
        }
      }
    });
    socket.on("close", () => {
      if (self !== null) this.part(self, "gone");
    });
  }

  private join(socket: WebSocket, message: Extract<ClientMessage, { type: "join" }>): Member | null {
    const ghost = [...this.members.values()].find(
      ({ token, room }) => token === message.resumeToken && room === message.room,
    );
    if (ghost !== undefined) {
      this.part(ghost, "replaced");
      ghost.socket.close(4001);
    }
    const others = [...this.members.values()].filter(({ room }) => room === message.room);
    if (others.length >= SEATS) {
      say(socket, { type: "error", code: "room-full", message: "Every seat is taken.", fatal: false });
      return null;
    }
    const { room, name } = message;
    const self = { socket, id: randomUUID(), name, room, token: randomUUID() };
    for (const other of others) say(other.socket, { type: "peer-joined", peer: info(self, false) });
    this.members.set(self.id, self);
    say(socket, {
      type: "joined",
      version: 1,
      id: self.id,
      room,
      peers: others.map((other) => info(other, true)),
      iceServers: [],
      heartbeatSeconds: 10,
      resumeToken: self.token,
    });
    return self;
  }

  private part(self: Member, reason: "left" | "gone" | "replaced"): void {
    if (!this.members.delete(self.id)) return;
    for (const other of this.members.values()) {
      if (other.room === self.room) say(other.socket, { type: "peer-left", id: self.id, reason });
    }
  }
}

function info({ id, name }: Member, polite: boolean): PeerInfo {
  return { id, ...(name === undefined ? {} : { name }), polite };
}

function say(socket: WebSocket, message: ServerMessage): void {
  socket.send(JSON.stringify(message));
}
