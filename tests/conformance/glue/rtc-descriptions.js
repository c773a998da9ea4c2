// Descriptions and candidates, and the events that bring candidates:
// https://w3c.github.io/webrtc-pc/#session-description-model, #interfaces-for-interactive-connectivity-establishment

const RTCSessionDescriptionType = declare("RTCSessionDescription", {
  length: 1,
  construct: (init) => ({ description: descriptionInit(init) }),
  attributes: { type: (state) => state.description.type, sdp: (state) => state.description.sdp },
  operations: { toJSON: ({ description: { type, sdp } }) => ({ type, sdp }) },
});

const descriptionFor = (description) =>
  description ? create(RTCSessionDescriptionType, { description }) : null;

const candidateInit = dictionaryWith({
  candidate: convert.string,
  sdpMid: nullable(convert.string),
  sdpMLineIndex: nullable(wrapping(16)),
  usernameFragment: nullable(convert.string),
}, { candidate: "", sdpMid: null, sdpMLineIndex: null, usernameFragment: null });

const candidateAttributes = [
  "foundation", "component", "priority", "address", "protocol", "port", "type", "tcpType",
  "relatedAddress", "relatedPort",
];

const RTCIceCandidateType = declare("RTCIceCandidate", {
  construct(given) {
    const init = candidateInit(given);
    if (init.sdpMid === null && init.sdpMLineIndex === null) {
      throw new TypeError("a candidate wants an sdpMid or an sdpMLineIndex");
    }
    return door("rtc.parseCandidate", init);
  },
  attributes: {
    candidate: (state) => state.init.candidate,
    sdpMid: (state) => state.init.sdpMid,
    sdpMLineIndex: (state) => state.init.sdpMLineIndex,
    ...Object.fromEntries(candidateAttributes.map((name) => [name, (state) => state.parsed[name] ?? null])),
    usernameFragment: (state) => state.init.usernameFragment ?? state.parsed.usernameFragment ?? null,
  },
  operations: {
    toJSON({ init: { candidate, sdpMid, sdpMLineIndex, usernameFragment } }) {
      return { candidate, sdpMid, sdpMLineIndex, usernameFragment };
    },
  },
});

const candidateFor = (described) => described && create(RTCIceCandidateType, described);

const RTCPeerConnectionIceEventType = declare("RTCPeerConnectionIceEvent", {
  parent: EventType,
  length: 1,
  construct: (type, init) => ({
    candidate: null, url: null,
    ...eventFields(type, init, {
      candidate: nullable(convert.object(RTCIceCandidateType)), url: nullable(convert.string),
    }),
  }),
  attributes: { candidate: (state) => state.candidate, url: (state) => state.url },
});

const RTCPeerConnectionIceErrorEventType = declare("RTCPeerConnectionIceErrorEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) => ({
    address: null, port: null, url: "", errorText: "",
    ...eventFields(type, init, {
      address: nullable(convert.string), port: nullable(wrapping(16)), url: convert.string,
      errorCode: wrapping(16), errorText: scalarString,
    }, ["errorCode"]),
  }),
  attributes: {
    address: (state) => state.address,
    port: (state) => state.port,
    url: (state) => state.url,
    errorCode: (state) => state.errorCode,
    errorText: (state) => state.errorText,
  },
});
