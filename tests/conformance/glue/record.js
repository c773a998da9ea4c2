// MediaStream Recording: https://w3c.github.io/mediacapture-record/
//
// Each recorder stands for one of ours behind the door, by its id. Its tasks are run there, and what they
// fire comes through as `recorderEvent`.

const recorderOptions = convert.dictionary({
  mimeType: convert.string,
  audioBitsPerSecond: convert.unsigned,
  videoBitsPerSecond: convert.unsigned,
  bitsPerSecond: convert.unsigned,
  audioBitrateMode: convert.enumeration("constant", "variable"),
  videoKeyFrameIntervalDuration: convert.double,
  videoKeyFrameIntervalCount: convert.unsigned,
});

const recorders = new Map();
const recorder = (operation, state, argument) => door(`recorder.${operation}`, { id: state.id, argument });
const aStream = convert.object(MediaStreamType);

const MediaRecorderType = declare("MediaRecorder", {
  parent: EventTargetType,
  length: 1,
  construct: (stream, options) => ({
    id: door("recorder.new", { stream: idOf(aStream(stream)), options: recorderOptions(options) }),
  }),
  initialize(state) {
    recorders.set(state.id, state.object);
  },
  attributes: {
    stream: (state) => streamFor(recorder("stream", state)),
    mimeType: (state) => recorder("mimeType", state),
    state: (state) => recorder("state", state),
    videoBitsPerSecond: (state) => recorder("videoBitsPerSecond", state),
    audioBitsPerSecond: (state) => recorder("audioBitsPerSecond", state),
    audioBitrateMode: (state) => recorder("audioBitrateMode", state),
  },
  handlers: ["start", "stop", "dataavailable", "pause", "resume", "error"],
  operations: {
    start: {
      length: 0,
      call(state, timeslice) {
        recorder("start", state, timeslice === undefined ? null : convert.unsigned(timeslice));
      },
    },
    stop: (state) => { recorder("stop", state); },
    pause: (state) => { recorder("pause", state); },
    resume: (state) => { recorder("resume", state); },
    requestData: (state) => { recorder("requestData", state); },
  },
});
define(MediaRecorderType.object, "isTypeSupported", {
  value: operation("isTypeSupported", 1, false, (self, [type]) =>
    door("recorder.isTypeSupported", convert.string(type)),
  ),
  writable: true, enumerable: true, configurable: true,
});

const BlobEventType = declare("BlobEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) => eventFields(type, init, { data: aBlob, timecode: convert.double }, ["data"]),
  attributes: { data: (state) => state.data, timecode: (state) => state.timecode ?? 0 },
});

/** Of 2021; the specification now fires an ErrorEvent in its place. */
const MediaRecorderErrorEventType = declare("MediaRecorderErrorEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) => eventFields(type, init, { error: convert.object(DOMExceptionType) }, ["error"]),
  attributes: { error: (state) => state.error },
});

settlements.recorderEvent = ({ id, fired: { event, blob: data, timecode, error } }) => {
  const target = recorders.get(id);
  if (event === "dataavailable") fire(target, event, BlobEventType, { data: blobFor(data), timecode });
  else if (event === "error") fire(target, event, MediaRecorderErrorEventType, { error: exception(error) });
  else fire(target, event);
};
