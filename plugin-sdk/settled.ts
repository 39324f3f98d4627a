/** Registered, because every bundle may carry a copy of this file. */
export const wire: unique symbol = Symbol.for("rclaw.wire") as never;

/**
 * Marks a value that will not change any more: its JSON is made once, and answers and
 * events that carry it reuse the text. It stays an ordinary object to everybody else.
 */
export function settled<T extends object>(value: T): T {
  let json: string | undefined;
  Object.defineProperty(value, wire, { get: () => (json ??= JSON.stringify(value)) });
  return value;
}

/** Marks a value whose JSON somebody has already, as a whole or in pieces. */
export function withJson<T extends object>(value: T, json: () => string): T {
  Object.defineProperty(value, wire, { get: json });
  return value;
}
