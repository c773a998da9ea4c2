// https://w3c.github.io/webrtc-pc/#peer-to-peer-dtmf

const RTCDTMFSenderType = declare("RTCDTMFSender", {
  parent: EventTargetType,
  attributes: {
    canInsertDTMF: (state) => transceiver("canInsertDTMF", state),
    toneBuffer: (state) => transceiver("toneBuffer", state),
  },
  handlers: ["tonechange"],
  operations: {
    insertDTMF: {
      length: 1,
      call(state, tones, duration, gap) {
        const number = (value, usual) => (value === undefined ? usual : wrapping(32)(value));
        transceiver("insertDTMF", state, {
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

settlements.toneChange = ({ transceiver: number, tone }) => {
  const { sender } = states.get(transceivers.get(number));
  fire(states.get(sender).dtmf, "tonechange", RTCDTMFToneChangeEventType, { tone });
};
