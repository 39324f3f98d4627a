import { afterAll } from "vitest";

const ends: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (let end = ends.pop(); end; end = ends.pop()) await end();
});

/** What is started here ends with the test file, the last one first; `await using` ends it with its test. */
export function ending<T extends AsyncDisposable>(thing: T): T {
  const close = thing[Symbol.asyncDispose].bind(thing);
  let closing: PromiseLike<void> | undefined;
  const end = async (): Promise<void> => await (closing ??= close());
  ends.push(end);
  return Object.assign(thing, { [Symbol.asyncDispose]: end });
}
