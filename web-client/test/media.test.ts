import { describe, expect, it } from "vitest";
import { capture, findObstacle, outcomeOf, type MediaEnvironment } from "../src/media";

class FakeTrack {
  contentHint = "";
  readonly kind: "audio" | "video";

  constructor(kind: "audio" | "video") {
    this.kind = kind;
  }
}

class FakeStream {
  private readonly tracks: FakeTrack[];

  constructor(...kinds: ("audio" | "video")[]) {
    this.tracks = kinds.map((kind) => new FakeTrack(kind));
  }

  getTracks = () => [...this.tracks];
  getVideoTracks = () => this.tracks.filter((track) => track.kind === "video");
  getAudioTracks = () => this.tracks.filter((track) => track.kind === "audio");
  addTrack = (track: FakeTrack) => void this.tracks.push(track);
}

type Device = "there" | "NotFoundError" | "NotReadableError" | "NotAllowedError";

/** A machine whose devices answer like this; the questions it was asked are kept. */
function machine(camera: Device, microphone: Device, denied: "camera" | "microphone" | null = null) {
  const asked: string[] = [];
  const environment: MediaEnvironment = {
    getUserMedia: (constraints) => {
      const kinds = (["audio", "video"] as const).filter((kind) => constraints[kind] !== undefined);
      asked.push(kinds.join("+"));
      for (const kind of kinds) {
        const device = kind === "video" ? camera : microphone;
        if (device !== "there") return Promise.reject(new DOMException("no", device));
      }
      return Promise.resolve(new FakeStream(...kinds) as unknown as MediaStream);
    },
    isDenied: (kind) => Promise.resolve(kind === denied),
    emptyStream: () => new FakeStream() as unknown as MediaStream,
  };
  return { environment, asked };
}

const both = { camera: true, microphone: true };

describe("camera and microphone", () => {
  it("are asked for in one question", async () => {
    const { environment, asked } = machine("there", "there");
    const result = await capture(both, environment);
    expect(result).toMatchObject({ camera: "on", microphone: "on" });
    expect(asked).toEqual(["audio+video"]);
    expect(result.stream.getVideoTracks().map((track) => track.contentHint)).toEqual(["motion"]);
  });

  it.each([
    ["NotFoundError", "missing"],
    ["NotReadableError", "busy"],
  ] as const)("one goes without the other: %s", async (error, outcome) => {
    const noCamera = await capture(both, machine(error, "there").environment);
    expect(noCamera).toMatchObject({ camera: outcome, microphone: "on" });
    expect(noCamera.stream.getTracks().map((track) => track.kind)).toEqual(["audio"]);
    const noMicrophone = await capture(both, machine("there", error).environment);
    expect(noMicrophone).toMatchObject({ camera: "on", microphone: outcome });
  });

  it("each say for themselves why they are not there", async () => {
    const { environment } = machine("NotReadableError", "NotFoundError");
    expect(await capture(both, environment)).toMatchObject({ camera: "busy", microphone: "missing" });
  });

  it("are not asked for again after a no to both", async () => {
    const { environment, asked } = machine("NotAllowedError", "NotAllowedError");
    expect(await capture(both, environment)).toMatchObject({ camera: "refused", microphone: "refused" });
    expect(asked).toHaveLength(1);
  });

  it("are asked for alone where one of the two is denied for good", async () => {
    const { environment } = machine("NotAllowedError", "there", "camera");
    expect(await capture(both, environment)).toMatchObject({ camera: "refused", microphone: "on" });
  });

  it("are not touched where nobody wants them", async () => {
    const { environment, asked } = machine("there", "there");
    expect(await capture({ camera: false, microphone: false }, environment)).toMatchObject({
      camera: "off",
      microphone: "off",
    });
    expect(asked).toEqual([]);
    expect(await capture({ camera: false, microphone: true }, environment)).toMatchObject({
      camera: "off",
      microphone: "on",
    });
    expect(asked).toEqual(["audio"]);
  });
});

it.each([
  ["NotAllowedError", "refused"],
  ["SecurityError", "refused"],
  ["NotReadableError", "busy"],
  ["AbortError", "busy"],
  ["NotFoundError", "missing"],
  ["OverconstrainedError", "missing"],
  ["SomethingNew", "missing"],
])("%s means %s", (name, outcome) => {
  expect(outcomeOf(new DOMException("", name))).toBe(outcome);
});

describe("what keeps a page from calling", () => {
  const able = {
    isSecureContext: true,
    RTCPeerConnection: class {},
    WebSocket: class {},
    navigator: { mediaDevices: {} },
  };

  it("is nothing in a browser that can, on a page that may", () => {
    expect(findObstacle(able)).toBeNull();
  });

  it("is told apart", () => {
    expect(findObstacle({ ...able, RTCPeerConnection: undefined })).toBe("no-webrtc");
    expect(findObstacle({ ...able, isSecureContext: false, navigator: {} })).toBe("insecure");
    expect(findObstacle({ ...able, navigator: {} })).toBe("no-webrtc");
  });
});
