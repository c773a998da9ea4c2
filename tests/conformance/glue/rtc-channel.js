// https://w3c.github.io/webrtc-pc/#peer-to-peer-data-api
//
// A channel's `readyState` is what its last event said, or what `close()` made of it.

const channel = (operation, state, argument) =>
  door(`rtc.channel.${operation}`, { channel: state.number, argument });

const toCharacters = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
};
const toBytes = (characters) => Uint8Array.from(characters, (character) => character.charCodeAt(0));

const RTCDataChannelType = declare("RTCDataChannel", {
  parent: EventTargetType,
  attributes: {
    label: (state) => state.label,
    ordered: (state) => state.ordered,
    maxPacketLifeTime: (state) => state.maxPacketLifeTime,
    maxRetransmits: (state) => state.maxRetransmits,
    protocol: (state) => state.protocol,
    negotiated: (state) => state.negotiated,
    id: (state) => channel("id", state),
    readyState: (state) => state.readyState,
    bufferedAmount: (state) => bufferedAmount(state),
    bufferedAmountLowThreshold: {
      get: (state) => state.threshold,
      set(state, value) {
        state.threshold = enforced(32)(value);
        channel("setBufferedAmountLowThreshold", state, state.threshold);
      },
    },
    binaryType: {
      get: (state) => state.binaryType,
      set(state, value) {
        if (["blob", "arraybuffer"].includes(`${value}`)) state.binaryType = `${value}`;
      },
    },
  },
  handlers: ["open", "bufferedamountlow", "error", "closing", "close", "message"],
  operations: {
    close(state) {
      if (["closing", "closed"].includes(state.readyState)) return;
      state.readyState = "closing";
      channel("close", state);
    },
    send(state, data) {
      if (state.readyState !== "open") {
        throw exception({ name: "InvalidStateError", message: "the channel is not open" });
      }
      const before = bufferedAmount(state);
      const blob = isBlob(data) ? blobBytes(data) : undefined;
      const bytes = blob ?? viewBytes(data);
      const text = bytes ? undefined : scalarString(data);
      if (bytes) channel("send", state, toCharacters(bytes));
      else channel("sendText", state, text);
      state.buffered = { task: taskCount, amount: before + (bytes ? bytes.length : encodeText(text).length) };
    },
  },
});

/** It only shrinks between tasks. */
function bufferedAmount(state) {
  if (state.buffered?.task !== taskCount) {
    state.buffered = { task: taskCount, amount: channel("bufferedAmount", state) };
  }
  return state.buffered.amount;
}

const channels = new Map();

function channelFor(connection, described) {
  const number = described.channel;
  if (!channels.has(number)) {
    const { channel: _, ...fields } = described;
    channels.set(number, create(RTCDataChannelType, {
      ...fields, connection, number, binaryType: "blob", threshold: 0,
    }));
  }
  return channels.get(number);
}

const RTCDataChannelEventType = declare("RTCDataChannelEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) =>
    eventFields(type, init, { channel: convert.object(RTCDataChannelType) }, ["channel"]),
  attributes: { channel: (state) => state.channel },
});

const MessageEventType = declare("MessageEvent", {
  parent: EventType,
  length: 1,
  construct: (type, init) => ({ ...eventFields(type, init), data: init?.data ?? null }),
  attributes: {
    data: (state) => state.data,
    origin: () => "",
    lastEventId: () => "",
    source: () => null,
    ports: (state) => (state.ports ??= Object.freeze([])),
  },
});

settlements.channelEvent = ({ channel: number, event, data, ...carried }) => {
  const object = channels.get(number);
  if (!object) return;
  const state = states.get(object);
  Object.assign(state, carried);
  switch (event) {
    case "open":
      // https://w3c.github.io/webrtc-pc/#announce-datachannel-open
      if (["closing", "closed"].includes(state.readyState)) break;
      state.readyState = "open";
      fire(object, "open");
      break;
    case "closing":
      state.readyState = "closing";
      fire(object, "closing");
      break;
    case "close":
      state.readyState = "closed";
      fire(object, "close");
      break;
    case "message": {
      const bytes = data.bytes === undefined ? undefined : toBytes(data.bytes);
      const binary = () => (state.binaryType === "blob" ? blobOf(bytes) : bytes.buffer);
      fire(object, "message", MessageEventType, { data: bytes ? binary() : data.text });
      break;
    }
    case "error":
      fire(object, "error", RTCErrorEventType, { error: rtcException(data) });
      break;
    default:
      fire(object, event);
  }
};
