import { describe, expect, it } from "vitest";
import { read, table, type Table } from "../src/stats";

type Report = [string, Record<string, unknown>][];

function report(seconds: number): Report {
  const timestamp = seconds * 1_000;
  return [
    ["T", { type: "transport", timestamp, selectedCandidatePairId: "P" }],
    [
      "P",
      {
        type: "candidate-pair",
        currentRoundTripTime: 0.0124,
        availableOutgoingBitrate: 1_234_567,
        localCandidateId: "L",
        remoteCandidateId: "R",
      },
    ],
    ["L", { type: "local-candidate", candidateType: "host", protocol: "udp" }],
    ["R", { type: "remote-candidate", candidateType: "relay" }],
    ["CV", { type: "codec", mimeType: "video/VP8" }],
    ["CA", { type: "codec", mimeType: "audio/opus" }],
    ["old", { type: "inbound-rtp", kind: "audio", timestamp, bytesReceived: 0 }],
    [
      "IA",
      {
        type: "inbound-rtp",
        kind: "audio",
        timestamp,
        codecId: "CA",
        bytesReceived: 4_000 * seconds,
        packetsReceived: 50,
        packetsLost: 0,
        jitter: 0.002,
        concealedSamples: 480,
        totalSamplesReceived: 48_000,
        jitterBufferDelay: 2_400 * seconds,
        jitterBufferTargetDelay: 1_920 * seconds,
        jitterBufferEmittedCount: 48_000 * seconds,
      },
    ],
    ["IV", { type: "inbound-rtp", kind: "video", timestamp, freezeCount: 2, totalFreezesDuration: 1.25 }],
    [
      "OV",
      {
        type: "outbound-rtp",
        kind: "video",
        timestamp,
        codecId: "CV",
        remoteId: "RV",
        bytesSent: 250_000 * seconds,
        packetsSent: 100,
        targetBitrate: 2_000_000,
        frameWidth: 1280,
        frameHeight: 720,
        framesPerSecond: 30,
        nackCount: 7,
        pliCount: 2,
        firCount: 0,
        retransmittedPacketsSent: 9,
        qualityLimitationReason: "bandwidth",
        qualityLimitationDurations: { none: 1, bandwidth: 12.4 },
      },
    ],
    ["RV", { type: "remote-inbound-rtp", packetsLost: 5, jitter: 0.0031, roundTripTime: 0.041 }],
  ];
}

function shown({ streams, connection }: Table): Record<string, readonly string[]> {
  const plain = (cells: readonly string[]) => cells.map((cell) => cell.replaceAll("\u00a0", " "));
  return Object.fromEntries([
    ...streams.map(([member, cells]) => [member, plain(cells)]),
    ...connection.map(([member, value]) => [member, plain([value])]),
  ]);
}

describe("the table", () => {
  it("has a row for each member and a column for each stream", () => {
    expect(shown(table(read(report(1)), read(report(2))))).toEqual({
      codec: ["VP8", "–", "–", "opus"],
      bitrate: ["2.0 Mbit/s", "–", "–", "32 kbit/s"],
      targetBitrate: ["2.0 Mbit/s", "–", "–", "–"],
      frame: ["1280×720", "–", "–", "–"],
      framesPerSecond: ["30", "–", "–", "–"],
      packetsLost: ["5 (5.0 %)", "–", "–", "0 (0.0 %)"],
      jitter: ["3 ms", "–", "–", "2 ms"],
      roundTripTime: ["41 ms", "–", "–", "–"],
      nackCount: ["7", "–", "–", "–"],
      pliCount: ["2", "–", "–", "–"],
      firCount: ["0", "–", "–", "–"],
      retransmittedPackets: ["9", "–", "–", "–"],
      freezeCount: ["–", "–", "2 (1.3 s)", "–"],
      concealedSamples: ["–", "–", "–", "480 (1.0 %)"],
      jitterBufferDelay: ["–", "–", "–", "50 ms"],
      jitterBufferTargetDelay: ["–", "–", "–", "40 ms"],
      qualityLimitationReason: ["bandwidth (12 s)", "–", "–", "–"],
      currentRoundTripTime: ["12 ms"],
      availableOutgoingBitrate: ["1.2 Mbit/s"],
      candidatePair: ["host – relay udp"],
    });
  });

  it("has no rates with one report alone, or over a new connection", () => {
    for (const before of [null, read(report(9))]) {
      const { bitrate, jitterBufferDelay } = shown(table(before, read(report(2))));
      expect(bitrate).toEqual(["–", "–", "–", "–"]);
      expect(jitterBufferDelay).toEqual(["–", "–", "–", "–"]);
    }
  });

  it("has a dash for what a browser does not give", () => {
    const empty = Object.values(shown(table(null, read([])))).flat();
    expect(new Set(empty)).toEqual(new Set(["–"]));
  });

  it("finds the pair in use without a transport entry, as in Firefox", () => {
    const without = report(1)
      .filter(([id]) => id !== "T")
      .map(([id, entry]): Report[number] => [id, id === "P" ? { ...entry, nominated: true, state: "succeeded" } : entry]);
    expect(shown(table(null, read(without)))["currentRoundTripTime"]).toEqual(["12 ms"]);
  });
});
