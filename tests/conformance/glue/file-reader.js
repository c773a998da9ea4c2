// Bytes of texts, views and blobs, and who reads blobs: https://w3c.github.io/FileAPI/#APIASynch

/** The bytes of an `ArrayBuffer` or a view of one. */
function viewBytes(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}

/** https://encoding.spec.whatwg.org/#utf-8-encode */
function encodeText(text) {
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

const isBlob = (value) => isA(value, BlobType);
const blobBytes = (object) => new Uint8Array(bufferOf(blob("bytes", idOf(object))));
const blobOf = (bytes) => blobFor(blob("new", { parts: [{ bytes: bytesOf(bytes) }], type: "" }));

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
    readAsArrayBuffer(state, given) {
      const bytes = blobBytes(aBlob(given));
      state.readyState = 1;
      startTimer(() => {
        Object.assign(state, { readyState: 2, result: bytes.buffer });
        fire(state.object, "load", ProgressEventType);
        fire(state.object, "loadend", ProgressEventType);
      }, 0, false, []);
    },
  },
  constants: { EMPTY: 0, LOADING: 1, DONE: 2 },
});
