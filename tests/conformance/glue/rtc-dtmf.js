// https://w3c.github.io/webrtc-pc/#peer-to-peer-dtmf

const RTCDTMFSenderType = declare("RTCDTMFSender", {
  parent: EventTargetType,
  attributes: {
    canInsertDTMF: (state) => transceiver("canInsertDTMF", state),
    /** As the last event said, or `insertDTMF()` left it. */
    toneBuffer: (state) => state.toneBuffer ?? "",
  },
  handlers: ["tonechange"],
  operations: {
    insertDTMF: {
      length: 1,
      call(state, tones, duration, gap) {
        const number = (value, usual) => (value === undefined ? usual : wrapping(32)(value));
        state.toneBuffer = transceiver("insertDTMF", state, {
          tones: convert.string(tones), duration: number(duration, 100), gap: number(gap, 70),
        });
      },
    },
  },
});

const RTCDTMFToneChangeEventType = declare("RTCDTMFToneChangeEvent", {
  parent: EventType,
  length: 1,
  construct: (type, init) => ({ tone: "", ...eventFields(type, init, { tone: convert.string }) }),
  attributes: { tone: (state) => state.tone },
});

settlements.toneChange = ({ transceiver: number, tone, toneBuffer }) => {
  const { sender } = states.get(transceivers.get(number));
  const { dtmf } = states.get(sender);
  states.get(dtmf).toneBuffer = toneBuffer;
  fire(dtmf, "tonechange", RTCDTMFToneChangeEventType, { tone });
};
