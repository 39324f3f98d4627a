import type { LLMock } from "@copilotkit/aimock";
import { beforeAll, expect, test } from "vitest";
import { startModelPeer } from "../support/aimock.ts";
import { type Product, startProduct, type TempState, tempState } from "../support/product.ts";
import type { Client, Frame } from "../support/ws-client.ts";

let mock: LLMock;
const said = "Hello from the mock provider.";
let state: TempState;
let product: Product;

const start = (): Promise<Product> =>
  startProduct({
    stateDir: state.dir,
    config: {
      models: {
        providers: {
          openai: {
            baseUrl: `${mock.url}/v1`,
            apiKey: "sk-test-key-000000000000",
            models: [{ id: "m", cost: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0 } }],
          },
        },
      },
      agents: { defaults: { model: "openai/m", workspace: state.dir } },
    },
  });

beforeAll(async () => {
  ({ mock } = await startModelPeer());
  mock.onMessage("slow one", { content: said }, { chunkSize: 1, latency: 400 });
  mock.onMessage(/./, { content: said }, { chunkSize: 8, latency: 1 });
  state = await tempState();
  product = await start();
});

const ofSession =
  (event: string, key: string, test: (payload: Frame["payload"]) => boolean = () => true) =>
  (frame: Frame): boolean =>
    frame.event === event && frame.payload.sessionKey === key && test(frame.payload);
const final = (runId: string) => (frame: Frame) =>
  frame.event === "chat" && frame.payload.runId === runId && frame.payload.state === "final";
const ask = async (client: Client, method: string, params: object = {}): Promise<Frame["payload"]> => {
  const answer = await client.request(method, params);
  expect(answer.error).toBeUndefined();
  return answer.payload;
};

test("a session is created with its first message, followed live, and found again by label and id", async () => {
  const client = await product.connect();
  expect(await ask(client, "sessions.subscribe")).toEqual({ subscribed: true });
  const created = await ask(client, "sessions.create", {
    label: "Plan",
    message: "hello",
    idempotencyKey: "c-1",
  });
  expect(created).toMatchObject({
    ok: true,
    key: expect.stringMatching(/^agent:main:dashboard:[0-9a-f-]{36}$/),
    sessionId: expect.any(String),
    entry: { label: "Plan" },
    runStarted: true,
    status: "started",
    runId: expect.any(String),
    resolved: { modelProvider: "openai", model: "m" },
  });
  const { key, sessionId, runId } = created;
  expect(
    await ask(client, "sessions.create", { label: "Plan", message: "hello", idempotencyKey: "c-1" }),
  ).toEqual(created);
  await client.find(final(runId));
  const answered = await client.find(
    ofSession("session.message", key, ({ message }) => message.role === "assistant"),
  );
  expect(answered.payload).toMatchObject({
    sessionKey: key,
    agentId: "main",
    runId,
    messageSeq: 2,
    messageId: expect.stringMatching(/^[0-9a-f]{8}$/),
    message: { content: [{ type: "text", text: said }], __openclaw: { seq: 2 } },
    session: { key, label: "Plan", kind: "direct" },
    label: "Plan",
  });
  const asked = await client.find(
    ofSession("session.message", key, ({ message }) => message.role === "user"),
  );
  expect(asked.payload).toMatchObject({
    messageSeq: 1,
    message: { content: [{ type: "text", text: "hello" }] },
  });
  await client.find(
    ofSession("sessions.changed", key, ({ phase, status }) => phase === "end" && status === "done"),
  );

  expect(await ask(client, "sessions.resolve", { label: "Plan" })).toEqual({ ok: true, key });
  expect(await ask(client, "sessions.resolve", { sessionId })).toEqual({ ok: true, key });
  expect((await ask(client, "sessions.describe", { key, includeLastMessage: true })).session).toMatchObject({
    key,
    sessionId,
    lastMessagePreview: said,
  });
  expect(await ask(client, "sessions.describe", { key: "nobody" })).toEqual({ session: null });
  expect((await ask(client, "sessions.get", { key })).messages).toHaveLength(2);
  await client.close();
});

test("whoever follows one session hears of that one only, until they do not want to any more", async () => {
  const client = await product.connect();
  const other = await product.connect();
  const { key } = await ask(client, "sessions.create", { key: "followed" });
  expect(key).toBe("agent:main:followed");
  expect(await ask(client, "sessions.messages.subscribe", { key: "followed" })).toEqual({
    subscribed: true,
    key,
  });
  await ask(other, "sessions.subscribe");
  const sent = await ask(client, "sessions.send", { key: "followed", message: "hi" });
  expect(sent).toEqual({ runId: expect.any(String), status: "started" });
  await client.find(ofSession("session.message", key, ({ message }) => message.role === "assistant"));
  await ask(client, "sessions.patch", { key: "followed", label: "Followed" });
  await other.find(ofSession("sessions.changed", key, ({ reason }) => reason === "patch"));
  expect(client.frames.filter(({ event }) => event === "sessions.changed")).toEqual([]);

  expect(await ask(client, "sessions.messages.unsubscribe", { key: "followed" })).toEqual({
    subscribed: false,
    key,
  });
  const before = client.frames.filter(({ event }) => event === "session.message").length;
  await ask(client, "sessions.delete", { key: "followed" });
  const gone = await other.find(ofSession("sessions.changed", key, ({ reason }) => reason === "delete"));
  expect(gone.payload).toEqual({
    sessionKey: key,
    agentId: "main",
    reason: "delete",
    ts: expect.any(Number),
  });
  expect(client.frames.filter(({ event }) => event === "session.message")).toHaveLength(before);
  await Promise.all([client.close(), other.close()]);
});

test("a run is stopped by its session or by its id, and a message may take its place", async () => {
  const client = await product.connect();
  expect(await ask(client, "sessions.abort", { key: "main" })).toEqual({
    ok: true,
    abortedRunId: null,
    status: "no-active-run",
  });
  const params = { key: "main", message: "slow one" };
  const first = await ask(client, "sessions.send", params);
  expect(await ask(client, "sessions.abort", { runId: first.runId })).toEqual({
    ok: true,
    abortedRunId: first.runId,
    status: "aborted",
  });
  await ask(client, "sessions.send", params);
  const steered = await ask(client, "sessions.steer", {
    key: "main",
    message: "quick",
    idempotencyKey: "s-1",
  });
  expect(steered).toEqual({ runId: "s-1", status: "started", interruptedActiveRun: true });
  await client.find(final("s-1"));
  expect((await client.request("sessions.send", { key: "no-such", message: "x" })).error).toEqual({
    code: "INVALID_REQUEST",
    message: "session not found: no-such",
  });
  await client.close();
});

test("injected words are the assistant's own for everybody, and stay over a restart", async () => {
  const client = await product.connect();
  const { key } = await ask(client, "sessions.create", { key: "notes", message: "hello" });
  await client.find(ofSession("chat", key, ({ state: now }) => now === "final"));
  const { messageId } = await ask(client, "chat.inject", {
    sessionKey: key,
    message: "injected note",
    label: "note",
  });
  expect(messageId).toMatch(/^[0-9a-f]{8}$/);
  const event = await client.find(({ payload }) => payload?.runId === `inject-${messageId}`);
  expect(event.payload).toEqual({
    runId: `inject-${messageId}`,
    sessionKey: key,
    seq: 0,
    state: "final",
    message: {
      role: "assistant",
      content: [{ type: "text", text: "[note]\n\ninjected note" }],
      timestamp: expect.any(Number),
      stopReason: "stop",
      usage: {
        input: 0,
        output: 0,
        cacheRead: 0,
        cacheWrite: 0,
        totalTokens: 0,
        cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 },
      },
      api: "openai-responses",
      provider: "openclaw",
      model: "gateway-injected",
    },
  });
  expect((await client.request("chat.inject", { sessionKey: "nobody", message: "x" })).error).toEqual({
    code: "INVALID_REQUEST",
    message: "session not found",
  });
  expect((await client.request("chat.inject", { sessionKey: key })).error?.message).toBe(
    "invalid chat.inject params: must have required property 'message'",
  );
  const writer = await product.connect({ scopes: ["operator.write"] });
  expect((await writer.request("chat.inject", { sessionKey: key, message: "x" })).error?.message).toBe(
    "missing scope: operator.admin",
  );

  // The model is told of it with the next message.
  await ask(client, "chat.send", { sessionKey: key, message: "and?", idempotencyKey: "i-1" });
  await client.find(final("i-1"));
  expect(JSON.stringify(mock.getRequests().at(-1))).toContain("injected note");
  await Promise.all([client.close(), writer.close()]);
  await product.kill();
  product = await start();
  const again = await product.connect();
  const { messages } = await ask(again, "chat.history", { sessionKey: key });
  expect(messages.map((message: Frame["payload"]) => message.content[0].text)).toEqual([
    "hello",
    said,
    "[note]\n\ninjected note",
    "and?",
    said,
  ]);
  await again.close();
});

test("a compacted session goes on with its last lines, for the model as well, also after a crash", async () => {
  const client = await product.connect();
  const key = "agent:main:long";
  for (const n of [1, 2, 3]) {
    await ask(client, "chat.send", { sessionKey: key, message: `question ${n}`, idempotencyKey: `q-${n}` });
    await client.find(final(`q-${n}`));
  }
  expect(await ask(client, "sessions.compact", { key })).toEqual({
    ok: true,
    key,
    compacted: false,
    kept: 6,
  });
  const compacted = await ask(client, "sessions.compact", { key, maxLines: 2 });
  expect(compacted).toEqual({ ok: true, key, compacted: true, kept: 2, archived: expect.any(String) });
  expect(await ask(client, "sessions.compact", { key: "never-seen" })).toMatchObject({
    compacted: false,
    reason: "no sessionId",
  });
  await ask(client, "chat.send", { sessionKey: key, message: "question 4", idempotencyKey: "q-4" });
  await client.find(final("q-4"));
  const told = JSON.stringify(mock.getRequests().at(-1));
  expect(told).toContain("question 3");
  expect(told).not.toContain("question 2");
  await client.close();
  await product.kill();
  product = await start();
  const again = await product.connect();
  expect((await ask(again, "chat.history", { sessionKey: key })).messages).toHaveLength(4);
  expect((await ask(again, "sessions.usage", { key })).sessions[0].usage).toMatchObject({
    messageCounts: { total: 4, user: 2, assistant: 2 },
    missingCostEntries: 0,
  });
  await again.close();
});

test("settings of a session that is there are not changed by creating it again, without the right to", async () => {
  const admin = await product.connect();
  await ask(admin, "sessions.create", { key: "mine", label: "Mine" });
  const writer = await product.connect({ scopes: ["operator.write"] });
  expect((await ask(writer, "sessions.create", { key: "mine" })).entry).toMatchObject({ label: "Mine" });
  expect((await writer.request("sessions.create", { key: "mine", label: "Yours" })).error?.message).toBe(
    "missing scope: operator.admin",
  );
  expect((await writer.request("sessions.create", { worktree: true })).error?.message).toBe(
    "sessions.create worktree is not supported by this gateway",
  );
  const reader = await product.connect({ scopes: ["operator.read"] });
  expect((await reader.request("sessions.create", {})).error?.message).toBe("missing scope: operator.write");
  expect(await ask(reader, "sessions.subscribe", { limit: 1 })).toMatchObject({
    subscribed: true,
    list: { count: 1, hasMore: true },
  });
  await Promise.all([admin.close(), writer.close(), reader.close()]);
});
