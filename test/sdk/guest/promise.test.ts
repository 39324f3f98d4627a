/* oxlint-disable unicorn/no-thenable, typescript/await-thenable -- what promises have to stand */
import { afterEach, expect, test } from "vitest";
import { GuestPromise, queueJob, runJobs, takeUnhandled } from "@rclaw/plugin-sdk/guest/promise";

const failures: unknown[] = [];
const run = (): void => runJobs((error) => failures.push(error));
afterEach(() => {
  run();
  takeUnhandled();
  expect(failures.splice(0)).toEqual([]);
});

/** How a promise stands after all jobs. */
function outcome(promise: PromiseLike<unknown>): unknown {
  let state: unknown = "pending";
  promise.then(
    (value) => (state = { value }),
    (reason: unknown) => (state = { reason }),
  );
  run();
  return state;
}

test("handlers run as jobs, in order, never at once", () => {
  const seen: string[] = [];
  const promise = new GuestPromise<number>((resolve) => resolve(1));
  void promise.then(() => seen.push("first")).then(() => seen.push("third"));
  void promise.then(() => seen.push("second"));
  queueJob(() => seen.push("job"));
  expect(seen).toEqual([]);
  run();
  expect(seen).toEqual(["first", "second", "job", "third"]);
});

test("it is decided once, and takes over what it is resolved with", () => {
  const once = new GuestPromise<unknown>((resolve, reject) => {
    resolve(1);
    resolve(2);
    reject(new Error("late"));
    throw new Error("later");
  });
  expect(outcome(once)).toEqual({ value: 1 });
  expect(outcome(new GuestPromise((resolve) => resolve(GuestPromise.reject("no"))))).toEqual({
    reason: "no",
  });
  expect(outcome(GuestPromise.resolve(1).then(() => GuestPromise.resolve(2)))).toEqual({ value: 2 });
  expect(outcome(new GuestPromise((resolve) => resolve({ x: 1 })))).toEqual({ value: { x: 1 } });
});

test("thenables are asked once, and their mistakes are contained", () => {
  let reads = 0;
  const twice = {
    get then() {
      reads++;
      return (resolve: (value: number) => void, reject: (reason: unknown) => void) => {
        resolve(1);
        reject(2);
        throw new Error("ignored");
      };
    },
  };
  expect(outcome(GuestPromise.resolve(twice as unknown as PromiseLike<number>))).toEqual({ value: 1 });
  expect(reads).toBe(1);
  const broken = Object.defineProperty({}, "then", {
    get() {
      throw new RangeError("cannot be read");
    },
  });
  expect(outcome(GuestPromise.resolve(broken))).toMatchObject({ reason: { name: "RangeError" } });
  let itself: GuestPromise<unknown> | undefined;
  itself = GuestPromise.resolve(0).then(() => itself);
  expect(outcome(itself)).toMatchObject({ reason: { name: "TypeError" } });
});

test("what is no function is passed through, what throws rejects", () => {
  expect(outcome(GuestPromise.resolve(1).then(null, undefined))).toEqual({ value: 1 });
  expect(outcome(GuestPromise.reject(1).then(() => 2))).toEqual({ reason: 1 });
  expect(outcome(GuestPromise.reject(1).catch((reason) => [reason]))).toEqual({ value: [1] });
  const thrown = GuestPromise.resolve(1).then(() => {
    throw new Error("x");
  });
  expect(outcome(thrown)).toMatchObject({ reason: { message: "x" } });
});

test("finally keeps the outcome unless it fails itself", () => {
  expect(outcome(GuestPromise.resolve(1).finally(() => 2))).toEqual({ value: 1 });
  expect(outcome(GuestPromise.reject(1).finally(() => {}))).toEqual({ reason: 1 });
  const failing = GuestPromise.resolve(1).finally(() => {
    throw new Error("in finally");
  });
  expect(outcome(failing)).toMatchObject({ reason: { message: "in finally" } });
});

test("the combinators agree with the language's own", async () => {
  const values = [1, "two", null];
  const mixed = (Kind: typeof Promise): unknown[] => [1, Kind.resolve(2), Kind.reject(new Error("3"))];
  const guest = GuestPromise as unknown as typeof Promise;
  expect(outcome(guest.all(values))).toEqual({ value: await Promise.all(values) });
  expect(outcome(guest.all([]))).toEqual({ value: [] });
  expect(outcome(guest.all(mixed(guest)))).toMatchObject({ reason: { message: "3" } });
  expect(outcome(guest.allSettled(mixed(guest)))).toEqual({
    value: await Promise.allSettled(mixed(Promise)),
  });
  expect(outcome(guest.any(mixed(guest)))).toEqual({ value: 1 });
  expect(outcome(guest.any([guest.reject(1), guest.reject(2)]))).toMatchObject({
    reason: { errors: [1, 2] },
  });
  expect(outcome(guest.any([]))).toMatchObject({ reason: { name: "AggregateError" } });
  expect(outcome(guest.race([new guest(() => {}), guest.resolve(2)]))).toEqual({ value: 2 });
  expect(outcome(guest.race([]))).toBe("pending");
  const { promise, resolve } = GuestPromise.withResolvers<number>();
  resolve(4);
  expect(outcome(promise)).toEqual({ value: 4 });
});

test("rejections that nobody hears of are told once", () => {
  void GuestPromise.reject("lost");
  const caught = GuestPromise.reject("caught");
  caught.catch(() => {});
  run();
  expect(takeUnhandled()).toEqual(["lost"]);
  expect(takeUnhandled()).toEqual([]);
});

test("awaiting works from the language's own functions too", async () => {
  const { promise, resolve } = GuestPromise.withResolvers<string>();
  const waiting = (async () => `${await promise}!`)();
  resolve("done");
  await Promise.resolve();
  run();
  expect(await waiting).toBe("done!");
});
