// https://w3c.github.io/webrtc-pc/#error-handling

const errorInit = convert.dictionary({
  errorDetail: enumeration(
    "data-channel-failure", "dtls-failure", "fingerprint-failure", "sctp-failure", "sdp-syntax-error",
    "hardware-encoder-not-available", "hardware-encoder-error",
  ),
  sdpLineNumber: wrapping(32, true),
  sctpCauseCode: wrapping(32, true),
  receivedAlert: wrapping(32),
  sentAlert: wrapping(32),
}, ["errorDetail"]);

const RTCErrorType = declare("RTCError", {
  parent: DOMExceptionType,
  length: 1,
  construct: (init, message = "") => ({ name: "OperationError", message: `${message}`, init: errorInit(init) }),
  attributes: {
    errorDetail: (state) => state.init.errorDetail,
    sdpLineNumber: (state) => state.init.sdpLineNumber ?? null,
    sctpCauseCode: (state) => state.init.sctpCauseCode ?? null,
    receivedAlert: (state) => state.init.receivedAlert ?? null,
    sentAlert: (state) => state.init.sentAlert ?? null,
  },
});

/** An error as the Rust side told it, with what is the W3C's `RTCError`'s alone if it is one. */
function rtcException({ detail, ...error }) {
  if (!detail) return exception(error);
  return create(RTCErrorType, { name: "OperationError", message: error.message, init: detail });
}

const RTCErrorEventType = declare("RTCErrorEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) => eventFields(type, init, { error: convert.object(RTCErrorType) }, ["error"]),
  attributes: { error: (state) => state.error },
});
