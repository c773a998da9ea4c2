// Pictures that a page makes: a canvas, rectangles on it, and the stream that is captured from it.
// https://html.spec.whatwg.org/multipage/canvas.html and https://w3c.github.io/mediacapture-fromelement/
//
// Only for a file that captures from a canvas is there a document, which makes canvases and nothing else,
// and only once the harness is there: the harness takes a page with a document for a whole browser's.

const canvasless = !page.draws;
const canvas = (operation, argument) => door(`canvas.${operation}`, argument);

/** https://www.w3.org/TR/CSS2/syndata.html#value-def-color */
const colours = {
  black: "#000000", silver: "#c0c0c0", gray: "#808080", white: "#ffffff", maroon: "#800000", red: "#ff0000",
  purple: "#800080", fuchsia: "#ff00ff", green: "#008000", lime: "#00ff00", olive: "#808000", yellow: "#ffff00",
  navy: "#000080", blue: "#0000ff", teal: "#008080", aqua: "#00ffff",
};

/** A colour by its name, as `#rrggbb` or as `rgb(r, g, b)`; undefined if it is none of these. */
function colourOf(value) {
  const text = convert.string(value).trim().toLowerCase();
  const numbers = /^rgb\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)$/.exec(text);
  if (numbers) {
    const digits = numbers.slice(1).map((number) => Math.min(Number(number), 255).toString(16).padStart(2, "0"));
    return `#${digits.join("")}`;
  }
  const hex = colours[text] ?? text;
  return /^#[0-9a-f]{6}$/.test(hex) ? hex : undefined;
}

const CanvasRenderingContext2DType = declare("CanvasRenderingContext2D", {
  hidden: canvasless,
  attributes: {
    canvas: (state) => state.canvas.object,
    fillStyle: {
      get: (state) => state.fillStyle,
      set(state, value) { state.fillStyle = colourOf(value) ?? state.fillStyle; },
    },
  },
  operations: {
    fillRect(state, x, y, width, height) {
      const rectangle = [x, y, width, height].map(Number);
      if (!rectangle.every(Number.isFinite)) return;
      const colour = [1, 3, 5].map((at) => Number.parseInt(state.fillStyle.slice(at, at + 2), 16));
      canvas("fill", { id: state.canvas.id, rectangle, colour });
      wantPainting(state.canvas);
    },
  },
});

function resize(state, size) {
  Object.assign(state, size);
  canvas("resize", { id: state.id, width: state.width, height: state.height });
  if (state.context) states.get(state.context).fillStyle = "#000000";
  wantPainting(state);
}

const HTMLCanvasElementType = declare("HTMLCanvasElement", {
  parent: EventTargetType,
  hidden: canvasless,
  attributes: {
    id: { get: (state) => state.name, set(state, value) { state.name = convert.string(value); } },
    width: { get: (state) => state.width, set: (state, width) => resize(state, { width: convert.unsigned(width) }) },
    height: { get: (state) => state.height, set: (state, height) => resize(state, { height: convert.unsigned(height) }) },
  },
  operations: {
    getContext: {
      length: 1,
      call(state, id) {
        if (convert.string(id) !== "2d") return null;
        state.context ??= create(CanvasRenderingContext2DType, { canvas: state, fillStyle: "#000000" });
        return state.context;
      },
    },
    captureStream: {
      length: 0,
      call(state, rate) {
        if (rate !== undefined) {
          throw exception({ name: "NotSupportedError", message: "a canvas is captured as it is painted" });
        }
        const captured = canvas("capture", state.id);
        knownTracks.set(captured.track, create(CanvasCaptureMediaStreamTrackType, {
          id: captured.track, canvas: state,
        }));
        wantPainting(state);
        return streamFor(captured.stream);
      },
    },
  },
});

const CanvasCaptureMediaStreamTrackType = declare("CanvasCaptureMediaStreamTrack", {
  parent: MediaStreamTrackType,
  hidden: canvasless,
  attributes: { canvas: (state) => state.canvas.object },
});

// Rendering: https://html.spec.whatwg.org/multipage/webappapis.html#update-the-rendering

const renderingInterval = 1e3 / 60;
let renderedAt = -renderingInterval;
/** When the next rendering is due; undefined if nobody wants any. */
let renderingDue;
let animations = new Map();
let animation = 0;
const unpainted = new Set();

function wantRendering() {
  if (renderingDue !== undefined) return;
  const due = Math.max(now(), renderedAt + renderingInterval);
  renderingDue = due;
  startTimer(() => { if (renderingDue === due) renderingDue = 0; }, due - now(), false, []);
}

function wantPainting(state) {
  unpainted.add(state);
  wantRendering();
}

/** To be called between any two tasks; whether anything was rendered. */
function render() {
  if (renderingDue === undefined || now() < renderingDue) return false;
  renderingDue = undefined;
  renderedAt = now();
  const callbacks = animations;
  animations = new Map();
  for (const callback of callbacks.values()) {
    try {
      callback(renderedAt);
    } catch (error) {
      reportError(error);
    }
  }
  for (const state of unpainted) canvas("paint", state.id);
  unpainted.clear();
  return true;
}

/** The document, once the harness is there. */
function showDocument() {
  const children = [];
  const body = {
    appendChild(child) {
      convert.object(HTMLCanvasElementType)(child);
      children.push(child);
      return child;
    },
    removeChild(child) {
      const at = children.indexOf(child);
      if (at < 0) throw exception({ name: "NotFoundError", message: "no child of the body" });
      return children.splice(at, 1)[0];
    },
  };
  global.document = {
    body,
    createElement(name) {
      if (`${name}`.toLowerCase() !== "canvas") {
        throw exception({ name: "NotSupportedError", message: `there is no ${name} here, only a canvas` });
      }
      const state = { id: canvas("new"), name: "", width: 300, height: 150 };
      const element = create(HTMLCanvasElementType, state);
      resize(states.get(element), {});
      return element;
    },
    getElementById: (id) => children.find((child) => child.id === `${id}`) ?? null,
    getElementsByTagName: (name) => (`${name}`.toLowerCase() === "canvas" ? [...children] : []),
  };
  global.requestAnimationFrame = (callback) => {
    animation += 1;
    animations.set(animation, callback);
    wantRendering();
    return animation;
  };
  global.cancelAnimationFrame = (id) => { animations.delete(id); };
}
