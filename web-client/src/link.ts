/**
 * One peer connection with one remote peer: what is sent, what comes in, and its way back when the
 * path breaks. A link is made for one remote and closed with it; it never stops a local track.
 */

import type { Timers } from "./backoff";
import type { DeviceKind } from "./media";
import { Negotiator, type Candidate, type NegotiationStep } from "./negotiation";
import { IceRecovery } from "./recovery";

export interface LinkOptions {
  readonly iceServers: RTCIceServer[];
  /** Whether this side makes the first offer: the newcomer to the room does. */
  readonly offers: boolean;
  /** Whether this side yields when two offers cross. */
  readonly polite: boolean;
  readonly local: LocalMedia;
  readonly canSignal: () => boolean;
  readonly sendDescription: (type: "offer" | "answer", sdp: string) => void;
  readonly sendCandidate: (candidate: Candidate) => void;
  readonly sendReject: () => void;
  readonly onState: (state: RTCPeerConnectionState) => void;
  /** A remote track came, or began or ceased to carry media. */
  readonly onRemoteChange: () => void;
  /** The remote closed its end: there is nothing to mend. */
  readonly onRemoteClosed: () => void;
  readonly onGiveUp: () => void;
  readonly onProblem: (step: NegotiationStep, error: unknown) => void;
  readonly timers: Timers;
}

/** What this page sends at present. */
export interface LocalMedia {
  readonly stream: MediaStream;
  readonly camera: MediaStreamTrack | null;
  readonly microphone: MediaStreamTrack | null;
}

/** Enough for 720p at 30 a second; bits a second. */
export const MAX_VIDEO_BITRATE = 2_500_000;

const CONFIGURATION: RTCConfiguration = { bundlePolicy: "max-bundle" };

const KINDS = { camera: "video", microphone: "audio" } as const;

export class Link {
  readonly connection: RTCPeerConnection;
  /** Everything that the remote sends, in one stream, so that the browser keeps lips and voice together. */
  readonly remote = new MediaStream();

  private readonly options: LinkOptions;
  private readonly negotiator: Negotiator;
  private readonly recovery: IceRecovery;
  private readonly senders = new Map<DeviceKind, RTCRtpSender>();
  private polite: boolean;
  private closed = false;

  constructor(options: LinkOptions) {
    this.options = options;
    this.polite = options.polite;
    this.connection = createConnection(options.iceServers);
    const { connection } = this;

    this.negotiator = new Negotiator({
      connection,
      polite: options.polite,
      sendDescription: options.sendDescription,
      sendCandidate: options.sendCandidate,
      sendReject: options.sendReject,
      beforeAnswer: () => this.addLocal(),
      onProblem: options.onProblem,
    });
    this.recovery = new IceRecovery({
      restart: () => this.negotiator.restartIce(),
      giveUp: options.onGiveUp,
      canSignal: options.canSignal,
      isFirst: () => this.polite,
      timers: options.timers,
      random: Math.random,
    });

    connection.ontrack = ({ track }) => this.addRemote(track);
    connection.onconnectionstatechange = () => {
      this.recovery.onState(connection.connectionState);
      options.onState(connection.connectionState);
    };
    connection.onsignalingstatechange = () => {
      if (connection.signalingState !== "stable") return;
      void this.limitBitrate();
      this.watchTransport();
    };

    // The other side adds its tracks when the offer is there: they then fit into its sections.
    if (options.offers) {
      this.addLocal();
      for (const kind of ["microphone", "camera"] as const) {
        if (!this.senders.has(kind)) {
          connection.addTransceiver(KINDS[kind], { direction: "recvonly" });
        }
      }
      this.preferCodecs();
    }
  }

  receiveDescription(type: "offer" | "answer", sdp: string): void {
    if (type === "offer") this.recovery.remoteOffered();
    void this.negotiator.receiveDescription(type, sdp);
  }

  receiveCandidate(candidate: Candidate): void {
    void this.negotiator.receiveCandidate(candidate);
  }

  receiveReject(): void {
    void this.negotiator.receiveReject();
  }

  /** Whether `sdp` describes the very connection that this link is joined to. */
  isDescribedBy(sdp: string): boolean {
    const known = fingerprintOf(this.connection.remoteDescription?.sdp ?? "");
    return known !== null && known === fingerprintOf(sdp);
  }

  /** Nothing was heard of the remote's own connection yet. */
  get isUntouched(): boolean {
    return this.connection.remoteDescription === null;
  }

  /** The remote joined anew, or this side did: the connection is the same, the roles may not be. */
  rebind(polite: boolean, iceServers: RTCIceServer[]): void {
    this.polite = polite;
    try {
      // Credentials of a TURN server are short-lived; the next restart takes the new ones.
      this.connection.setConfiguration({ ...CONFIGURATION, iceServers });
    } catch {
      // Addresses that this browser cannot read: those from before may still serve.
    }
    this.negotiator.rebind(polite);
  }

  /** Offers once more what stands. The answer's certificate tells whether the remote is the same. */
  renegotiate(): void {
    this.negotiator.renegotiate();
  }

  signalingReturned(): void {
    this.recovery.signalingReturned();
  }

  /** The camera or microphone is another one, or none, from now on. */
  async replaceLocal(kind: DeviceKind, track: MediaStreamTrack | null): Promise<void> {
    if (this.closed) return;
    const sender = this.senders.get(kind);
    if (sender === undefined) {
      // Before the first offer came there is nothing to fit into: `beforeAnswer` will add it.
      if (track !== null && !(this.isUntouched && !this.options.offers)) this.addLocal();
      return;
    }
    await sender.replaceTrack(track);
    const transceiver = this.connection.getTransceivers().find((one) => one.sender === sender);
    // The remote learns by the direction that nothing comes any more.
    if (transceiver !== undefined) transceiver.direction = track === null ? "recvonly" : "sendrecv";
  }

  /** The tracks that this link brought end with it; the local ones do not. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.recovery.stop();
    this.negotiator.close();
    const { connection } = this;
    connection.ontrack = connection.onconnectionstatechange = null;
    connection.onsignalingstatechange = null;
    connection.close();
  }

  private addLocal(): void {
    const { local } = this.options;
    for (const kind of ["microphone", "camera"] as const) {
      const track = local[kind];
      if (track !== null && !this.senders.has(kind)) {
        this.senders.set(kind, this.connection.addTrack(track, local.stream));
      }
    }
    this.preferCodecs();
  }

  private addRemote(track: MediaStreamTrack): void {
    // A camera that went and came again is a track of the same transceiver, or a new one.
    for (const old of this.remote.getTracks()) {
      if (old.kind === track.kind && old !== track) this.remote.removeTrack(old);
    }
    this.remote.addTrack(track);
    const changed = () => {
      if (!this.closed) this.options.onRemoteChange();
    };
    track.onmute = track.onunmute = track.onended = changed;
    changed();
  }

  /**
   * A remote that closes its connection says so by DTLS, seconds before ICE finds out. All tracks
   * share one transport, since everything is bundled.
   */
  private watchTransport(): void {
    const transport = this.connection.getTransceivers()[0]?.receiver.transport ?? null;
    if (transport === null) return;
    transport.onstatechange = () => {
      if (!this.closed && transport.state === "closed") this.options.onRemoteClosed();
    };
  }

  /** VP8 first, since every WebRTC end has it (RFC 7742); whatever else both can do stays offered. */
  private preferCodecs(): void {
    const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
    if (codecs === undefined) return;
    const isVp8 = (codec: RTCRtpCodec) => codec.mimeType.toLowerCase() === "video/vp8";
    const sorted = [...codecs.filter(isVp8), ...codecs.filter((codec) => !isVp8(codec))];
    for (const transceiver of this.connection.getTransceivers()) {
      if (transceiver.receiver.track.kind !== "video") continue;
      try {
        transceiver.setCodecPreferences?.(sorted);
      } catch {
        // A browser that finds fault with its own list negotiates by its own order.
      }
    }
  }

  private async limitBitrate(): Promise<void> {
    const sender = this.senders.get("camera");
    if (sender === undefined) return;
    const parameters = sender.getParameters();
    const encodings = parameters.encodings ?? [];
    if (encodings.length === 0 || encodings[0]?.maxBitrate === MAX_VIDEO_BITRATE) return;
    for (const encoding of encodings) encoding.maxBitrate = MAX_VIDEO_BITRATE;
    try {
      await sender.setParameters(parameters);
    } catch {
      // The connection closed meanwhile, or the browser knows better: a hint, not a need.
    }
  }
}

/** The DTLS certificate in a description: whoever keeps it is the same connection (RFC 8122). */
export function fingerprintOf(sdp: string): string | null {
  const found = /^a=fingerprint:(\S+) +(\S+)/im.exec(sdp);
  return found === null ? null : `${found[1]} ${found[2]}`.toLowerCase();
}

function createConnection(iceServers: RTCIceServer[]): RTCPeerConnection {
  try {
    return new RTCPeerConnection({ ...CONFIGURATION, iceServers });
  } catch {
    // A server address that this browser cannot read. Most calls find their way without.
    return new RTCPeerConnection(CONFIGURATION);
  }
}
