'use strict';
// firefox.js send|recv CLIP: headless Firefox. It has no track of VideoFrames in a page: pictures go in through a canvas,
// and are read off a video element when they are composed.
const { run } = require('./browser.js');

/** Runs in the page. */
async function pageMain(role, startKbps, maxKbps) {
  const bytes = role === 'send' ? await (await fetch('/clip')).arrayBuffer() : new ArrayBuffer(0);
  const frames = [];
  for (let at = 0; at < bytes.byteLength; at += FRAME_BYTES) frames.push(new Uint8Array(bytes, at, FRAME_BYTES));

  // Its fake microphone, a tone of 1 kHz: an AudioContext stays suspended where there is no sound card.
  const [audio] = role === 'send' ? (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks() : [];

  function openMedia() {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [WIDTH, HEIGHT];
    const paint = canvas.getContext('2d', { alpha: false });
    const captured = canvas.captureStream(0); // it alone can ask for a frame here; its tracks cannot
    const video = captured.getVideoTracks()[0];
    every(1000 / FPS, (i) => {
      const data = frames[i % frames.length];
      writeStamp(data);
      const timestamp = i * 1e6 / FPS;
      const frame = new VideoFrame(data, { format: 'I420', codedWidth: WIDTH, codedHeight: HEIGHT, timestamp });
      paint.drawImage(frame, 0, 0);
      frame.close();
      captured.requestFrame();
    });
    return { video, audio };
  }

  function showMedia(track, onFrame) {
    const element = document.createElement(track.kind);
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
    element.play().catch((error) => console.error(error));
    if (track.kind === 'audio') return; // played, as a page would
    const canvas = document.createElement('canvas');
    const paint = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
    element.requestVideoFrameCallback(function shown() {
      element.requestVideoFrameCallback(shown);
      const { videoWidth: width, videoHeight: height } = element;
      const rows = Math.ceil(STAMP_ROWS * height / HEIGHT);
      if (canvas.width !== width || canvas.height !== rows) [canvas.width, canvas.height] = [width, rows];
      paint.drawImage(element, 0, 0, width, rows, 0, 0, width, rows);
      const { data } = paint.getImageData(0, 0, width, rows);
      const luma = new Uint8Array(width * rows); // the stamp is grey: any colour will do
      for (let i = 0; i < luma.length; i++) luma[i] = data[4 * i];
      onFrame(luma, width, width, height);
    });
  }

  const send = (message) => window.emitLine(JSON.stringify(message));
  window.handle = createPeer({ MediaStream, RTCPeerConnection, RTCRtpSender, openMedia, showMedia, startKbps, maxKbps,
    emit: send });
}

run({
  browser: 'firefox',
  executablePath: '/usr/bin/firefox-esr',
  extraPrefsFirefox: {
    'media.autoplay.default': 0,
    'media.peerconnection.ice.obfuscate_host_addresses': false,
    'media.navigator.permission.disabled': true,
    'media.navigator.streams.fake': true,
  },
}, pageMain);
