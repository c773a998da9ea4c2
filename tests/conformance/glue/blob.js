// Bytes that a script holds: https://w3c.github.io/FileAPI/

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
      isBlob(part) ? blobBytes(part) : (viewBytes(part) ?? encodeText(convert.string(part))));
    const { type = "" } = convert.dictionary({ type: convert.string })(options);
    return { bytes: joined(bytes), contentType: type.toLowerCase() };
  },
  attributes: { size: (state) => state.bytes.length, type: (state) => state.contentType },
  operations: {
    arrayBuffer: { length: 0, promise: true, call: (state) => Promise.resolve(state.bytes.slice().buffer) },
  },
});
