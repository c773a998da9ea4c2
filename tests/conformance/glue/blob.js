// Blobs, their URLs, and what is fetched: https://w3c.github.io/FileAPI/
//
// The bytes are behind the door. They pass it as Web IDL's ByteString: a character for each.

const blob = (operation, argument) => door(`blob.${operation}`, argument);

const bytesOf = (view) => Array.from(view, (byte) => String.fromCharCode(byte)).join("");
const bufferOf = (bytes) => Uint8Array.from(bytes, (character) => character.charCodeAt(0)).buffer;

/** `(BufferSource or Blob or USVString)`, as the door takes it. */
function blobPart(value, native) {
  if (value instanceof ArrayBuffer) return { bytes: bytesOf(new Uint8Array(value)) };
  if (ArrayBuffer.isView(value)) {
    return { bytes: bytesOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) };
  }
  if (isA(value, BlobType)) return { blob: idOf(value) };
  const text = convert.string(value).toWellFormed();
  return { text: native ? text.replace(/\r\n?/g, "\n") : text };
}

const blobPropertyBag = convert.dictionary({
  endings: convert.enumeration("transparent", "native"),
  type: convert.string,
});
const blobParts = convert.sequence((value) => value);

const BlobType = declare("Blob", {
  construct(parts, options) {
    const given = parts === undefined ? [] : blobParts(parts);
    const { endings, type = "" } = blobPropertyBag(options);
    return { id: blob("new", { parts: given.map((part) => blobPart(part, endings === "native")), type }) };
  },
  attributes: {
    size: ({ id }) => blob("size", id),
    type: ({ id }) => blob("type", id),
  },
  operations: {
    slice: {
      length: 0,
      call({ id }, start, end, type = "") {
        const place = (at) => (at === undefined ? null : Math.trunc(Number(at)) || 0);
        return blobFor(blob("slice", { id, start: place(start), end: place(end), type: convert.string(type) }));
      },
    },
    text: { length: 0, promise: true, call: ({ id }) => Promise.resolve(blob("text", id)) },
    arrayBuffer: { length: 0, promise: true, call: ({ id }) => Promise.resolve(bufferOf(blob("bytes", id))) },
  },
});
const aBlob = convert.object(BlobType);
const blobFor = (id) => create(BlobType, { id });

/** What was fetched: of a Response, its status and its body. */
const response = (found) => ({
  ok: found !== null,
  status: found === null ? 404 : 200,
  text: async () => (found === null ? "" : blob("text", found)),
  arrayBuffer: async () => bufferOf(found === null ? "" : blob("bytes", found)),
  blob: async () => (found === null ? new BlobType.object() : blobFor(found)),
});

/** Files of the checkout, which a test's own scripts fetch, and blobs by their URLs. */
global.fetch = async (resource) => {
  const url = `${resource}`;
  if (url.startsWith("blob:")) {
    const found = blob("open", url);
    if (found === null) throw new TypeError(`${url} cannot be fetched`);
    return response(found);
  }
  const text = door("file", url);
  return response(text === null ? null : blob("new", { parts: [{ text }], type: "" }));
};

const URLType = declare("URL", {});
/** An object URL is a blob's; there are no media sources here, and a stream has none. */
for (const [name, call] of Object.entries({
  createObjectURL: (self, [object]) => blob("url", idOf(aBlob(object))),
  revokeObjectURL: (self, [url]) => { blob("revoke", convert.string(url)); },
})) {
  define(URLType.object, name, {
    value: operation(name, 1, false, call), writable: true, enumerable: true, configurable: true,
  });
}
