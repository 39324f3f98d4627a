const fail = (value: unknown): never => {
  throw new DOMException(`${String(value)} could not be cloned.`, "DataCloneError");
};

/** `structuredClone` for data: no ports, nothing is transferred. */
export function cloneData<T>(value: T): T {
  return clone(value, new Map()) as T;
}

function clone(value: unknown, seen: Map<object, unknown>): unknown {
  if (typeof value === "function" || typeof value === "symbol") return fail(value);
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const keep = <T extends object>(copy: T): T => {
    seen.set(value, copy);
    return copy;
  };
  const fill = <T extends object>(copy: T): T => {
    for (const [key, inner] of Object.entries(value))
      Object.defineProperty(copy, key, {
        value: clone(inner, seen),
        writable: true,
        enumerable: true,
        configurable: true,
      });
    return copy;
  };
  if (Array.isArray(value)) return fill(keep(Array.from({ length: value.length })));
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) return keep(copyView(value));
  if (value instanceof Error) return keep(copyError(value, seen));
  if (value instanceof Map) {
    const copy = keep(new Map<unknown, unknown>());
    for (const [key, inner] of value) copy.set(clone(key, seen), clone(inner, seen));
    return copy;
  }
  if (value instanceof Set) {
    const copy = keep(new Set<unknown>());
    for (const inner of value) copy.add(clone(inner, seen));
    return copy;
  }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet) return fail(value);
  return fill(keep({}));
}

function copyView(view: ArrayBufferView): ArrayBufferView {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
  if (view instanceof DataView) return new DataView(bytes.buffer);
  const Kind = view.constructor as new (buffer: ArrayBufferLike) => ArrayBufferView;
  return new Kind(bytes.buffer);
}

const errors: Readonly<Record<string, ErrorConstructor>> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

function copyError(error: Error, seen: Map<object, unknown>): Error {
  const copy = new (errors[error.name] ?? Error)(error.message);
  if (error.stack !== undefined)
    Object.defineProperty(copy, "stack", { value: error.stack, writable: true, configurable: true });
  if ("cause" in error)
    Object.defineProperty(copy, "cause", {
      value: clone(error.cause, seen),
      writable: true,
      configurable: true,
    });
  return copy;
}
