// Sound that a page makes: of https://webaudio.github.io/web-audio-api/ oscillators on their way to a stream.
//
// What sounds is rendered behind the door; here is who is connected to whom.

const AudioContextType = declare("AudioContext", {
  construct: () => ({ destinations: new Set() }),
  operations: {
    createMediaStreamDestination(state) {
      const { id, stream: made } = door("sound.destination");
      const node = create(MediaStreamAudioDestinationNodeType, { id, stream: made, sounding: new Set() });
      state.destinations.add(id);
      return node;
    },
    createOscillator: () => create(OscillatorNodeType, { outputs: new Set(), sounds: false }),
    close: {
      length: 0,
      promise: true,
      async call({ destinations }) {
        for (const id of destinations) door("sound.close", id);
      },
    },
  },
});

const MediaStreamAudioDestinationNodeType = declare("MediaStreamAudioDestinationNode", {
  attributes: { stream: (state) => streamFor(state.stream) },
});
const aDestination = convert.object(MediaStreamAudioDestinationNodeType);

/** A sine of 440 Hz, which is what it is unless a script says otherwise; here none can. */
const OscillatorNodeType = declare("OscillatorNode", {
  operations: {
    connect(state, destination) {
      state.outputs.add(aDestination(destination));
      play(state);
      return destination;
    },
    start: { length: 0, call: (state) => play(state, true) },
    stop: { length: 0, call: (state) => play(state, false) },
  },
});

function play(oscillator, sounds = oscillator.sounds) {
  oscillator.sounds = sounds;
  for (const { id, sounding } of [...oscillator.outputs].map((output) => states.get(output))) {
    if (sounds) sounding.add(oscillator);
    else sounding.delete(oscillator);
    door("sound.oscillators", { id, oscillators: [...sounding].map(() => 440) });
  }
}
