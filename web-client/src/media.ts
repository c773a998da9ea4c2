/**
 * Camera and microphone: asks for both, takes what there is, and names what is missing.
 *
 * It knows nothing of calls or of the page. A device that cannot be had is a value of the result,
 * never an exception: a call with only one of the two is a call.
 */

/** What became of one device. */
export type DeviceOutcome =
  /** A live track. */
  | "on"
  /** Nobody asked for it. */
  | "off"
  /** There is none: NotFoundError, or it was unplugged. */
  | "missing"
  /** Somebody else holds it: NotReadableError, AbortError. */
  | "busy"
  /** The person, the browser's settings or the system said no: NotAllowedError. */
  | "refused";

export type DeviceKind = "camera" | "microphone";

export interface Wanted {
  readonly camera: boolean;
  readonly microphone: boolean;
}

export interface Capture {
  readonly stream: MediaStream;
  readonly camera: DeviceOutcome;
  readonly microphone: DeviceOutcome;
}

/** The part of `navigator` that this module uses; a test passes its own. */
export interface MediaEnvironment {
  readonly getUserMedia: (constraints: MediaStreamConstraints) => Promise<MediaStream>;
  /** Whether the browser would refuse without asking. `null`: it does not tell. */
  readonly isDenied: (kind: DeviceKind) => Promise<boolean | null>;
  readonly emptyStream: () => MediaStream;
}

/** `ideal` throughout: a camera that cannot do 720p still serves. */
export const CAMERA: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30, max: 60 },
};

export const MICROPHONE: MediaTrackConstraints = {
  echoCancellation: { ideal: true },
  noiseSuppression: { ideal: true },
  autoGainControl: { ideal: true },
  channelCount: { ideal: 1 },
};

/** What keeps this page from calling at all; `null` if nothing does. */
export type Obstacle = "no-webrtc" | "insecure";

export function findObstacle(scope: {
  readonly isSecureContext: boolean;
  readonly RTCPeerConnection?: unknown;
  readonly WebSocket?: unknown;
  readonly navigator: { readonly mediaDevices?: unknown };
}): Obstacle | null {
  if (typeof scope.RTCPeerConnection !== "function" || typeof scope.WebSocket !== "function") {
    return "no-webrtc";
  }
  // An insecure page has no `mediaDevices` at all, so this has to be asked first.
  if (!scope.isSecureContext) return "insecure";
  return scope.navigator.mediaDevices === undefined ? "no-webrtc" : null;
}

/**
 * Asks for both devices in one prompt. Where that fails, asks for each alone, so that a missing
 * camera does not take the microphone with it.
 */
export async function capture(wanted: Wanted, environment: MediaEnvironment): Promise<Capture> {
  if (!wanted.camera && !wanted.microphone) {
    return { stream: environment.emptyStream(), camera: "off", microphone: "off" };
  }
  if (!wanted.camera || !wanted.microphone) {
    const kind = wanted.camera ? "camera" : "microphone";
    const { stream, outcome } = await captureOne(kind, environment);
    return kind === "camera"
      ? { stream, camera: outcome, microphone: "off" }
      : { stream, camera: "off", microphone: outcome };
  }
  try {
    const stream = await environment.getUserMedia({ video: CAMERA, audio: MICROPHONE });
    hint(stream);
    return { stream, camera: "on", microphone: "on" };
  } catch (error) {
    if (outcomeOf(error) === "refused" && !(await oneIsStillOpen(environment))) {
      // One "no" to the common question is a "no" to both: asking again would be nagging.
      return { stream: environment.emptyStream(), camera: "refused", microphone: "refused" };
    }
  }
  const microphone = await captureOne("microphone", environment);
  const camera = await captureOne("camera", environment);
  for (const track of camera.stream.getTracks()) microphone.stream.addTrack(track);
  return { stream: microphone.stream, camera: camera.outcome, microphone: microphone.outcome };
}

/** Asks for one device, for example after it was plugged in. */
export async function captureOne(
  kind: DeviceKind,
  environment: MediaEnvironment,
): Promise<{ stream: MediaStream; outcome: DeviceOutcome }> {
  try {
    const stream = await environment.getUserMedia(
      kind === "camera" ? { video: CAMERA } : { audio: MICROPHONE },
    );
    hint(stream);
    return { stream, outcome: "on" };
  } catch (error) {
    return { stream: environment.emptyStream(), outcome: outcomeOf(error) };
  }
}

/** The outcome for a rejection of `getUserMedia`, by the W3C's names. */
export function outcomeOf(error: unknown): Exclude<DeviceOutcome, "on" | "off"> {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return "refused";
    case "NotReadableError":
    case "AbortError":
    case "TrackStartError": // Chromium before 64
      return "busy";
    default:
      // NotFoundError, OverconstrainedError (nothing here is required, so no device is left),
      // TypeError: in each case there is no such device for this page.
      return "missing";
  }
}

/** Where exactly one of the two is denied for good, the other may still be asked for. */
async function oneIsStillOpen(environment: MediaEnvironment): Promise<boolean> {
  const [camera, microphone] = await Promise.all([
    environment.isDenied("camera"),
    environment.isDenied("microphone"),
  ]);
  return camera !== null && microphone !== null && camera !== microphone;
}

/** Faces and gestures: under pressure the encoder shall keep the frame rate, not the sharpness. */
function hint(stream: MediaStream): void {
  for (const track of stream.getVideoTracks()) track.contentHint = "motion";
  for (const track of stream.getAudioTracks()) track.contentHint = "speech";
}

/** The browser's own devices. */
export function browserEnvironment(): MediaEnvironment {
  return {
    getUserMedia: (constraints) => navigator.mediaDevices.getUserMedia(constraints),
    isDenied: async (kind) => {
      const state = await permission(kind);
      return state === null ? null : state === "denied";
    },
    emptyStream: () => new MediaStream(),
  };
}

/** `granted`, `prompt` or `denied`; `null` where the browser does not tell. */
export async function permission(kind: DeviceKind): Promise<PermissionState | null> {
  try {
    return (await navigator.permissions.query({ name: kind as PermissionName })).state;
  } catch {
    return null;
  }
}
