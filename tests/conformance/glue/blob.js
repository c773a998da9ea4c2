// Bytes that a script holds: https://w3c.github.io/FileAPI/

/** The bytes of an `ArrayBuffer` or a view of one. */
function bytesOf(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}

/** https://encoding.spec.whatwg.org/#utf-8-encode */
function encode(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0);
    const continued = (shift) => 0x80 | ((code >> shift) & 0x3f);
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), continued(0));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), continued(6), continued(0));
    else bytes.push(0xf0 | (code >> 18), continued(12), continued(6), continued(0));
  }
  return Uint8Array.from(bytes);
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const BlobType = declare("Blob", {
  construct(parts, options) {
    const given = parts === undefined ? [] : convert.sequence((part) => part)(parts);
    const bytes = given.map((part) =>
      isBlob(part) ? blobBytes(part) : (bytesOf(part) ?? encode(convert.string(part))));
    const { type = "" } = convert.dictionary({ type: convert.string })(options);
    return { bytes: joined(bytes), contentType: type.toLowerCase() };
  },
  attributes: { size: (state) => state.bytes.length, type: (state) => state.contentType },
  operations: {
    arrayBuffer: { length: 0, promise: true, call: (state) => Promise.resolve(state.bytes.slice().buffer) },
  },
});
const isBlob = (value) => isA(value, BlobType);
const blobBytes = (blob) => states.get(blob).bytes;
const blobOf = (bytes, contentType = "") => create(BlobType, { bytes, contentType });

const ProgressEventType = declare("ProgressEvent", {
  parent: EventType,
  length: 1,
  construct: (type, init) => eventFields(type, init),
  attributes: { lengthComputable: () => false, loaded: () => 0, total: () => 0 },
});

declare("FileReader", {
  parent: EventTargetType,
  construct: () => ({ readyState: 0, result: null }),
  attributes: {
    readyState: (state) => state.readyState,
    result: (state) => state.result,
    error: () => null,
  },
  handlers: ["loadstart", "load", "loadend", "error"],
  operations: {
    readAsArrayBuffer(state, blob) {
      const { bytes } = stateOf(blob, BlobType);
      state.readyState = 1;
      startTimer(() => {
        Object.assign(state, { readyState: 2, result: bytes.slice().buffer });
        fire(state.object, "load", ProgressEventType);
        fire(state.object, "loadend", ProgressEventType);
      }, 0, false, []);
    },
  },
  constants: { EMPTY: 0, LOADING: 1, DONE: 2 },
});
