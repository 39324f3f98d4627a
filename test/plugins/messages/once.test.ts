import { RclawError } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { createOnce } from "../../../plugins/services/messages/once.ts";

const request = { method: "send", principal: "client:ada", key: "k", params: { to: "42", message: "hi" } };

function setUp() {
  const { context } = createTestContext();
  const clock = { now: 1_000_000 };
  const fresh = () => createOnce({ storage: context.storage, log: context.log, now: () => clock.now });
  const left: number[] = [];
  const deliver = async (leaving: () => Promise<void>): Promise<Record<string, unknown>> => {
    await leaving();
    return { messageId: String(left.push(clock.now)) };
  };
  return { context, clock, fresh, once: fresh(), left, deliver };
}

test("requests that come together, and later ones, share one delivery, whatever the order of their params", async () => {
  const { once, left, deliver } = setUp();
  const turned = { ...request, params: { message: "hi", to: "42" } };
  const answers = await Promise.all([once(request, deliver), once(turned, deliver), once(request, deliver)]);
  answers.push(await once(turned, deliver));
  expect(answers).toHaveLength(4);
  for (const answer of answers) expect(answer).toEqual({ payload: { messageId: "1" } });
  expect(left).toHaveLength(1);
});

test("SEC-043: the same key with other params is refused, before and after the delivery; another principal's is its own", async () => {
  const { once, left, deliver } = setUp();
  const other = { ...request, params: { to: "43", message: "hi" } };
  const first = once(request, deliver);
  await expect(once(other, deliver)).rejects.toMatchObject({
    code: "CONFLICT",
    message: expect.stringContaining('idempotency key "k" and other params'),
  });
  await first;
  await expect(once(other, deliver)).rejects.toMatchObject({ code: "CONFLICT" });
  expect(await once({ ...other, principal: "client:eve" }, deliver)).toEqual({ payload: { messageId: "2" } });
  expect(await once({ ...request, method: "poll" }, deliver)).toEqual({ payload: { messageId: "3" } });
  expect(left).toHaveLength(3);
});

test("what fails on its way fails the same for five minutes; what was refused before may be asked again", async () => {
  const { once, clock, deliver } = setUp();
  const refuse = async (): Promise<never> => {
    throw new RclawError("INVALID_REQUEST", "unsupported channel: x");
  };
  await expect(once(request, refuse)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  const fail = async (leaving: () => Promise<void>): Promise<never> => {
    await leaving();
    throw new Error("the platform is down");
  };
  const failed = { error: "Error: the platform is down" };
  expect(await once(request, fail)).toEqual(failed);
  clock.now += 299_999;
  expect(await once(request, deliver)).toEqual(failed);
  clock.now += 300_001;
  expect(await once(request, deliver)).toEqual({ payload: { messageId: "1" } });
});

test("a restart forgets no answer, and a message that a crash cut off is not sent twice", async () => {
  const { once, fresh, left, deliver } = setUp();
  await once(request, deliver);
  expect(await fresh()(request, deliver)).toEqual({ payload: { messageId: "1" } });
  const cut = { ...request, key: "cut" };
  await new Promise<void>((begun) => {
    void once(cut, async (leaving) => {
      await leaving();
      begun();
      return new Promise(() => undefined);
    });
  });
  expect(await fresh()(cut, deliver)).toEqual({
    error: expect.stringContaining("was stopped while this message was on its way") as string,
  });
  expect(left).toHaveLength(1);
});

test("nothing leaves when it cannot be written down that it does", async () => {
  const { context, left, deliver } = setUp();
  const full = new RclawError("UNAVAILABLE", "no space left on this disk");
  const storage = { ...context.storage, set: () => Promise.reject(full) };
  const once = createOnce({ storage, log: context.log, now: Date.now });
  await expect(once(request, deliver)).rejects.toBe(full);
  expect(left).toEqual([]);
});

test("a thousand keys are kept, of any length, within a plugin's storage", async () => {
  const { context, fresh, once, deliver } = setUp();
  for (let i = 0; i < 1_050; i++)
    await once({ ...request, key: `${i}${"k".repeat(1_000)}` }, async (leaving) => {
      await leaving();
      throw new Error("x".repeat(5_000));
    });
  const stored = await context.storage.get("recent");
  expect(stored).toHaveLength(1_000);
  expect(JSON.stringify(stored).length).toBeLessThan(600_000);
  expect(await fresh()({ ...request, key: `0${"k".repeat(1_000)}` }, deliver)).toHaveProperty("payload");
  expect(await fresh()({ ...request, key: `1049${"k".repeat(1_000)}` }, deliver)).toHaveProperty("error");
});
