// https://w3c.github.io/webrtc-pc/#peer-to-peer-connections
//
// What a script reads is what the last task told: states come with their events, descriptions and
// transceivers with the operation that changed them. Operations are chained here, since a script can
// tell by its promises when one ends and the next begins; what each does is the Rust side's.

const rtc = (operation, state, argument) =>
  door(`rtc.${operation}`, { connection: state.number, argument });

const invalidState = (message) => exception({ name: "InvalidStateError", message });

/** https://w3c.github.io/webrtc-pc/#dfn-chain */
function chain(connection, operation) {
  if (connection.closed) return Promise.reject(invalidState("the connection is closed"));
  return new Promise((resolve, reject) => {
    const run = () => {
      let done;
      try {
        done = Promise.resolve(operation());
      } catch (error) {
        done = Promise.reject(error);
      }
      const settle = (how) => (value) => {
        if (connection.closed) return;
        how(value);
        Promise.resolve().then(() => nextOperation(connection));
      };
      done.then(settle(resolve), settle(reject));
    };
    connection.operations.push(run);
    if (connection.operations.length === 1) run();
  });
}

function nextOperation(connection) {
  if (connection.closed) return;
  connection.operations.shift();
  if (connection.operations.length > 0) connection.operations[0]();
  else if (connection.negotiationWaits) negotiationIsNeeded(connection);
}

/** The event waits for the end of the chain. */
function negotiationIsNeeded(connection) {
  connection.negotiationWaits = connection.operations.length > 0;
  if (connection.negotiationWaits || connection.signalingState !== "stable") return;
  fire(connection.object, "negotiationneeded");
}

/** A step of the chain on the Rust side. Its events are fired before its promise is settled. */
function inTurn(operation, connection, argument) {
  const { request, refused } = rtc(operation, connection, argument);
  if (refused) throw rtcException(refused);
  return new Promise((resolve, reject) => {
    requests.set(request, {
      resolve({ value, error, state, events }) {
        if (connection.closed) return;
        if (operation.startsWith("set")) {
          // Whether there is more to negotiate was looked at anew.
          if (state.signalingState === "stable") connection.negotiationWaits = false;
          takeOn(connection, rollsBack(events) ? rolledBack(state) : state);
        }
        // A candidate of the other side is written into its description.
        if (operation === "addIceCandidate") takeOnDescriptions(connection, state, ["remote"]);
        for (const event of events) {
          settlements.peerEvent(event);
          if (event.event === "signalingstatechange" && !connection.closed) takeOn(connection, state);
        }
        if (connection.closed) return;
        if (error) reject(rtcException(error));
        else resolve(value);
      },
    });
  });
}

/** Whether an offer of ours is taken back on the way. */
const rollsBack = (events) => {
  const [first, ...others] = events.filter(({ event }) => event === "signalingstatechange");
  return others.length > 0 && first.state === "stable";
};

/** As it is on the way, when the one pending description is gone and the other not there yet. */
const rolledBack = (state) => ({
  ...state,
  localDescription: state.currentLocalDescription,
  remoteDescription: state.currentRemoteDescription,
  pendingLocalDescription: null,
  pendingRemoteDescription: null,
});

/** Does something in a task of its own. */
function inNextTask(connection, doing) {
  return new Promise((resolve) => {
    startTimer(() => {
      if (connection.closed) return;
      doing();
      resolve();
    }, 0, false, []);
  });
}

/** What descriptions changed. */
function takeOn(connection, state) {
  takeOnDescriptions(connection, state, ["local", "remote"]);
  connection.canTrickleIceCandidates = state.canTrickleIceCandidates;
  connection.sctp = sctpFor(state.sctp);
  connection.transceivers = state.transceivers.map((described) => {
    const object = transceiverFor(connection, described);
    follow(object, described);
    return object;
  });
}

function takeOnDescriptions(connection, state, whom) {
  for (const whose of whom) {
    for (const which of [`${whose}Description`, ...pendingAndCurrent(whose)]) {
      const known = connection[which] && states.get(connection[which]).description;
      const now = state[which];
      if (now === undefined || (known?.sdp === now?.sdp && known?.type === now?.type)) continue;
      connection[which] = descriptionFor(now);
    }
  }
}

const pendingAndCurrent = (whose) => {
  const name = whose === "local" ? "LocalDescription" : "RemoteDescription";
  return [`current${name}`, `pending${name}`];
};

/** The description with the candidates that were found since. */
function local(which) {
  return (state) => {
    if (state.candidatesFound && state.operations.length === 0 && !state.closed) {
      state.candidatesFound = false;
      takeOn(state, rtc("describe", state));
    }
    return state[which] ?? null;
  };
}

/** The form with callbacks: https://w3c.github.io/webrtc-pc/#legacy-interface-extensions */
function withCallbacks(promise, success, failure) {
  const [onSuccess, onFailure] = [callable(success), callable(failure)];
  promise.then((value) => { onSuccess(value); }, (error) => { onFailure(error); }).catch(reportError);
  return Promise.resolve();
}

const isCallback = (value) => typeof value === "function";

function createOffer(state, options) {
  const given = offerOptions(options);
  if (state.closed) throw invalidState("the connection is closed");
  for (const [kind, wanted] of [["audio", given.offerToReceiveAudio], ["video", given.offerToReceiveVideo]]) {
    if (wanted !== undefined) offerToReceive(state, kind, wanted);
  }
  return chain(state, () => inTurn("createOffer", state, { iceRestart: given.iceRestart }));
}

/** https://w3c.github.io/webrtc-pc/#legacy-configuration-extensions */
function offerToReceive(state, kind, wanted) {
  const ofKind = state.transceivers.filter((object) => {
    const { receiver } = states.get(object);
    return receiver.track.kind === kind && object.direction !== "stopped";
  });
  if (!wanted) {
    for (const object of ofKind) {
      if (object.direction === "sendrecv") object.direction = "sendonly";
      else if (object.direction === "recvonly") object.direction = "inactive";
    }
  } else if (!ofKind.some((object) => ["sendrecv", "recvonly"].includes(object.direction))) {
    addTransceiver(state, { kind }, transceiverInit({ direction: "recvonly" }));
  }
}

function addTransceiver(state, what, init) {
  const streams = init.streams.map(idOf);
  const described = rtc("addTransceiver", state, { ...what, init: { ...init, streams } });
  const object = transceiverFor(state, described);
  state.transceivers = [...state.transceivers, object];
  return object;
}

const setLocalDescription = (state, description) => {
  const { type, sdp } = localDescriptionInit(description);
  return chain(state, () =>
    inTurn("setLocalDescription", state, type === undefined ? null : { type, sdp })).then(() => undefined);
};
const setRemoteDescription = (state, description) => {
  const given = descriptionInit(description);
  return chain(state, () => inTurn("setRemoteDescription", state, given)).then(() => undefined);
};
const addIceCandidate = (state, candidate) => {
  const given = isA(candidate, RTCIceCandidateType) ? candidate.toJSON() : candidateInit(candidate);
  if (given.candidate !== "" && given.sdpMid === null && given.sdpMLineIndex === null) {
    throw new TypeError("a candidate wants an sdpMid or an sdpMLineIndex");
  }
  return chain(state, () => inTurn("addIceCandidate", state, given)).then(() => undefined);
};
const createAnswer = (state) => chain(state, () => inTurn("createAnswer", state));

const promising = (call, length = 0) => ({ length, promise: true, call });
/** An operation with one argument, and its form with callbacks after it. */
const described = (call, least) => promising((state, argument, success, failure) =>
  isCallback(success) ? withCallbacks(call(state, argument), success, failure) : call(state, argument), least);

const RTCPeerConnectionType = declare("RTCPeerConnection", {
  parent: EventTargetType,
  construct(given) {
    const wanted = configuration(given);
    const { connection: number, state } = door("rtc.new", rtcConfiguration(wanted));
    const { signalingState, iceGatheringState, iceConnectionState, connectionState } = state;
    return {
      signalingState, iceGatheringState, iceConnectionState, connectionState, number,
      canTrickleIceCandidates: state.canTrickleIceCandidates, sctp: null, transceivers: [], operations: [],
      hasServers: wanted.iceServers !== undefined,
    };
  },
  initialize(state) {
    connections.set(state.number, state.object);
  },
  attributes: {
    localDescription: local("localDescription"),
    currentLocalDescription: local("currentLocalDescription"),
    pendingLocalDescription: local("pendingLocalDescription"),
    remoteDescription: (state) => state.remoteDescription ?? null,
    currentRemoteDescription: (state) => state.currentRemoteDescription ?? null,
    pendingRemoteDescription: (state) => state.pendingRemoteDescription ?? null,
    signalingState: (state) => state.signalingState,
    iceGatheringState: (state) => state.iceGatheringState,
    iceConnectionState: (state) => state.iceConnectionState,
    connectionState: (state) => state.connectionState,
    canTrickleIceCandidates: (state) => state.canTrickleIceCandidates,
    sctp: (state) => state.sctp,
  },
  handlers: [
    "negotiationneeded", "icecandidate", "icecandidateerror", "signalingstatechange",
    "iceconnectionstatechange", "icegatheringstatechange", "connectionstatechange", "track", "datachannel",
  ],
  operations: {
    createOffer: promising((state, ...args) =>
      isCallback(args[0])
        ? withCallbacks(createOffer(state, args[2]), args[0], args[1])
        : createOffer(state, args[0])),
    createAnswer: promising((state, ...args) =>
      isCallback(args[0]) ? withCallbacks(createAnswer(state), args[0], args[1]) : createAnswer(state)),
    setLocalDescription: described(setLocalDescription, 0),
    setRemoteDescription: described(setRemoteDescription, 1),
    addIceCandidate: described(addIceCandidate, 0),
    getConfiguration(state) {
      const { iceServers, certificates: numbers, ...rest } = rtc("getConfiguration", state);
      const servers = iceServers.map((server) => ({ ...server, credentialType: "password" }));
      return {
        ...rest,
        // In 2021 it had no default.
        ...(state.hasServers && { iceServers: servers }),
        certificates: numbers.map((number) => certificates.get(number)),
      };
    },
    setConfiguration: {
      length: 0,
      call(state, given) {
        const wanted = configuration(given);
        if (state.closed) throw invalidState("the connection is closed");
        rtc("setConfiguration", state, rtcConfiguration(wanted));
        state.hasServers = wanted.iceServers !== undefined;
      },
    },
    restartIce: (state) => { if (!state.closed) rtc("restartIce", state); },
    getStats: promising((state, selector) => {
      const track = nullable(aTrack)(selector);
      return track ? statsOf(state, "trackStats", idOf(track)) : statsOf(state, "getStats");
    }),
    close(state) {
      if (state.closed) return;
      Object.assign(state, {
        closed: true, signalingState: "closed", iceConnectionState: "closed", connectionState: "closed",
      });
      rtc("close", state);
      closeParts(state);
    },
    getSenders: (state) => visibleTransceivers(state).map((object) => object.sender),
    getReceivers: (state) => visibleTransceivers(state).map((object) => object.receiver),
    getTransceivers: (state) => visibleTransceivers(state),
    addTrack: {
      length: 1,
      call(state, added, ...given) {
        const [track, streams] = [aTrack(added), given.map(convert.object(MediaStreamType))];
        if (state.closed) throw invalidState("the connection is closed");
        const described = rtc("addTrack", state, { track: idOf(track), streams: streams.map(idOf) });
        const object = transceiverFor(state, described);
        if (!state.transceivers.includes(object)) state.transceivers = [...state.transceivers, object];
        states.get(object.sender).track = track;
        return object.sender;
      },
    },
    removeTrack(state, sender) {
      const sending = stateOf(sender, RTCRtpSenderType);
      if (state.closed) throw invalidState("the connection is closed");
      sending.track = trackFor(rtc("removeTrack", state, sending.number).sent);
    },
    addTransceiver: {
      length: 1,
      call(state, trackOrKind, given) {
        const isTrack = isA(trackOrKind, MediaStreamTrackType);
        const kind = isTrack ? trackOrKind.kind : convert.string(trackOrKind);
        const init = transceiverInit(given);
        if (!["audio", "video"].includes(kind)) throw new TypeError(`"${kind}" is no kind of media`);
        if (state.closed) throw invalidState("the connection is closed");
        return addTransceiver(state, isTrack ? { track: idOf(trackOrKind) } : { kind }, init);
      },
    },
    createDataChannel: {
      length: 1,
      call(state, label, given) {
        const [name, init] = [scalarString(label), channelInit(given)];
        if (state.closed) throw invalidState("the connection is closed");
        if (init.negotiated && init.id === undefined) throw new TypeError("a negotiated channel wants an id");
        return channelFor(state, rtc("createDataChannel", state, { label: name, init }));
      },
    },
  },
});

const connections = new Map();
const visibleTransceivers = (state) => [...state.transceivers];
addStatic(RTCPeerConnectionType, "generateCertificate", 1, true, generateCertificate);

/** What is closed with the connection, at once. */
function closeParts(state) {
  for (const object of channels.values()) {
    const channel = states.get(object);
    if (channel.connection === state) channel.readyState = "closed";
  }
  const close = (object) => { states.get(object).state = "closed"; };
  if (state.sctp) close(state.sctp);
  const used = state.transceivers.flatMap((object) => [object.sender.transport, object.receiver.transport]);
  for (const dtls of new Set([state.sctp?.transport, ...used])) {
    if (!dtls) continue;
    close(dtls);
    close(dtls.iceTransport);
  }
}

/** States that changed at once: all are new before the first event tells of one. */
settlements.together = ({ events }) => {
  const groups = [];
  let changed = new Set();
  for (const event of events) {
    const { task, kind, number, connection } = event;
    const key = [task, kind, number, connection, event.event].join();
    if (groups.length === 0 || changed.has(key)) {
      groups.push([]);
      changed = new Set();
    }
    changed.add(key);
    groups.at(-1).push(event);
  }
  for (const group of groups) {
    for (const event of group) adoptStates(event);
    for (const event of group) settlements[event.task](event);
  }
};

const connectionStates = {
  iceconnectionstatechange: "iceConnectionState",
  icegatheringstatechange: "iceGatheringState",
  connectionstatechange: "connectionState",
};

function adoptStates({ task, event, ...carried }) {
  if (task === "transportEvent") return adoptTransport(carried);
  const connection = states.get(connections.get(carried.connection));
  const name = connectionStates[event];
  if (name && !connection.closed) connection[name] = carried.state;
}

settlements.peerEvent = ({ connection: number, event, state, ...carried }) => {
  const object = connections.get(number);
  const connection = states.get(object);
  if (connection.closed) return;
  switch (event) {
    case "negotiationneeded":
      negotiationIsNeeded(connection);
      break;
    case "signalingstatechange":
      connection.signalingState = state;
      fire(object, event);
      break;
    case "iceconnectionstatechange":
    case "icegatheringstatechange":
    case "connectionstatechange":
      connection[connectionStates[event]] = state;
      fire(object, event);
      break;
    case "icecandidateerror":
      fire(object, event, RTCPeerConnectionIceErrorEventType, carried.fields);
      break;
    case "icecandidate":
      connection.candidatesFound = true;
      fire(object, event, RTCPeerConnectionIceEventType, {
        candidate: candidateFor(carried.candidate), url: null,
      });
      break;
    case "track": {
      const added = transceiverFor(connection, carried.transceiver);
      const { receiver } = states.get(added);
      const streams = Object.freeze(carried.streams.map(streamFor));
      fire(object, event, RTCTrackEventType, {
        receiver, track: states.get(receiver).track, streams, transceiver: added,
      });
      break;
    }
    case "datachannel": {
      const channel = channelFor(connection, carried.channel);
      fire(object, event, RTCDataChannelEventType, { channel });
      break;
    }
  }
};
