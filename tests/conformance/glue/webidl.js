// Web IDL's JavaScript binding: https://webidl.spec.whatwg.org/#javascript-binding
//
// Interfaces as tables of attributes and operations, and the conversions of what scripts pass in.
// Nothing here knows what any interface does. `global` is the page's, `door(operation, argument)` is the
// way to the Rust side; both are there for the other glue files.

const states = new WeakMap();

const define = (object, name, descriptor) => Object.defineProperty(object, name, descriptor);

/** What the platform object holds, if it implements the interface. */
function stateOf(object, type) {
  const state = object !== null && typeof object === "object" ? states.get(object) : undefined;
  for (let own = state?.type; own; own = own.parent) {
    if (own === type) return state;
  }
  throw new TypeError(`this is no ${type.name}`);
}

const isA = (object, type) => {
  try {
    stateOf(object, type);
    return true;
  } catch {
    return false;
  }
};

/** Makes a platform object that a script did not construct. */
function create(type, fields) {
  const object = Object.create(type.object.prototype);
  adopt(object, type, fields);
  return object;
}

function adopt(object, type, fields) {
  states.set(object, { ...fields, type, object });
  for (let own = type; own; own = own.parent) own.initialize?.(states.get(object));
}

const needs = (args, least, what) => {
  if (args.length < least) {
    throw new TypeError(`${what} wants ${least} argument(s), ${args.length} given`);
  }
};

/** A function with the name and length that Web IDL asks for. */
function operation(name, length, promise, body) {
  const callable = {
    [name](...args) {
      try {
        needs(args, length, name);
        return body(this, args);
      } catch (error) {
        if (promise) return Promise.reject(error);
        throw error;
      }
    },
  }[name];
  define(callable, "length", { value: length, configurable: true });
  return callable;
}

/**
 * Declares an interface and, unless it is hidden, puts its object on the global.
 *
 * `construct(args)` returns the fields of a new object; without it there is no constructor.
 * `attributes` are `{ get(state), set(state, value) }` or a bare getter; `operations` are
 * `{ length, promise, call(state, ...args) }` or a bare function, whose length counts.
 */
function declare(name, spec) {
  const { parent, construct, length = 0, hidden = false, initialize } = spec;
  const type = { name, parent, initialize };
  const object = {
    [name]: function (...args) {
      if (new.target === undefined) throw new TypeError(`${name} must be called with new`);
      if (!construct) throw new TypeError(`${name} cannot be constructed`);
      needs(args, length, name);
      const fields = construct(...args);
      const made = Object.create(new.target.prototype);
      adopt(made, type, fields);
      return made;
    },
  }[name];
  type.object = object;
  define(object, "length", { value: length, configurable: true });
  const up = parent?.object ?? spec.extends;
  if (parent) Object.setPrototypeOf(object, parent.object);
  define(object, "prototype", { value: Object.create(up?.prototype ?? Object.prototype), writable: false });
  const prototype = object.prototype;
  define(prototype, "constructor", { value: object, writable: true, configurable: true });
  define(prototype, Symbol.toStringTag, { value: name, configurable: true });
  members(type, prototype, spec);
  for (const [constant, value] of Object.entries(spec.constants ?? {})) {
    for (const holder of [object, prototype]) define(holder, constant, { value, enumerable: true });
  }
  if (!hidden) define(global, name, { value: object, writable: true, configurable: true });
  return type;
}

/** Adds attributes, event handlers and operations to a prototype. */
function members(type, holder, { attributes = {}, handlers = [], operations = {} }) {
  const all = { ...attributes };
  for (const event of handlers) all[`on${event}`] = handlerAttribute(event);
  for (const [name, attribute] of Object.entries(all)) {
    const read = attribute.get ?? attribute;
    const accessor = Object.getOwnPropertyDescriptor(
      {
        get [name]() {
          return read(stateOf(this, type));
        },
        set [name](value) {
          attribute.set(stateOf(this, type), value);
        },
      },
      name,
    );
    const set = attribute.set && accessor.set;
    define(holder, name, { get: accessor.get, set, enumerable: true, configurable: true });
  }
  for (const [name, spec] of Object.entries(operations)) {
    const body = spec.call && typeof spec !== "function" ? spec.call : spec;
    const length = spec === body ? Math.max(0, body.length - 1) : spec.length;
    const value = operation(name, length, spec.promise, (self, args) =>
      body(stateOf(self, type), ...args),
    );
    define(holder, name, { value, enumerable: true, writable: true, configurable: true });
  }
}

// Conversions: https://webidl.spec.whatwg.org/#js-type-mapping

const convert = {
  string: (value) => `${value}`,
  boolean: Boolean,
  double(value) {
    const number = Number(value);
    if (!Number.isFinite(number)) throw new TypeError(`${value} is no finite number`);
    return number;
  },
  /** `unsigned long`. */
  unsigned: (value) => Number(value) >>> 0,
  enumeration: (...values) => (value) => {
    const given = convert.string(value);
    if (!values.includes(given)) throw new TypeError(`${given} is none of ${values.join(", ")}`);
    return given;
  },
  /** `[Clamp] unsigned long`. */
  clamped(value) {
    const number = Number(value);
    if (Number.isNaN(number)) return 0;
    const within = Math.min(Math.max(number, 0), 2 ** 32 - 1);
    const floor = Math.floor(within);
    const over = within - floor;
    if (over < 0.5) return floor;
    if (over > 0.5) return floor + 1;
    return floor % 2 === 0 ? floor : floor + 1;
  },
  object(type) {
    return (value) => {
      if (!isA(value, type)) throw new TypeError(`a ${type.name} is wanted`);
      return value;
    };
  },
  sequence(of) {
    return (value) => {
      if (!isObject(value)) throw new TypeError("a sequence is wanted");
      const iterate = value[Symbol.iterator];
      if (typeof iterate !== "function") throw new TypeError("a sequence is wanted");
      return Array.from({ [Symbol.iterator]: () => iterate.call(value) }, of);
    };
  },
  /** A dictionary by a table of its members; members that are `undefined` are left out. */
  dictionary(table, required = []) {
    return (value) => {
      if (value !== undefined && value !== null && !isObject(value)) {
        throw new TypeError("a dictionary is wanted");
      }
      const dictionary = {};
      for (const name of Object.keys(table).sort()) {
        const given = value === undefined || value === null ? undefined : value[name];
        if (given !== undefined) dictionary[name] = table[name](given);
        else if (required.includes(name)) throw new TypeError(`the member ${name} is missing`);
      }
      return dictionary;
    };
  },
  /** A union of one simple type, a sequence of it if `listed`, and a dictionary. */
  union(simple, dictionary, listed = false) {
    const list = convert.sequence(simple);
    return (value) => {
      if (value === null || value === undefined) return dictionary(value);
      if (!isObject(value)) return simple(value);
      if (listed && typeof value[Symbol.iterator] === "function") return list(value);
      return dictionary(value);
    };
  },
  /** A simple type or a sequence of it. */
  oneOrMore(simple) {
    const list = convert.sequence(simple);
    return (value) =>
      isObject(value) && typeof value[Symbol.iterator] === "function" ? list(value) : simple(value);
  },
};

function isObject(value) {
  return value !== null && (typeof value === "object" || typeof value === "function");
}
