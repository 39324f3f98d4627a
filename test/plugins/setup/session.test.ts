import { afterEach, expect, test, vi } from "vitest";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import setup from "../../../plugins/services/setup/index.ts";
import { createSession } from "../../../plugins/services/setup/session.ts";

afterEach(() => void vi.useRealTimers());

test("a flow that breaks ends the session with its reason", async () => {
  const session = createSession(() => Promise.reject(new Error("the disk is full")));
  expect(await session.next()).toEqual({ done: true, status: "error", error: "the disk is full" });
});

test("everybody who waits for the next step gets it", async () => {
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  const session = createSession(async (ask) => {
    await gate;
    await ask({ type: "note", title: "Here" });
  });
  const turns = [session.next(), session.next()];
  go();
  const [first, second] = await Promise.all(turns);
  expect(first?.step?.title).toBe("Here");
  expect(second).toEqual(first);
});

test("a cancelled flow gets no further answer", async () => {
  let rejected: unknown;
  const session = createSession(async (ask) => {
    await ask({ type: "confirm", message: "Sure?" }).catch((error: unknown) => (rejected = error));
    await ask({ type: "note", title: "Never shown" });
  });
  await session.next();
  session.cancel();
  expect(await session.next()).toEqual({ done: true, status: "cancelled", error: "cancelled" });
  expect(rejected).toMatchObject({ message: "cancelled" });
});

test("a wizard that nobody goes on with ends after ten minutes", async () => {
  vi.useFakeTimers();
  await using rclaw = createTestContext({
    id: "setup",
    methods: { "plugins.list": () => ({ plugins: [] }) },
  });
  await rclaw.activate(setup);
  const { sessionId } = (await rclaw.call("wizard.start")) as { sessionId: string };
  await vi.advanceTimersByTimeAsync(599_000);
  expect(await rclaw.call("wizard.status", { sessionId })).toEqual({ status: "running" });
  await vi.advanceTimersByTimeAsync(601_000);
  await expect(rclaw.call("wizard.status", { sessionId })).rejects.toMatchObject({
    message: "wizard not found",
  });
  await rclaw.call("wizard.start");
});

test("switching the plugin off ends what runs", async () => {
  const rclaw = createTestContext({ id: "setup", methods: { "plugins.list": () => ({ plugins: [] }) } });
  await rclaw.activate(setup);
  const { sessionId } = (await rclaw.call("wizard.start")) as { sessionId: string };
  await rclaw[Symbol.asyncDispose]();
  await expect(rclaw.call("wizard.status", { sessionId })).rejects.toThrow(/wizard|method/);
});

test("a key that a page asks for goes where the provider's plugin keeps it", async () => {
  const added: unknown[] = [];
  await using rclaw = createTestContext({
    id: "setup",
    methods: {
      "plugins.list": () => ({ plugins: [{ id: "maker", contributes: { providers: ["anthropic"] } }] }),
      "plugins.plan": () => ({
        questions: [{ key: "region" }, { key: "apiKey", secret: true }],
        manifest: {},
      }),
      "plugins.add": (params) => void added.push(params),
    },
  });
  await rclaw.activate(setup);
  const key = { provider: "Anthropic", agentId: "main", apiKey: " sk-test-0000 " };
  expect(await rclaw.call("models.authSetApiKey", key)).toEqual({
    provider: "anthropic",
    profileId: "anthropic:default",
  });
  expect(added).toEqual([{ id: "maker", values: { apiKey: "sk-test-0000" } }]);
  await expect(rclaw.call("models.authSetApiKey", { ...key, provider: "nobody" })).rejects.toMatchObject({
    message: 'there is no provider "nobody"',
  });
});
