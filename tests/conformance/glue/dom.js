// What a page has besides media: events, errors, timers, and a window that is an event target.
// https://dom.spec.whatwg.org/ and https://html.spec.whatwg.org/multipage/webappapis.html
//
// There is no document and no element.

/** The legacy codes, from 1 on. */
const codes = [
  "IndexSize", "DOMStringSize", "HierarchyRequest", "WrongDocument", "InvalidCharacter", "NoDataAllowed",
  "NoModificationAllowed", "NotFound", "NotSupported", "InUseAttribute", "InvalidState", "Syntax",
  "InvalidModification", "Namespace", "InvalidAccess", "Validation", "TypeMismatch", "Security", "Network",
  "Abort", "URLMismatch", "QuotaExceeded", "Timeout", "InvalidNodeType", "DataClone",
];
const constants = `INDEX_SIZE DOMSTRING_SIZE HIERARCHY_REQUEST WRONG_DOCUMENT INVALID_CHARACTER NO_DATA_ALLOWED
  NO_MODIFICATION_ALLOWED NOT_FOUND NOT_SUPPORTED INUSE_ATTRIBUTE INVALID_STATE SYNTAX INVALID_MODIFICATION
  NAMESPACE INVALID_ACCESS VALIDATION TYPE_MISMATCH SECURITY NETWORK ABORT URL_MISMATCH QUOTA_EXCEEDED TIMEOUT
  INVALID_NODE_TYPE DATA_CLONE`.split(/\s+/);

const DOMExceptionType = declare("DOMException", {
  extends: Error,
  construct: (message = "", name = "Error") => ({ message: `${message}`, name: `${name}` }),
  attributes: {
    name: (state) => state.name,
    message: (state) => state.message,
    code: (state) => codes.findIndex((code) => `${code}Error` === state.name) + 1,
  },
  constants: Object.fromEntries(constants.map((name, at) => [`${name}_ERR`, at + 1])),
});

/** An error as the Rust side told it: `{ name, message, constraint }`. */
function exception({ name, message, constraint }) {
  if (name === "TypeError") return new TypeError(message);
  if (name === "RangeError") return new RangeError(message);
  if (constraint !== undefined) {
    return create(OverconstrainedErrorType, { name, message, constraint });
  }
  return create(DOMExceptionType, { name, message });
}

const now = () => door("now");

const EventType = declare("Event", {
  length: 1,
  construct: (type, init) => eventFields(type, init),
  initialize(state) {
    const trusted = { get isTrusted() { return state.trusted; } };
    const { get } = Object.getOwnPropertyDescriptor(trusted, "isTrusted");
    define(state.object, "isTrusted", { get, enumerable: true });
  },
  attributes: {
    type: (state) => state.eventType,
    target: (state) => state.target,
    srcElement: (state) => state.target,
    currentTarget: (state) => state.currentTarget,
    eventPhase: (state) => (state.dispatching ? 2 : 0),
    bubbles: (state) => state.bubbles,
    cancelable: (state) => state.cancelable,
    composed: (state) => state.composed,
    defaultPrevented: (state) => state.canceled,
    timeStamp: (state) => state.time,
    returnValue: {
      get: (state) => !state.canceled,
      set: (state, value) => { if (!value) cancel(state); },
    },
    cancelBubble: {
      get: (state) => state.stopped,
      set: (state, value) => { if (value) state.stopped = true; },
    },
  },
  operations: {
    composedPath: (state) => (state.currentTarget ? [state.currentTarget] : []),
    stopPropagation: (state) => { state.stopped = true; },
    stopImmediatePropagation: (state) => { state.stopped = state.stoppedAtOnce = true; },
    preventDefault: (state) => cancel(state),
    initEvent: {
      length: 1,
      call(state, type, bubbles = false, cancelable = false) {
        if (!state.dispatching) Object.assign(state, eventFields(type, { bubbles, cancelable }));
      },
    },
  },
  constants: { NONE: 0, CAPTURING_PHASE: 1, AT_TARGET: 2, BUBBLING_PHASE: 3 },
});

const eventInit = { bubbles: convert.boolean, cancelable: convert.boolean, composed: convert.boolean };

function eventFields(type, init, table = {}, required = []) {
  const given = convert.dictionary({ ...eventInit, ...table }, required)(init);
  const none = { target: null, currentTarget: null, canceled: false, stopped: false, trusted: false };
  const defaults = { bubbles: false, cancelable: false, composed: false };
  return { ...none, ...defaults, ...given, eventType: `${type}`, time: now() };
}

function cancel(event) {
  if (event.cancelable && !event.passive) event.canceled = true;
}

const EventTargetType = declare("EventTarget", {
  construct: () => ({}),
  initialize(state) {
    state.listeners = [];
    state.handlers = new Map();
  },
  operations: {
    addEventListener: {
      length: 2,
      call(state, type, callback, options) {
        const listener = { type: `${type}`, callback, ...listenerOptions(options) };
        if (callback === null || callback === undefined || listener.signal?.aborted) return;
        if (!isObject(callback)) throw new TypeError("the listener is no object");
        if (!state.listeners.some((other) => same(other, listener))) state.listeners.push(listener);
      },
    },
    removeEventListener: {
      length: 2,
      call(state, type, callback, options) {
        const gone = { type: `${type}`, callback, ...listenerOptions(options) };
        const at = state.listeners.findIndex((listener) => same(listener, gone));
        if (at >= 0) state.listeners.splice(at, 1)[0].removed = true;
      },
    },
    dispatchEvent(state, event) {
      const fields = stateOf(event, EventType);
      if (fields.dispatching) {
        throw exception({ name: "InvalidStateError", message: "the event is on its way already" });
      }
      fields.trusted = false;
      return dispatch(state, event);
    },
  },
});

function listenerOptions(options) {
  if (!isObject(options)) return { capture: Boolean(options), once: false };
  return { capture: Boolean(options.capture), once: Boolean(options.once), signal: options.signal };
}

const same = (a, b) => a.type === b.type && a.callback === b.callback && a.capture === b.capture;

/**
 * Calls an event's listeners; false if one of them canceled it. Between them promises are seen to, if no
 * script is running below (https://html.spec.whatwg.org/multipage/webappapis.html#clean-up-after-running-script).
 */
function dispatch(target, event, outermost = false) {
  const fields = stateOf(event, EventType);
  Object.assign(fields, { dispatching: true, target: target.object, currentTarget: target.object });
  for (const listener of [...target.listeners]) {
    if (listener.type !== fields.eventType || listener.removed) continue;
    if (listener.once) {
      target.listeners.splice(target.listeners.indexOf(listener), 1);
      listener.removed = true;
    }
    try {
      const { callback } = listener;
      if (typeof callback === "function") callback.call(target.object, event);
      else callback.handleEvent(event);
    } catch (error) {
      reportError(error);
    }
    if (outermost) checkpoint();
    if (fields.stoppedAtOnce) break;
  }
  Object.assign(fields, { dispatching: false, currentTarget: null, stopped: false, stoppedAtOnce: false });
  return !fields.canceled;
}

/** Fires an event that the user agent made, in a task of its own or at the end of one. */
function fire(target, type, eventType = EventType, fields = {}) {
  return dispatch(stateOf(target, EventTargetType), trustedEvent(type, eventType, fields), true);
}

const trustedEvent = (type, eventType, fields) =>
  create(eventType, { ...eventFields(type), ...fields, trusted: true });

/** https://html.spec.whatwg.org/multipage/webappapis.html#event-handler-attributes */
function handlerAttribute(event) {
  return {
    get: (state) => state.handlers.get(event)?.value ?? null,
    set(state, value) {
      const handler = isObject(value) ? value : null;
      const known = state.handlers.get(event);
      if (known) {
        known.value = handler;
        return;
      }
      const made = { value: handler };
      state.handlers.set(event, made);
      const callback = (fired) => {
        if (typeof made.value !== "function") return;
        if (made.value.call(state.object, fired) === false) cancel(stateOf(fired, EventType));
      };
      state.listeners.push({ type: event, callback, capture: false, once: false });
    },
  };
}

const ErrorEventType = declare("ErrorEvent", {
  parent: EventType,
  length: 1,
  construct: (type, init) => ({ ...eventFields(type, init), message: `${init?.message ?? ""}`, error: init?.error }),
  attributes: {
    message: (state) => state.message,
    filename: () => "",
    lineno: () => 0,
    colno: () => 0,
    error: (state) => state.error,
  },
});

const PromiseRejectionEventType = declare("PromiseRejectionEvent", {
  parent: EventType,
  length: 2,
  construct: (type, init) => ({ ...eventFields(type, init), promise: init.promise, reason: init.reason }),
  attributes: { promise: (state) => state.promise, reason: (state) => state.reason },
});

// The window.

const WindowType = declare("Window", { parent: EventTargetType, handlers: ["error", "load"] });

adopt(global, WindowType, {});
members(WindowType, global, { handlers: ["error", "load", "unhandledrejection"] });
for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
  const method = EventTargetType.object.prototype[name];
  const value = { [name]: (...args) => method.apply(global, args) }[name];
  define(global, name, { value, writable: true, enumerable: true, configurable: true });
}
for (const name of ["self", "window", "frames", "parent", "top"]) {
  define(global, name, { value: global, writable: true, enumerable: true, configurable: true });
}

function reportError(error) {
  const message = isObject(error) && error.message !== undefined ? `${error.message}` : `${error}`;
  const event = trustedEvent("error", ErrorEventType, { message, error, cancelable: true });
  dispatch(stateOf(global, WindowType), event);
}

const page = door("page");
const url = new RegExp("^(https?:)//([^/]*)(/.*)$").exec(page.url);
global.isSecureContext = page.secure;
global.reportError = reportError;
global.location = {
  href: page.url, protocol: url[1], host: url[2], hostname: url[2], origin: `${url[1]}//${url[2]}`,
  pathname: url[3], search: "", hash: "", toString: () => page.url,
};
global.origin = global.location.origin;
global.performance = { now, timeOrigin: page.timeOrigin };
global.console = Object.fromEntries(
  ["log", "info", "warn", "error", "debug"].map((name) => [name, (...args) => door("log", args.map(String))]),
);

const rejected = new Map();

/** https://html.spec.whatwg.org/multipage/webappapis.html#notify-about-rejected-promises */
function notifyOfRejections() {
  for (const [promise, reason] of [...rejected]) {
    rejected.delete(promise);
    fire(global, "unhandledrejection", PromiseRejectionEventType, { promise, reason, cancelable: true });
  }
}

// Timers and requests, which the Rust side keeps.

const timers = new Map();

function startTimer(callback, delay, repeat, args) {
  const wait = Math.max(0, Number(delay) || 0);
  const id = door("timer", { delay: wait });
  timers.set(id, { callback, args, repeat: repeat ? wait : undefined });
  return id;
}

const stopTimer = (id) => { timers.delete(id); };
global.setTimeout = (callback, delay, ...args) => startTimer(callback, delay, false, args);
global.setInterval = (callback, delay, ...args) => startTimer(callback, delay, true, args);
global.clearTimeout = stopTimer;
global.clearInterval = stopTimer;
global.queueMicrotask = (callback) => { Promise.resolve().then(callback).catch(reportError); };

function timerIsDue(id) {
  const timer = timers.get(id);
  if (!timer) return;
  if (timer.repeat === undefined) timers.delete(id);
  else door("timer", { delay: timer.repeat, id });
  timer.callback.apply(global, timer.args);
}

const requests = new Map();

/** A promise for what the Rust side does in parallel. */
function inParallel(operation, argument) {
  const id = door(operation, argument);
  return new Promise((resolve, reject) => requests.set(id, { resolve, reject }));
}
