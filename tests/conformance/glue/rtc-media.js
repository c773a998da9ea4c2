// Transceivers, their senders and receivers, and the event that brings a track:
// https://w3c.github.io/webrtc-pc/#rtp-media-api

const transceiver = (operation, state, argument) =>
  door(`rtc.transceiver.${operation}`, { transceiver: state.number, argument });

const RTCRtpSenderType = declare("RTCRtpSender", {
  attributes: {
    track: (state) => state.track,
    transport: (state) => state.transport,
    dtmf: (state) => state.dtmf,
  },
  operations: {
    getParameters: (state) => transceiver("sendParameters", state),
    setParameters: {
      length: 1,
      promise: true,
      call(state, given) {
        transceiver("setParameters", state, sendParameters(given));
        return inNextTask(state.connection, () => {});
      },
    },
    replaceTrack: {
      length: 1,
      promise: true,
      call(state, withTrack) {
        const track = nullable(aTrack)(withTrack);
        return chain(state.connection, () => {
          transceiver("replaceTrack", state, track && idOf(track));
          return inNextTask(state.connection, () => { state.track = track; });
        });
      },
    },
    setStreams: {
      length: 0,
      call(state, ...streams) {
        const ids = streams.map(convert.object(MediaStreamType)).map(idOf);
        transceiver("setStreams", state, ids);
      },
    },
    getStats: {
      length: 0,
      promise: true,
      call: (state) => statsOf(state.connection, "senderStats", state.number),
    },
  },
});

const RTCRtpReceiverType = declare("RTCRtpReceiver", {
  attributes: { track: (state) => state.track, transport: (state) => state.transport },
  operations: {
    getParameters: (state) => transceiver("receiveParameters", state),
    getContributingSources: (state) => transceiver("contributingSources", state),
    getSynchronizationSources: (state) => transceiver("synchronizationSources", state),
    getStats: {
      length: 0,
      promise: true,
      call: (state) => statsOf(state.connection, "receiverStats", state.number),
    },
  },
});

const RTCRtpTransceiverType = declare("RTCRtpTransceiver", {
  attributes: {
    mid: (state) => state.mid,
    sender: (state) => state.sender,
    receiver: (state) => state.receiver,
    direction: {
      get: (state) => transceiver("direction", state),
      set(state, value) {
        // What is none of the enumeration's values is passed over.
        if (["sendrecv", "sendonly", "recvonly", "inactive", "stopped"].includes(`${value}`)) {
          transceiver("setDirection", state, `${value}`);
        }
      },
    },
    currentDirection: (state) => (state.connection.closed ? null : state.currentDirection),
    /** https://w3c.github.io/webrtc-pc/#rtcrtptransceiver-legacy */
    stopped: (state) => transceiver("stopped", state),
  },
  operations: {
    stop: (state) => { transceiver("stop", state); },
    setCodecPreferences(state, given) {
      transceiver("setCodecPreferences", state, convert.sequence(codecCapability)(given));
    },
  },
});

const transceivers = new Map();

/** The one object for each transceiver, as it was described last. */
function transceiverFor(connection, described) {
  const number = described.transceiver;
  let found = transceivers.get(number);
  if (!found) {
    const parts = { number, connection };
    const part = { ...parts, transport: null };
    const dtmf = described.dtmf ? create(RTCDTMFSenderType, { ...parts }) : null;
    const sender = create(RTCRtpSenderType, { ...part, dtmf, track: trackFor(described.sent) });
    const receiver = create(RTCRtpReceiverType, { ...part, track: trackFor(described.received) });
    found = create(RTCRtpTransceiverType, { ...parts, sender, receiver, mid: null, currentDirection: null });
    transceivers.set(number, found);
    states.get(sender).transceiver = states.get(receiver).transceiver = found;
  }
  return found;
}

/** Takes on what a description did to it. */
function follow(object, { mid, currentDirection, senderTransport, receiverTransport }) {
  const state = states.get(object);
  Object.assign(state, { mid, currentDirection });
  // Made at once, so that their events are heard.
  states.get(state.sender).transport = dtlsFor(senderTransport);
  states.get(state.receiver).transport = dtlsFor(receiverTransport);
}

for (const type of [RTCRtpSenderType, RTCRtpReceiverType]) {
  addStatic(type, "getCapabilities", 1, false, (kind) => door("rtc.capabilities", convert.string(kind)));
}

const RTCTrackEventType = declare("RTCTrackEvent", {
  parent: EventType,
  length: 2,
  construct(type, init) {
    const fields = eventFields(type, init, {
      receiver: convert.object(RTCRtpReceiverType), track: aTrack,
      streams: convert.sequence(convert.object(MediaStreamType)),
      transceiver: convert.object(RTCRtpTransceiverType),
    }, ["receiver", "track", "transceiver"]);
    return { ...fields, streams: Object.freeze(fields.streams ?? []) };
  },
  attributes: {
    receiver: (state) => state.receiver,
    track: (state) => state.track,
    streams: (state) => state.streams,
    transceiver: (state) => state.transceiver,
  },
});
