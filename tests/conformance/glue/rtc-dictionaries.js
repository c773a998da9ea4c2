// What webrtc-pc's dictionaries and enumerations convert to: https://w3c.github.io/webrtc-pc/#idl-index
//
// Numbers with `[EnforceRange]` and without, enumerations, nullable members, members with defaults.

/** `[EnforceRange]` of an unsigned integer of so many bits. */
const enforced = (bits) => (value) => {
  const number = Math.trunc(Number(value));
  if (!Number.isFinite(number) || number < 0 || number >= 2 ** bits) {
    throw new TypeError(`${String(value)} is out of its range`);
  }
  return number + 0;
};
/** An integer of so many bits that wraps around. */
const wrapping = (bits, signed = false) => (value) => {
  const number = Math.trunc(Number(value));
  const wrapped = Number.isFinite(number) ? ((number % 2 ** bits) + 2 ** bits) % 2 ** bits : 0;
  return signed && wrapped >= 2 ** (bits - 1) ? wrapped - 2 ** bits : wrapped;
};
const nullable = (of) => (value) => (value === null || value === undefined ? null : of(value));
/** A scalar value string: lone surrogates are replaced. */
const scalarString = (value) => {
  const replaced = Array.from(`${value}`, (unit) => (/^[\ud800-\udfff]$/.test(unit) ? "\ufffd" : unit));
  return replaced.join("");
};
const enumeration = (...values) => (value) => {
  const text = `${value}`;
  if (!values.includes(text)) throw new TypeError(`"${text}" is none of ${values.join(", ")}`);
  return text;
};
/** A dictionary whose absent members have defaults. */
const dictionaryWith = (table, defaults, required) => {
  const dictionary = convert.dictionary(table, required);
  return (value) => {
    const given = dictionary(value);
    for (const [name, member] of Object.entries(defaults)) {
      if (given[name] === undefined) given[name] = typeof member === "function" ? member() : member;
    }
    return given;
  };
};
const callable = (value) => {
  if (typeof value !== "function") throw new TypeError("a function is wanted");
  return value;
};

const directions = enumeration("sendrecv", "sendonly", "recvonly", "inactive", "stopped");
const sdpTypes = enumeration("offer", "pranswer", "answer", "rollback");

const encodingParameters = dictionaryWith({
  rid: convert.string,
  active: convert.boolean,
  maxBitrate: wrapping(32),
  maxFramerate: convert.double,
  scaleResolutionDownBy: convert.double,
  scalabilityMode: convert.string,
}, { active: true });

const codecCapability = convert.dictionary({
  mimeType: convert.string, clockRate: wrapping(32), channels: wrapping(16), sdpFmtpLine: convert.string,
}, ["mimeType", "clockRate"]);

const sendParameters = convert.dictionary({
  transactionId: convert.string,
  degradationPreference: enumeration("maintain-framerate", "maintain-resolution", "balanced"),
  encodings: convert.sequence(encodingParameters),
  headerExtensions: convert.sequence(dictionaryWith(
    { uri: convert.string, id: wrapping(16), encrypted: convert.boolean }, { encrypted: false }, ["uri", "id"],
  )),
  rtcp: dictionaryWith({ cname: convert.string, reducedSize: convert.boolean }, { reducedSize: false }),
  codecs: convert.sequence(convert.dictionary({
    payloadType: wrapping(8), mimeType: convert.string, clockRate: wrapping(32), channels: wrapping(16),
    sdpFmtpLine: convert.string,
  }, ["payloadType", "mimeType", "clockRate"])),
}, ["transactionId", "encodings", "headerExtensions", "rtcp", "codecs"]);

const transceiverInit = dictionaryWith({
  direction: directions,
  streams: convert.sequence((value) => convert.object(MediaStreamType)(value)),
  sendEncodings: convert.sequence(encodingParameters),
}, { direction: "sendrecv", streams: () => [], sendEncodings: () => [] });

const channelInit = dictionaryWith({
  ordered: convert.boolean,
  maxPacketLifeTime: enforced(16),
  maxRetransmits: enforced(16),
  protocol: scalarString,
  negotiated: convert.boolean,
  id: enforced(16),
}, { ordered: true, protocol: "", negotiated: false });

const descriptionInit = dictionaryWith({ type: sdpTypes, sdp: convert.string }, { sdp: "" }, ["type"]);
const localDescriptionInit = dictionaryWith({ type: sdpTypes, sdp: convert.string }, { sdp: "" });
const offerOptions = dictionaryWith({
  iceRestart: convert.boolean,
  offerToReceiveAudio: convert.boolean,
  offerToReceiveVideo: convert.boolean,
}, { iceRestart: false });

const iceServer = dictionaryWith({
  urls: convert.oneOrMore(convert.string),
  username: convert.string,
  credential: convert.string,
  credentialType: enumeration("password"),
}, { credentialType: "password" }, ["urls"]);

/** A configuration as the Rust side takes it. */
const rtcConfiguration = (given) => ({
  ...given,
  iceServers: (given.iceServers ?? []).map(({ urls, ...rest }) => ({ ...rest, urls: [urls].flat() })),
  certificates: given.certificates.map((object) => states.get(object).number),
});

const configuration = dictionaryWith({
  iceServers: convert.sequence(iceServer),
  iceTransportPolicy: enumeration("relay", "all"),
  bundlePolicy: enumeration("balanced", "max-compat", "max-bundle"),
  rtcpMuxPolicy: enumeration("negotiate", "require"),
  certificates: convert.sequence((value) => convert.object(RTCCertificateType)(value)),
  iceCandidatePoolSize: enforced(8),
}, {
  iceTransportPolicy: "all", bundlePolicy: "balanced", rtcpMuxPolicy: "require",
  certificates: () => [], iceCandidatePoolSize: 0,
});

/** Adds a static operation to an interface. */
function addStatic(type, name, length, promise, body) {
  const value = operation(name, length, promise, (self, args) => body(...args));
  define(type.object, name, { value, writable: true, enumerable: true, configurable: true });
}
