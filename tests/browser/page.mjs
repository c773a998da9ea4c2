// What runs inside the page: reading back the marks and the pitch of the remote side, or of a recording.
// Each function is sent as text, so it leans on nothing outside itself but for what installMarks leaves.

/**
 * Installs `readMarks(video)`, which reads the marks off the picture that is shown: undefined without a
 * picture, null if they cannot be read, and else { frameNumber, unixMs, flash }, with unixMs modulo 2^32.
 */
export function installMarks() {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  globalThis.readMarks = (video) => {
    const W = video.videoWidth, H = video.videoHeight;
    if (!W || !H) return undefined;
    if (canvas.width !== W || canvas.height !== H) {
      canvas.width = W;
      canvas.height = H;
    }
    context.drawImage(video, 0, 0, W, H);
    const line = (row) => context.getImageData(0, Math.floor((row + 0.5) * H / 18), W, 1).data;
    const bit = (data, column) => (data[4 * Math.floor((column + 0.5) * W / 40) + 1] > 127 ? 1 : 0);
    const number = (data, from, to) => {
      let n = 0;
      for (let column = from; column < to; column++) n = n * 2 + bit(data, column);
      return n;
    };
    const sum = (n, k) => ((n >>> 24) + 3 * ((n >>> 16) & 255) + 5 * ((n >>> 8) & 255) + 7 * (n & 255) + k) & 255;
    const [first, second] = [line(0), line(1)];
    const frameNumber = number(first, 0, 32), unixMs = number(second, 0, 32);
    if (sum(frameNumber, 90) !== number(first, 32, 40) || sum(unixMs, 165) !== number(second, 32, 40)) return null;
    return { frameNumber, unixMs, flash: bit(line(15), 35) === 1 };
  };
}

/**
 * Watches #remote-video for `ms` milliseconds. Returns
 * { frames: [[arrival, frameNumber, unixMs, flash]], unreadable, width, height, hz: [peak frequencies], level }
 * with arrival and unixMs in milliseconds of the wall clock, unixMs modulo 2^32.
 */
export async function watchRemote(ms) {
  const video = document.querySelector('#remote-video');
  const result = { frames: [], unreadable: 0, width: 0, height: 0, hz: [], level: 0 };

  function read() {
    const marks = readMarks(video);
    if (marks === undefined) return;
    result.width = video.videoWidth;
    result.height = video.videoHeight;
    if (marks === null) {
      result.unreadable++;
      return;
    }
    const last = result.frames.at(-1);
    if (last && last[1] === marks.frameNumber) return;
    result.frames.push([Date.now(), marks.frameNumber, marks.unixMs, marks.flash]);
  }

  const until = performance.now() + ms;
  let stopped = false;
  const onFrame = () => {
    if (stopped) return;
    read();
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);

  let audio;
  const tracks = video.srcObject?.getAudioTracks() ?? [];
  if (tracks.length > 0) {
    audio = new AudioContext();
    const analyser = audio.createAnalyser();
    analyser.fftSize = 8192;
    analyser.smoothingTimeConstant = 0;
    audio.createMediaStreamSource(new MediaStream(tracks)).connect(analyser);
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    const listen = setInterval(() => {
      analyser.getFloatFrequencyData(spectrum);
      let peak = 0;
      for (let bin = 1; bin < spectrum.length; bin++) if (spectrum[bin] > spectrum[peak]) peak = bin;
      if (!Number.isFinite(spectrum[peak])) return;
      if (spectrum[peak] < -70) return;
      // Between the bins by the parabola through the peak and its neighbours.
      const [a, b, c] = [spectrum[peak - 1] ?? -200, spectrum[peak], spectrum[peak + 1] ?? -200];
      const shift = a + c === 2 * b ? 0 : (a - c) / (2 * (a - 2 * b + c));
      result.hz.push((peak + shift) * audio.sampleRate / analyser.fftSize);
      result.level = Math.max(result.level, spectrum[peak]);
    }, 100);
    setTimeout(() => clearInterval(listen), ms);
  }
  await new Promise((resolve) => setTimeout(resolve, until - performance.now()));
  stopped = true;
  await audio?.close().catch(() => {});
  return result;
}

/**
 * Plays a recording, which is given in base64, from beginning to end, and then shows the picture at `seek`
 * seconds. Returns { duration (null: unknown), width, height, frames: [[mediaTime, frameNumber, second]],
 * unreadable, end, sought: [mediaTime, frameNumber], sound: { duration, beeps: [seconds] } }; `second` is
 * what the wall clock read within its second when the picture was taken. The sound is decoded as a whole.
 */
export async function watchRecording(base64, type, seek) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const video = document.createElement('video');
  const failed = new Promise((_, reject) => {
    video.addEventListener('error', () => reject(new Error(`it does not play: ${video.error.message}`)));
  });
  const until = (event) =>
    Promise.race([failed, new Promise((resolve) => video.addEventListener(event, resolve, { once: true }))]);
  const loaded = until('loadedmetadata'), ended = until('ended');
  video.src = URL.createObjectURL(new Blob([bytes], { type }));
  document.body.append(video);
  await loaded;
  const result = { duration: Number.isFinite(video.duration) ? video.duration : null, width: video.videoWidth,
    height: video.videoHeight, frames: [], unreadable: 0, end: 0, sought: null, sound: null };

  const read = (mediaTime) => {
    const marks = readMarks(video);
    if (!marks) return marks;
    // The marks have the low 32 bits; the picture is not weeks old.
    const age = (Date.now() - marks.unixMs) | 0;
    return [mediaTime, marks.frameNumber, ((Date.now() - age) % 1000) / 1000];
  };
  let playing = true;
  video.requestVideoFrameCallback(function onFrame(_, { mediaTime }) {
    if (!playing) return;
    const frame = read(mediaTime);
    if (frame) result.frames.push(frame);
    else result.unreadable++;
    video.requestVideoFrameCallback(onFrame);
  });
  await video.play();
  await ended;
  playing = false;
  result.end = video.currentTime;
  if (seek !== null) {
    const shown = new Promise((resolve) => {
      video.requestVideoFrameCallback((_, { mediaTime }) => resolve(read(mediaTime)));
    });
    video.currentTime = seek;
    result.sought = await Promise.race([failed, shown]);
  }

  const sound = await new OfflineAudioContext(1, 1, 48_000).decodeAudioData(bytes.buffer);
  const samples = sound.getChannelData(0);
  result.sound = { duration: sound.duration, beeps: [] };
  // The beep is nearly three times as loud as anything else.
  for (let at = 0; at < samples.length; at++) {
    if (Math.abs(samples[at]) < 0.2) continue;
    result.sound.beeps.push(at / sound.sampleRate);
    at += sound.sampleRate / 2;
  }
  video.remove();
  return result;
}

/** Resolves with the call's state once it is one of `states`; rejects with what it was after `ms`. */
export function waitForState(states, ms) {
  const root = document.documentElement;
  return new Promise((resolve, reject) => {
    const now = () => root.dataset.callState;
    const settle = () => {
      if (!states.includes(now())) return false;
      clearTimeout(timer);
      observer.disconnect();
      resolve(now());
      return true;
    };
    const observer = new MutationObserver(settle);
    const timer = setTimeout(() => {
      observer.disconnect();
      reject(new Error(`the call is '${now()}' (${root.dataset.callReason ?? 'no reason'}), not ${states.join(' or ')}, after ${ms} ms`));
    }, ms);
    if (!settle()) observer.observe(root, { attributes: true, attributeFilter: ['data-call-state'] });
  });
}

/** Resolves with the size of the picture in the element that `selector` finds, once there is one. */
export function waitForPicture(selector, ms) {
  const video = document.querySelector(selector);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no picture in ${selector} after ${ms} ms`)), ms);
    video.requestVideoFrameCallback(() => {
      clearTimeout(timer);
      resolve({ width: video.videoWidth, height: video.videoHeight });
    });
  });
}

/** Keeps the page's connections in `window.connections`, so that a test can ask them. */
export function keepConnections() {
  const Real = window.RTCPeerConnection;
  window.connections = [];
  if (Real === undefined) return;
  window.RTCPeerConnection = class RTCPeerConnection extends Real {
    constructor(...configuration) {
      super(...configuration);
      window.connections.push(this);
    }
  };
}
