// https://w3c.github.io/webrtc-pc/#rtccertificate-interface

/** A name, or a dictionary with one: https://w3c.github.io/webcrypto/#algorithm-normalization-normalize-an-algorithm */
function algorithm(given) {
  if (!isObject(given)) return { name: convert.string(given) };
  if (given.name === undefined) throw new TypeError("an algorithm wants a name");
  return {
    name: convert.string(given.name),
    ...(given.namedCurve !== undefined && { namedCurve: convert.string(given.namedCurve) }),
    ...(given.expires !== undefined && { life: enforced(64)(given.expires) }),
  };
}

const RTCCertificateType = declare("RTCCertificate", {
  attributes: { expires: (state) => state.expires },
  operations: {
    getFingerprints: (state) => state.fingerprints.map((fingerprint) => ({ ...fingerprint })),
  },
});

/** The one object for each of our certificates. */
const certificates = new Map();

function generateCertificate(given) {
  const { name, namedCurve, life } = algorithm(given);
  const wanted = [name, namedCurve].filter((part) => part !== undefined).join(" ");
  return inParallel("rtc.generateCertificate", { algorithm: wanted, life }).then((made) => {
    const object = create(RTCCertificateType, { ...made, number: made.certificate });
    certificates.set(made.certificate, object);
    return object;
  });
}
