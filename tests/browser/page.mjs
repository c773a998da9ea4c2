// What runs inside the page: reading back the marks and the pitch of the remote side. Each function is
// sent as text, so it leans on nothing outside itself.

/**
 * Watches #remote-video for `ms` milliseconds. Returns
 * { frames: [[arrival, frameNumber, unixMs, flash]], unreadable, width, height, hz: [peak frequencies], level }
 * with arrival and unixMs in milliseconds of the wall clock, unixMs modulo 2^32.
 */
export async function watchRemote(ms) {
  const video = document.querySelector('#remote-video');
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const result = { frames: [], unreadable: 0, width: 0, height: 0, hz: [], level: 0 };

  function read() {
    const W = video.videoWidth, H = video.videoHeight;
    if (!W || !H) return;
    result.width = W;
    result.height = H;
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
    if (sum(frameNumber, 90) !== number(first, 32, 40) || sum(unixMs, 165) !== number(second, 32, 40)) {
      result.unreadable++;
      return;
    }
    const last = result.frames.at(-1);
    if (last && last[1] === frameNumber) return;
    result.frames.push([Date.now(), frameNumber, unixMs, bit(line(15), 35) === 1]);
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
