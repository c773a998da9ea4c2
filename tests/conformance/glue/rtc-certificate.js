// https://w3c.github.io/webrtc-pc/#rtccertificate-interface

const RTCCertificateType = declare("RTCCertificate", {
  attributes: { expires: (state) => state.expires },
  operations: {
    getFingerprints: (state) => state.fingerprints.map((fingerprint) => ({ ...fingerprint })),
  },
});
