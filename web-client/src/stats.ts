/**
 * What `getStats` knows of a call, as the few figures a person asks for.
 *
 * `read` turns one report into totals, `between` two totals into rates. Both are pure: a rate is
 * never taken from a single report, and a figure that the browser does not give is `null`.
 */

/** Totals at one moment. */
export interface Sample {
  /** Milliseconds, on the report's own clock. */
  readonly at: number;
  readonly roundTripMs: number | null;
  readonly videoIn: Stream | null;
  readonly audioIn: Stream | null;
  readonly videoOut: Stream | null;
  readonly audioOut: Stream | null;
  /** Of the pair in use: `host`, `srflx`, `prflx` or `relay`, here and there. */
  readonly route: string | null;
}

export interface Stream {
  readonly bytes: number;
  readonly packets: number;
  readonly lost: number;
  readonly frames: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly codec: string | null;
}

/** Rates over the time between two samples. */
export interface Figures {
  readonly roundTripMs: number | null;
  readonly route: string | null;
  readonly videoIn: Rates | null;
  readonly audioIn: Rates | null;
  readonly videoOut: Rates | null;
  readonly audioOut: Rates | null;
}

export interface Rates {
  readonly bitsPerSecond: number;
  readonly framesPerSecond: number;
  /** 0 to 1. */
  readonly loss: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly codec: string | null;
}

type Entry = Readonly<Record<string, unknown>>;

export function read(report: Iterable<readonly [string, unknown]>): Sample {
  const entries = new Map<string, Entry>();
  for (const [id, entry] of report) entries.set(id, entry as Entry);
  const all = [...entries.values()];

  const streams = (direction: "inbound" | "outbound", kind: "audio" | "video") => {
    // After a renegotiation an idle entry may stay beside the one in use.
    const found = all
      .filter((entry) => entry["type"] === `${direction}-rtp` && entry["kind"] === kind)
      .sort((a, b) => bytesOf(b) - bytesOf(a))[0];
    return found === undefined ? null : stream(found, entries);
  };

  const pair = selectedPair(all, entries);
  return {
    at: Math.max(0, ...all.map((entry) => number(entry["timestamp"]) ?? 0)),
    roundTripMs: milliseconds(pair?.["currentRoundTripTime"]),
    videoIn: streams("inbound", "video"),
    audioIn: streams("inbound", "audio"),
    videoOut: streams("outbound", "video"),
    audioOut: streams("outbound", "audio"),
    route: pair === null ? null : routeOf(pair, entries),
  };
}

export function between(before: Sample | null, now: Sample): Figures {
  const seconds = before === null ? 0 : (now.at - before.at) / 1_000;
  const rates = (key: "videoIn" | "audioIn" | "videoOut" | "audioOut"): Rates | null => {
    const stream = now[key];
    if (stream === null) return null;
    const earlier = before?.[key] ?? null;
    // A counter that ran backwards belongs to another connection.
    const since = (of: (one: Stream) => number) =>
      earlier === null || seconds <= 0 ? 0 : Math.max(0, of(stream) - of(earlier));
    const lost = since((one) => one.lost);
    const expected = lost + since((one) => one.packets);
    return {
      bitsPerSecond: seconds > 0 ? (since((one) => one.bytes) * 8) / seconds : 0,
      framesPerSecond: seconds > 0 ? since((one) => one.frames) / seconds : 0,
      loss: expected > 0 ? lost / expected : 0,
      width: stream.width,
      height: stream.height,
      codec: stream.codec,
    };
  };
  return {
    roundTripMs: now.roundTripMs,
    route: now.route,
    videoIn: rates("videoIn"),
    audioIn: rates("audioIn"),
    videoOut: rates("videoOut"),
    audioOut: rates("audioOut"),
  };
}

/** The figures as rows of a table: what, and how much. */
export function rows(figures: Figures): readonly (readonly [string, string])[] {
  const { roundTripMs, route } = figures;
  return [
    ["Round trip", roundTripMs === null ? "–" : `${Math.round(roundTripMs)}\u00a0ms`],
    ["Route", route ?? "–"],
    ["Picture in", videoText(figures.videoIn)],
    ["Sound in", audioText(figures.audioIn)],
    ["Picture out", videoText(figures.videoOut)],
    ["Sound out", audioText(figures.audioOut)],
  ];
}

function videoText(rates: Rates | null): string {
  if (rates === null) return "–";
  const size = rates.width === null || rates.height === null ? null : `${rates.width}×${rates.height}`;
  return join([size, `${Math.round(rates.framesPerSecond)}\u00a0fps`, ...common(rates)]);
}

function audioText(rates: Rates | null): string {
  return rates === null ? "–" : join(common(rates));
}

function common(rates: Rates): (string | null)[] {
  const kilobits = Math.round(rates.bitsPerSecond / 1_000);
  return [
    kilobits >= 1_000 ? `${(kilobits / 1_000).toFixed(1)}\u00a0Mbit/s` : `${kilobits}\u00a0kbit/s`,
    `${(rates.loss * 100).toFixed(rates.loss > 0 && rates.loss < 0.1 ? 1 : 0)}\u00a0% lost`,
    rates.codec,
  ];
}

function join(parts: readonly (string | null)[]): string {
  return parts.filter((part) => part !== null).join(" · ");
}

function stream(entry: Entry, entries: ReadonlyMap<string, Entry>): Stream {
  // The loss of what is sent is known to the remote, which reports it.
  const remote = entries.get(text(entry["remoteId"]) ?? "");
  const codec = text(entries.get(text(entry["codecId"]) ?? "")?.["mimeType"]);
  return {
    bytes: bytesOf(entry),
    packets: number(entry["packetsReceived"]) ?? number(entry["packetsSent"]) ?? 0,
    lost: number(entry["packetsLost"]) ?? number(remote?.["packetsLost"]) ?? 0,
    frames: number(entry["framesDecoded"]) ?? number(entry["framesEncoded"]) ?? 0,
    width: number(entry["frameWidth"]),
    height: number(entry["frameHeight"]),
    codec: codec?.split("/")[1] ?? null,
  };
}

function bytesOf(entry: Entry): number {
  return number(entry["bytesReceived"]) ?? number(entry["bytesSent"]) ?? 0;
}

function selectedPair(all: readonly Entry[], entries: ReadonlyMap<string, Entry>): Entry | null {
  const transport = all.find((entry) => entry["type"] === "transport");
  const named = entries.get(text(transport?.["selectedCandidatePairId"]) ?? "");
  if (named !== undefined) return named;
  const pairs = all.filter((entry) => entry["type"] === "candidate-pair");
  return (
    pairs.find((pair) => pair["selected"] === true) ??
    pairs.find((pair) => pair["nominated"] === true && pair["state"] === "succeeded") ??
    null
  );
}

function routeOf(pair: Entry, entries: ReadonlyMap<string, Entry>): string | null {
  const local = entries.get(text(pair["localCandidateId"]) ?? "");
  const remote = entries.get(text(pair["remoteCandidateId"]) ?? "");
  const protocol = text(local?.["protocol"]);
  const ends = [text(local?.["candidateType"]), text(remote?.["candidateType"])];
  if (ends.includes(null)) return null;
  return join([ends.join(" – "), protocol?.toUpperCase() ?? null]);
}

function milliseconds(seconds: unknown): number | null {
  const value = number(seconds);
  return value === null ? null : value * 1_000;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** How much media came in so far. */
export async function bytesReceived(connection: RTCPeerConnection): Promise<number> {
  let bytes = 0;
  try {
    for (const [, entry] of await connection.getStats()) {
      if (entry.type === "inbound-rtp") bytes += (entry.bytesReceived as number | undefined) ?? 0;
    }
  } catch {
    // Closed meanwhile: nothing is received any more.
  }
  return bytes;
}
