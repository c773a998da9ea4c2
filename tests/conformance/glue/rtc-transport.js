// https://w3c.github.io/webrtc-pc/#rtcdtlstransport-interface and the two after it.
//
// A transport's state is what its last event said.

const transport = (operation, state) => door(`rtc.transport.${operation}`, { number: state.number });

const RTCIceTransportType = declare("RTCIceTransport", {
  parent: EventTargetType,
  attributes: {
    role: (state) => transport("ice.role", state),
    component: (state) => transport("ice.component", state),
    state: (state) => state.state,
    gatheringState: (state) => state.gatheringState,
  },
  handlers: ["statechange", "gatheringstatechange", "selectedcandidatepairchange"],
  operations: {
    getLocalCandidates: (state) => transport("ice.localCandidates", state).map(candidateFor),
    getRemoteCandidates: (state) => transport("ice.remoteCandidates", state).map(candidateFor),
    getSelectedCandidatePair(state) {
      const pair = transport("ice.selectedPair", state);
      return pair && { local: candidateFor(pair.local), remote: candidateFor(pair.remote) };
    },
    getLocalParameters: (state) => transport("ice.localParameters", state),
    getRemoteParameters: (state) => transport("ice.remoteParameters", state),
  },
});

const RTCDtlsTransportType = declare("RTCDtlsTransport", {
  parent: EventTargetType,
  attributes: {
    iceTransport: (state) => transports.get(`ice ${state.ice}`),
    state: (state) => state.state,
  },
  handlers: ["statechange", "error"],
  operations: {
    getRemoteCertificates: (state) =>
      transport("dtls.remoteCertificates", state).map((characters) => toBytes(characters).buffer),
  },
});

const RTCSctpTransportType = declare("RTCSctpTransport", {
  parent: EventTargetType,
  attributes: {
    transport: (state) => transports.get(`dtls ${state.dtls}`),
    state: (state) => state.state,
    /** Without bounds it is no number of JSON. */
    maxMessageSize: (state) => transport("sctp.maxMessageSize", state) ?? Infinity,
    maxChannels: (state) => transport("sctp.maxChannels", state),
  },
  handlers: ["statechange"],
});

/** The one object for each transport. */
const transports = new Map();

function transportFor(kind, number, type, fields) {
  const key = `${kind} ${number}`;
  if (!transports.has(key)) transports.set(key, create(type, { number, ...fields() }));
  return transports.get(key);
}

function dtlsFor(described) {
  if (!described) return null;
  const { state, ice } = described;
  transportFor("ice", ice.ice, RTCIceTransportType, () => ({
    state: ice.state, gatheringState: ice.gatheringState,
  }));
  return transportFor("dtls", described.dtls, RTCDtlsTransportType, () => ({ state, ice: ice.ice }));
}

function sctpFor(described) {
  if (!described) return null;
  const { state, transport: below } = described;
  dtlsFor(below);
  return transportFor("sctp", described.sctp, RTCSctpTransportType, () => ({ state, dtls: below.dtls }));
}

function adoptTransport({ kind, number, state, gatheringState }) {
  const object = transports.get(`${kind} ${number}`);
  if (!object) return undefined;
  if (state) states.get(object).state = state;
  if (gatheringState) states.get(object).gatheringState = gatheringState;
  return object;
}

settlements.transportEvent = ({ event, error, ...carried }) => {
  const object = adoptTransport(carried);
  if (!object) return;
  if (error) fire(object, event, RTCErrorEventType, { error: rtcException(error) });
  else fire(object, event);
};
