/**
 * What `getStats` knows of a call, as rows of a table with a column for each stream.
 *
 * The rows are members of webrtc-stats under their names, the same as `duet call --stats` shows at the
 * other end (`crates/endpoint/src/stats_table/rows.rs`). `read` takes one report apart and `table` puts two
 * together: a rate is never taken from a single report, and what the browser does not give is a dash.
 */

type Entry = Readonly<Record<string, unknown>>;
type Cell = string | null;

/** One report. */
export interface Sample {
  readonly streams: readonly Stream[];
  readonly connection: Connection;
}

/** One direction of one kind, with what belongs to it. */
interface Stream {
  readonly sent: boolean;
  readonly own: Entry | null;
  /** What the other side says of it. */
  readonly remote: Entry | null;
  readonly codec: Entry | null;
}

interface Connection {
  readonly pair: Entry | null;
  readonly local: Entry | null;
  readonly remote: Entry | null;
}

export interface Table {
  /** What, and how much of each of `COLUMNS`. */
  readonly streams: readonly (readonly [string, readonly string[]])[];
  /** What, and how much. */
  readonly connection: readonly (readonly [string, string])[];
}

/** As streams are ordered. */
export const COLUMNS = ["video out", "audio out", "video in", "audio in"] as const;

export function read(report: Iterable<readonly [string, unknown]>): Sample {
  const entries = new Map<string, Entry>();
  for (const [id, entry] of report) entries.set(id, entry as Entry);
  const all = [...entries.values()];
  const named = (by: Entry | null, member: string) => entries.get(text(by?.[member]) ?? "") ?? null;

  const stream = (sent: boolean, kind: "audio" | "video"): Stream => {
    // After a renegotiation an idle entry may stay beside the one in use.
    const own =
      all
        .filter((entry) => entry["type"] === (sent ? "outbound-rtp" : "inbound-rtp") && entry["kind"] === kind)
        .sort((a, b) => bytesOf(b) - bytesOf(a))[0] ?? null;
    return { sent, own, remote: named(own, "remoteId"), codec: named(own, "codecId") };
  };

  const pair = selectedPair(all, entries);
  return {
    streams: [stream(true, "video"), stream(true, "audio"), stream(false, "video"), stream(false, "audio")],
    connection: { pair, local: named(pair, "localCandidateId"), remote: named(pair, "remoteCandidateId") },
  };
}

export function table(before: Sample | null, now: Sample): Table {
  const views = now.streams.map((stream, column) => new View(stream, before?.streams[column]?.own ?? null));
  return {
    streams: ROWS.map(([member, cell]) => [member, views.map((view) => cell(view) ?? "–")]),
    connection: connectionRows(now.connection).map(([member, cell]) => [member, cell ?? "–"]),
  };
}

const ROWS: readonly (readonly [string, (view: View) => Cell])[] = [
  ["codec", ({ stream }) => text(stream.codec?.["mimeType"])?.split("/")[1] ?? null],
  ["bitrate", (view) => as(bits, times(view.rate(view.stream.sent ? "bytesSent" : "bytesReceived"), 8))],
  ["targetBitrate", (view) => as(bits, view.own("targetBitrate"))],
  ["frame", (view) => both(view.own("frameWidth"), view.own("frameHeight"), (width, height) => `${width}×${height}`)],
  ["framesPerSecond", (view) => as((rate) => rate.toFixed(0), view.own("framesPerSecond"))],
  [
    "packetsLost",
    (view) => {
      const lost = view.reported("packetsLost");
      // Not every browser tells what the other side received.
      const expected = plus(view.reported("packetsReceived"), lost) ?? view.own("packetsSent") ?? 0;
      if (lost === null || expected <= 0) return as(String, lost);
      return `${lost} (${((Math.max(0, lost) / expected) * 100).toFixed(1)}\u00a0%)`;
    },
  ],
  ["jitter", (view) => as(milliseconds, view.reported("jitter"))],
  ["roundTripTime", ({ stream }) => as(milliseconds, number(stream.remote?.["roundTripTime"]))],
  ["nackCount", (view) => as(String, view.own("nackCount"))],
  ["pliCount", (view) => as(String, view.own("pliCount"))],
  ["firCount", (view) => as(String, view.own("firCount"))],
  [
    "retransmittedPackets",
    (view) => as(String, view.own(view.stream.sent ? "retransmittedPacketsSent" : "retransmittedPacketsReceived")),
  ],
  [
    "freezeCount",
    (view) =>
      both(view.own("freezeCount"), view.own("totalFreezesDuration"), (count, lasted) => `${count} (${lasted.toFixed(1)}\u00a0s)`),
  ],
  [
    "concealedSamples",
    (view) =>
      both(
        view.own("concealedSamples"),
        view.own("totalSamplesReceived"),
        (made, all) => `${made} (${((made / Math.max(1, all)) * 100).toFixed(1)}\u00a0%)`,
      ),
  ],
  ["jitterBufferDelay", (view) => as(milliseconds, view.eachEmitted("jitterBufferDelay"))],
  ["jitterBufferTargetDelay", (view) => as(milliseconds, view.eachEmitted("jitterBufferTargetDelay"))],
  [
    "qualityLimitationReason",
    ({ stream }) => {
      const reason = text(stream.own?.["qualityLimitationReason"]);
      if (reason === null) return null;
      const durations = stream.own?.["qualityLimitationDurations"] as Entry | undefined;
      const lasted = number(durations?.[reason]);
      return lasted === null ? reason : `${reason} (${lasted.toFixed(0)}\u00a0s)`;
    },
  ],
];

function connectionRows({ pair, local, remote }: Connection): readonly (readonly [string, Cell])[] {
  const ends = [text(local?.["candidateType"]), text(remote?.["candidateType"])];
  const ways = ends.includes(null) ? null : `${ends.join(" – ")} ${text(local?.["protocol"]) ?? ""}`.trimEnd();
  return [
    ["currentRoundTripTime", as(milliseconds, number(pair?.["currentRoundTripTime"]))],
    ["availableOutgoingBitrate", as(bits, number(pair?.["availableOutgoingBitrate"]))],
    ["candidatePair", ways],
  ];
}

/** A stream in a report, and in the one before. */
class View {
  readonly stream: Stream;
  private readonly before: Entry | null;

  constructor(stream: Stream, before: Entry | null) {
    this.stream = stream;
    this.before = before;
  }

  own(member: string): number | null {
    return number(this.stream.own?.[member]);
  }

  /** Who receives counts what is lost. */
  reported(member: string): number | null {
    return this.stream.sent ? number(this.stream.remote?.[member]) : this.own(member);
  }

  /** By how much a member grows each second. */
  rate(member: string): number | null {
    const milliseconds = this.since("timestamp");
    const grown = this.since(member);
    return milliseconds === null || grown === null || milliseconds <= 0 ? null : (grown / milliseconds) * 1_000;
  }

  /** Seconds for each frame or sample that left the jitter buffer since the report before. */
  eachEmitted(member: string): number | null {
    const emitted = this.since("jitterBufferEmittedCount");
    const delay = this.since(member);
    return emitted === null || delay === null || emitted <= 0 ? null : delay / emitted;
  }

  /** What ran backwards is of another stream. */
  private since(member: string): number | null {
    const grown = plus(this.own(member), times(number(this.before?.[member]), -1));
    return grown === null || grown < 0 ? null : grown;
  }
}

function as(write: (value: number) => string, value: number | null): Cell {
  return value === null ? null : write(value);
}

function both(one: number | null, other: number | null, write: (one: number, other: number) => string): Cell {
  return one === null || other === null ? null : write(one, other);
}

function plus(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one + other;
}

function times(value: number | null, factor: number): number | null {
  return value === null ? null : value * factor;
}

function milliseconds(seconds: number): string {
  return `${(seconds * 1_000).toFixed(0)}\u00a0ms`;
}

function bits(perSecond: number): string {
  return perSecond < 1e6 ? `${(perSecond / 1e3).toFixed(0)}\u00a0kbit/s` : `${(perSecond / 1e6).toFixed(1)}\u00a0Mbit/s`;
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
