import { once } from "node:events";
import { MessageChannel } from "node:worker_threads";
import { afterEach, expect, test } from "vitest";
import { readBounded, type Sent } from "@rclaw/plugin-sdk/boundary/flood";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A port that is read, and what was made of it. `ping` may be answered or not. */
function reading(sent: Sent, ping: () => Promise<unknown> = () => new Promise(() => undefined)) {
  const { port1, port2 } = new MessageChannel();
  const seen = { read: 0, pings: 0, reasons: [] as string[] };
  let onRead: (() => void) | undefined;
  const reader = readBounded(
    port1,
    (value) => {
      if (value === "end") onRead?.();
      else seen.read++;
      return value === "end" ? "held" : sent;
    },
    { ping: () => (seen.pings++, ping()), onFlood: (reason) => (seen.reasons.push(reason), onRead?.()) },
  );
  // Read without keeping a process alive: here something else has to.
  const awake = setInterval(() => undefined, 1_000);
  closers.push(() => (clearInterval(awake), reader[Symbol.dispose](), port1.close()));
  /** Resolves when all of it was read, or it was too much. */
  const send = (count: number, message: unknown = { a: 1 }): Promise<void> =>
    new Promise((resolve) => {
      onRead = resolve;
      for (let i = 0; i < count; i++) port2.postMessage(message);
      port2.postMessage("end");
    });
  return { seen, send, port1, port2 };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what else the thread has to do comes in between", async () => {
  const { seen, send } = reading("held");
  let most = 0;
  const all = send(20_000);
  for (let last = 0; seen.read < 20_000; last = seen.read) {
    await nextTurn();
    most = Math.max(most, seen.read - last);
  }
  await all;
  expect(seen.read).toBe(20_000);
  // The last message of a turn is the one that tells that it is over.
  expect(most).toBeLessThanOrEqual(501);
});

test("who never looks at an answer may be ten thousand frames ahead, and is then read no further", async () => {
  const { seen, send, port2 } = reading("free");
  await send(20_000);
  expect(seen.reasons).toEqual(["sent more than 10000 frames without waiting for any answer"]);
  expect([seen.read, seen.pings]).toEqual([11_001, 1]);
  port2.postMessage({ a: 1 });
  await nextTurn();
  await nextTurn();
  expect(seen.read).toBe(11_001);
});

test("who sees what it is sent is read for as long as it likes", async () => {
  const { seen, send } = reading("free", () => Promise.resolve());
  await send(40_000);
  expect(seen.reasons).toEqual([]);
  expect(seen.pings).toBeGreaterThan(30);
});

test("an answer to the ping that says no is one, too", async () => {
  const { seen, send } = reading("free", () => Promise.reject(new Error("no such method")));
  await send(15_000);
  expect(seen.reasons).toEqual([]);
});

test("what this side asked for is never too much", async () => {
  const { seen, send } = reading("held");
  await send(15_000, "x".repeat(20_000));
  expect([seen.reasons, seen.pings]).toEqual([[], 0]);
});

test.each([
  ["text", "x".repeat(1_048_576)],
  ["bytes", { deep: [{ in: new Uint8Array(1_048_576) }] }],
  ["a buffer", { params: new ArrayBuffer(1_048_576) }],
])("large messages are counted by what they hold: %s", async (_what, message) => {
  const { seen, send } = reading("free");
  await send(160, message);
  expect(seen.reasons).toEqual(["sent more than 128 MiB without waiting for any answer"]);
  expect(seen.read).toBeLessThan(140);
});

test("a hundred messages that are no frames are borne within a second", async () => {
  const { seen, send } = reading("garbage");
  await send(100);
  expect(seen.reasons).toEqual([]);
  await send(10);
  expect(seen.reasons).toEqual(["sent more than 100 messages within a second that are no frames"]);
});

test("a port that is closed while it is not read stays closed", async () => {
  const { seen, send, port1 } = reading("held");
  void send(2_000);
  while (seen.read === 0) await nextTurn();
  const closed = once(port1, "close");
  port1.close();
  await closed;
  await nextTurn();
  expect(seen.read).toBeLessThan(2_000);
});
