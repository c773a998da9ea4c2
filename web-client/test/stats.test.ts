import { describe, expect, it } from "vitest";
import { between, read, rows } from "../src/stats";

type Report = [string, Record<string, unknown>][];

function report(at: number, changes: { bytes: number; packets: number; lost: number; frames: number }): Report {
  return [
    ["T", { type: "transport", timestamp: at, selectedCandidatePairId: "P" }],
    ["P", { type: "candidate-pair", timestamp: at, currentRoundTripTime: 0.0124, localCandidateId: "L", remoteCandidateId: "R" }],
    ["L", { type: "local-candidate", candidateType: "host", protocol: "udp" }],
    ["R", { type: "remote-candidate", candidateType: "relay" }],
    ["C", { type: "codec", mimeType: "video/VP8" }],
    ["old", { type: "inbound-rtp", kind: "video", timestamp: at, bytesReceived: 0 }],
    [
      "V",
      {
        type: "inbound-rtp",
        kind: "video",
        timestamp: at,
        codecId: "C",
        bytesReceived: changes.bytes,
        packetsReceived: changes.packets,
        packetsLost: changes.lost,
        framesDecoded: changes.frames,
        frameWidth: 1280,
        frameHeight: 720,
      },
    ],
    ["O", { type: "outbound-rtp", kind: "video", timestamp: at, bytesSent: 10, packetsSent: 90, remoteId: "RR" }],
    ["RR", { type: "remote-inbound-rtp", kind: "video", packetsLost: 10 }],
  ];
}

const first = read(report(1_000, { bytes: 100_000, packets: 100, lost: 0, frames: 30 }));
const second = read(report(3_000, { bytes: 600_000, packets: 480, lost: 20, frames: 90 }));

describe("figures", () => {
  it("are rates between two reports", () => {
    const { videoIn, roundTripMs, route } = between(first, second);
    expect(videoIn).toEqual({
      bitsPerSecond: 2_000_000,
      framesPerSecond: 30,
      loss: 0.05,
      width: 1280,
      height: 720,
      codec: "VP8",
    });
    expect(roundTripMs).toBeCloseTo(12.4);
    expect(route).toBe("host – relay · UDP");
  });

  it("of what is sent take the loss from the remote's report", () => {
    expect(second.videoOut).toMatchObject({ lost: 10, packets: 90 });
  });

  it("are no rates with one report alone", () => {
    expect(between(null, first).videoIn).toMatchObject({ bitsPerSecond: 0, framesPerSecond: 0, loss: 0 });
  });

  it("never run backwards over a new connection", () => {
    const { videoIn } = between(second, { ...first, at: 4_000 });
    expect(videoIn).toMatchObject({ bitsPerSecond: 0, framesPerSecond: 0, loss: 0 });
  });

  it("that a browser does not give are a dash", () => {
    const empty = rows(between(null, read([])));
    expect(new Set(empty.map(([, value]) => value))).toEqual(new Set(["–"]));
  });

  it("find the pair in use without a transport entry, as in Firefox", () => {
    const without = report(1, { bytes: 1, packets: 1, lost: 0, frames: 1 })
      .filter(([id]) => id !== "T")
      .map(([id, entry]): Report[number] => [id, id === "P" ? { ...entry, nominated: true, state: "succeeded" } : entry]);
    expect(read(without).roundTripMs).toBeCloseTo(12.4);
  });

  it("are written for people", () => {
    const text = Object.fromEntries(rows(between(first, second)));
    expect(text["Picture in"]?.replaceAll("\u00a0", " ")).toBe("1280×720 · 30 fps · 2.0 Mbit/s · 5.0 % lost · VP8");
    expect(text["Round trip"]?.replaceAll("\u00a0", " ")).toBe("12 ms");
  });
});
