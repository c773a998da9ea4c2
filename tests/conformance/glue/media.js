// Media Capture and Streams: https://w3c.github.io/mediacapture-main/
//
// Each object stands for one of ours behind the door, by its id; what it is, and what becomes of it, is
// said there. Here: conversions, identity, events and promises.

// Constraints.

const numberRange = (number) =>
  convert.union(number, convert.dictionary({ min: number, max: number, exact: number, ideal: number }));
const choice = (value) => {
  const values = convert.oneOrMore(value);
  return convert.union(value, convert.dictionary({ exact: values, ideal: values }), true);
};
const flag = convert.union(
  convert.boolean,
  convert.dictionary({ exact: convert.boolean, ideal: convert.boolean }),
);
const booleanOrString = (value) => (typeof value === "boolean" ? value : convert.string(value));

const constraintSet = {
  width: numberRange(convert.clamped),
  height: numberRange(convert.clamped),
  aspectRatio: numberRange(convert.double),
  frameRate: numberRange(convert.double),
  facingMode: choice(convert.string),
  resizeMode: choice(convert.string),
  sampleRate: numberRange(convert.clamped),
  sampleSize: numberRange(convert.clamped),
  echoCancellation: choice(booleanOrString),
  autoGainControl: flag,
  noiseSuppression: flag,
  latency: numberRange(convert.double),
  channelCount: numberRange(convert.clamped),
  deviceId: choice(convert.string),
  groupId: choice(convert.string),
  displaySurface: choice(convert.string),
  logicalSurface: flag,
  cursor: choice(convert.string),
  backgroundBlur: flag,
};
const trackConstraints = convert.dictionary({
  ...constraintSet,
  advanced: convert.sequence(convert.dictionary(constraintSet)),
});
const wantedTrack = convert.union(convert.boolean, trackConstraints);
const streamConstraints = convert.dictionary({ video: wantedTrack, audio: wantedTrack });

const OverconstrainedErrorType = declare("OverconstrainedError", {
  parent: DOMExceptionType,
  length: 1,
  construct: (constraint, message = "") => ({
    name: "OverconstrainedError", message: `${message}`, constraint: `${constraint}`,
  }),
  attributes: { constraint: (state) => state.constraint },
});

// Tracks.

/** The one object for each of our tracks, and of our streams, by its handle: a number, a space, its id. */
const knownTracks = new Map();
const knownStreams = new Map();

function objectFor(type, known, id) {
  if (id === null) return null;
  if (!known.has(id)) known.set(id, create(type, { id }));
  return known.get(id);
}

const trackFor = (id) => objectFor(MediaStreamTrackType, knownTracks, id);
const streamFor = (id) => objectFor(MediaStreamType, knownStreams, id);
const track = (operation, state, argument) => door(`track.${operation}`, { id: state.id, argument });
const stream = (operation, state, argument) => door(`stream.${operation}`, { id: state.id, argument });

const MediaStreamTrackType = declare("MediaStreamTrack", {
  parent: EventTargetType,
  attributes: {
    kind: (state) => track("kind", state),
    id: (state) => state.id.slice(state.id.indexOf(" ") + 1),
    label: (state) => track("label", state),
    enabled: {
      get: (state) => track("enabled", state),
      set: (state, value) => track("setEnabled", state, convert.boolean(value)),
    },
    contentHint: {
      get: (state) => track("contentHint", state),
      set: (state, value) => track("setContentHint", state, convert.string(value)),
    },
    muted: (state) => track("muted", state),
    readyState: (state) => track("readyState", state),
  },
  handlers: ["mute", "unmute", "ended"],
  operations: {
    clone: (state) => trackFor(track("clone", state)),
    stop: (state) => { track("stop", state); },
    getCapabilities: (state) => track("getCapabilities", state),
    getConstraints: (state) => track("getConstraints", state),
    getSettings: (state) => track("getSettings", state),
    applyConstraints: {
      length: 0,
      promise: true,
      call: (state, constraints) =>
        inParallel("track.applyConstraints", {
          id: state.id, argument: trackConstraints(constraints),
        }).then(() => undefined),
    },
  },
});
const aTrack = convert.object(MediaStreamTrackType);
const idOf = (object) => states.get(object).id;

const MediaStreamTrackEventType = declare("MediaStreamTrackEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) => eventFields(type, init, { track: aTrack }, ["track"]),
  attributes: { track: (state) => state.track },
});

// Streams.

const MediaStreamType = declare("MediaStream", {
  parent: EventTargetType,
  construct(from) {
    const made = (argument) => ({ id: door("stream.new", argument) });
    if (from === undefined) return made({});
    if (isA(from, MediaStreamType)) return made({ stream: idOf(from) });
    return made({ tracks: convert.sequence(aTrack)(from).map(idOf) });
  },
  initialize(state) {
    knownStreams.set(state.id, state.object);
  },
  attributes: {
    id: (state) => state.id.slice(state.id.indexOf(" ") + 1),
    active: (state) => stream("active", state),
  },
  handlers: ["addtrack", "removetrack"],
  operations: {
    getAudioTracks: (state) => stream("tracks", state, "audio").map(trackFor),
    getVideoTracks: (state) => stream("tracks", state, "video").map(trackFor),
    getTracks: (state) => stream("tracks", state).map(trackFor),
    getTrackById: (state, id) => trackFor(stream("trackById", state, convert.string(id))),
    addTrack: (state, added) => { stream("addTrack", state, idOf(aTrack(added))); },
    removeTrack: (state, removed) => { stream("removeTrack", state, idOf(aTrack(removed))); },
    clone: (state) => streamFor(stream("clone", state)),
  },
});

// Devices.

const MediaDeviceInfoType = declare("MediaDeviceInfo", {
  hidden: !page.secure,
  attributes: {
    deviceId: (state) => state.device.deviceId,
    kind: (state) => state.device.kind,
    label: (state) => state.device.label,
    groupId: (state) => state.device.groupId,
  },
  operations: {
    toJSON({ device: { deviceId, kind, label, groupId } }) {
      return { deviceId, kind, label, groupId };
    },
  },
});

const InputDeviceInfoType = declare("InputDeviceInfo", {
  parent: MediaDeviceInfoType,
  hidden: !page.secure,
  operations: { getCapabilities: (state) => ({ ...state.device.capabilities }) },
});

const deviceFor = (device) =>
  create(device.kind === "audiooutput" ? MediaDeviceInfoType : InputDeviceInfoType, { device });
const aDevice = convert.object(MediaDeviceInfoType);

const DeviceChangeEventType = declare("DeviceChangeEvent", {
  parent: EventType,
  length: 1,
  construct(type, init) {
    const fields = eventFields(type, init, { devices: convert.sequence(aDevice) });
    return { userInsertedDevices: Object.freeze([]), ...fields, devices: Object.freeze(fields.devices ?? []) };
  },
  attributes: {
    devices: (state) => state.devices,
    userInsertedDevices: (state) => state.userInsertedDevices,
  },
});

const getUserMedia = (wanted) => inParallel("devices.getUserMedia", wanted).then(streamFor);

const MediaDevicesType = declare("MediaDevices", {
  parent: EventTargetType,
  hidden: !page.secure,
  handlers: ["devicechange"],
  operations: {
    enumerateDevices: {
      length: 0,
      promise: true,
      call: () => inParallel("devices.enumerate").then((devices) => devices.map(deviceFor)),
    },
    getSupportedConstraints: () => door("devices.supported"),
    getUserMedia: {
      length: 0,
      promise: true,
      call: (state, constraints) => getUserMedia(streamConstraints(constraints)),
    },
  },
});
const mediaDevices = create(MediaDevicesType, {});

const aFunction = (value) => {
  if (typeof value !== "function") throw new TypeError("a function is wanted");
  return value;
};

const NavigatorType = declare("Navigator", {
  attributes: {
    userAgent: () => "Duet",
    ...(page.secure && { mediaDevices: () => mediaDevices }),
  },
  operations: page.secure && {
    /** The callback form. */
    getUserMedia: {
      length: 3,
      call(state, constraints, success, failure) {
        const wanted = streamConstraints(constraints);
        const [onStream, onError] = [aFunction(success), aFunction(failure)];
        new Promise((resolve) => resolve(getUserMedia(wanted)))
          .then((found) => onStream(found), (error) => onError(error))
          .catch(reportError);
      },
    },
  },
});
const navigator = create(NavigatorType, {});
define(global, "navigator", { get: () => navigator, enumerable: true, configurable: true });

// What comes through the door.

/** Which task this is: what a script sees may change from one to the next. */
let taskCount = 0;

const settlements = {
  timer: ({ id }) => timerIsDue(id),
  settled({ request, value, error }) {
    const { resolve, reject } = requests.get(request);
    requests.delete(request);
    if (error) reject(exception(error));
    else resolve(value);
  },
  trackEvent: ({ id, event }) => fire(trackFor(id), event),
  streamEvent({ id, event, track: changed }) {
    fire(streamFor(id), event, MediaStreamTrackEventType, { track: trackFor(changed) });
  },
  deviceChange({ devices }) {
    const fields = { devices: Object.freeze(devices.map(deviceFor)), userInsertedDevices: Object.freeze([]) };
    fire(mediaDevices, "devicechange", DeviceChangeEventType, fields);
  },
  load: () => fire(global, "load"),
  rejections: notifyOfRejections,
  nothing() {},
};

define(global, "__duet", {
  value: {
    deliver(task) {
      taskCount += 1;
      const parsed = JSON.parse(task);
      try {
        settlements[parsed.task](parsed);
      } catch (error) {
        reportError(error);
      }
    },
    reportError,
    render: () => render(),
    rejection(promise, reason, handled) {
      if (handled) rejected.delete(promise);
      else rejected.set(promise, reason);
    },
    /** Tells the Rust side how the harness's tests went; to be called once the harness is there. */
    watch() {
      if (page.draws) showDocument();
      const told = ({ name, status, message }) => ({ name, status, message: message ?? null });
      global.add_test_state_callback((test) => door("test", told(test)));
      global.add_result_callback((test) => door("test", told(test)));
      global.add_completion_callback((tests, { status, message }) =>
        door("done", { tests: tests.map(told), status, message: message ?? null }),
      );
    },
  },
});
