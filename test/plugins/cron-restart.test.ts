import { RclawError } from "@rclaw/plugin-sdk";
import { describe, expect, test, vi } from "vitest";
import {
  add,
  answerOf,
  type Asked,
  bench,
  hour,
  jobs,
  minute,
  reminder,
  runs,
  start,
  stateOf,
  turn,
  withClock,
} from "./cron.support.ts";

withClock();

describe("a restart", () => {
  test("REL-40: makes up for what was missed once, however often it was", async () => {
    const first = await bench();
    await add(first, { schedule: { kind: "every", everyMs: minute }, payload: reminder });
    await first[Symbol.asyncDispose]();
    await vi.advanceTimersByTimeAsync(3 * hour);
    await using again = await bench({ storage: first.context.storage });
    await vi.advanceTimersByTimeAsync(0);
    expect(again.asked).toHaveLength(1);
    expect((await stateOf(again))["nextRunAtMs"]).toBe(start + 3 * hour + minute);
  });

  test("REL-40: takes up the very run that a crash cut short, and says no reminder twice", async () => {
    const first = await bench({ agent: () => new Promise(() => undefined) });
    const id = await add(first, { schedule: { kind: "every", everyMs: hour }, payload: turn });
    await vi.advanceTimersByTimeAsync(hour);
    const [cut] = first.asked;
    const second = await add(first, { schedule: { kind: "every", everyMs: hour }, payload: reminder });
    // As a crash between the reminder and the note of it would leave it.
    await first.call("cron.update", { id: second, patch: { state: { runningAtMs: Date.now() } } });
    const { storage } = first.context;
    await first[Symbol.asyncDispose]();

    await using again = await bench({ storage });
    await vi.advanceTimersByTimeAsync(0);
    expect(again.asked).toEqual([cut]);
    expect(await runs(again)).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ jobId: id, status: "ok", runAtMs: start + hour }),
        expect.objectContaining({
          jobId: second,
          status: "error",
          error: "cron: the gateway was restarted while this job ran",
        }),
      ]),
    );
  });
});

test("an assistant that is restarted under a run gives its answer all the same", async () => {
  let times = 0;
  await using on = await bench({
    agent() {
      if (++times > 2) return answerOf("at last");
      throw new RclawError("UNAVAILABLE", "the gateway is restarting", {
        details: { status: "interrupted" },
      });
    },
  });
  await add(on, { schedule: { kind: "every", everyMs: hour }, payload: turn });
  await vi.advanceTimersByTimeAsync(hour + 5_000);
  expect(await runs(on)).toMatchObject([{ status: "ok", summary: "at last" }]);
  expect(new Set(on.asked.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
});

test("a job that cannot be stored is not tried over and over, and goes on when it can", async () => {
  const first = await bench();
  await add(first, { schedule: { kind: "every", everyMs: hour }, payload: reminder });
  let isFull = true;
  let tries = 0;
  const { storage } = first.context;
  await first[Symbol.asyncDispose]();
  await using on = await bench({
    storage: {
      ...storage,
      async set(key, value) {
        if (isFull && ++tries > 0) throw new Error("no space left");
        await storage.set(key, value);
      },
    },
  });
  await vi.advanceTimersByTimeAsync(hour + minute - 1_000);
  expect(tries).toBe(2);
  expect(on.asked).toEqual([]);
  isFull = false;
  await vi.advanceTimersByTimeAsync(minute);
  expect(on.asked).toHaveLength(1);
});

test("a job that was acknowledged while cron starts anew is known afterwards", async () => {
  const first = await bench();
  const kept = first.context.storage;
  let release: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => (release = resolve));
  const storage = { ...kept, set: (key: string, value: unknown) => slow.then(() => kept.set(key, value)) };
  const old = await bench({ storage });
  const adding = add(old, { name: "late", schedule: { kind: "every", everyMs: hour }, text: "x" });
  // Its store has been opened when a list is answered.
  await jobs(old);
  const ended = old[Symbol.asyncDispose]();
  release();
  await ended;
  expect(
    ((await kept.get("jobs")) as Asked[]).map(({ name }) => name),
    "stored when it has ended",
  ).toEqual(["late"]);
  expect(typeof (await adding)).toBe("string");
  const next = await bench({ storage: kept });
  expect((await jobs(next)).map(({ name }) => name)).toEqual(["late"]);
});
