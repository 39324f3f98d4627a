import { expect, test } from "vitest";
import { freshForAll } from "../../support/fresh.ts";

const product = freshForAll();

const open = (scopes: readonly string[]) => product.connect({ scopes });

test("a chat opens with its messages, its session, the models and the defaults in one answer", async () => {
  const client = await open(["operator.read", "operator.write"]);
  const params = { sessionKey: "main", message: "hello", idempotencyKey: "first" };
  expect((await client.request("chat.send", params)).payload.status).toBe("started");
  await client.find(({ event, payload }) => event === "chat" && payload.state === "final");

  const { ok, payload } = await client.request("chat.startup", {
    sessionKey: "agent:main:main",
    limit: 80,
    maxBytes: 262_144,
  });
  expect(ok).toBe(true);
  const roles = payload.messages.map(({ role }: { role: string }) => role);
  expect(roles).toEqual(["user", "assistant"]);
  expect(payload.metadata.models.length).toBeGreaterThan(0);
  expect(payload.metadata).toMatchObject({ swarmEnabled: false });
  expect(payload.pendingInputs).toEqual({ items: [] });
  await client.close();
});

test("a client of 2026.9 knows its own message again, and that it was taken", async () => {
  const client = await product.connect({ scopes: ["operator.read", "operator.write"], maxProtocol: 4 });
  const runId = "7f3c0b6e-55b1-4b0e-9f1d-2f4f0a8c1d11";
  const session = { sessionKey: "agent:main:receipts" };
  await client.request("chat.send", { ...session, message: "hello", deliver: false, idempotencyKey: runId });
  await client.find(({ event, payload }) => event === "chat" && payload.state === "final");
  // The run is over when it has been settled, which is after its last event.
  await client.request("agent.wait", { runId });

  const { payload } = await client.request("chat.history", { ...session, limit: 80, inputRunIds: [runId] });
  const [asked, answered] = payload.messages;
  expect(asked).toMatchObject({ role: "user", idempotencyKey: runId, __openclaw: { runId } });
  expect(asked.__openclaw.id).toMatch(/^[0-9a-f]{8}$/);
  expect(answered.__openclaw.id).not.toBe(asked.__openclaw.id);
  expect(answered).not.toHaveProperty("idempotencyKey");
  const consumed = { runId, consumedByEventId: asked.__openclaw.id };
  expect(payload.inputReceipts).toEqual([{ state: "consumed", ...consumed }]);
  expect(payload.inputConsumptions).toEqual([consumed]);
  expect(payload.sessionInfo).toMatchObject({ key: "agent:main:receipts", lastRunId: runId });

  const strange = await client.request("chat.history", { ...session, inputRunIds: ["nobody's"] });
  expect(strange.payload.inputReceipts).toEqual([]);
  const startup = await client.request("chat.startup", { ...session, inputRunIds: [runId] });
  expect(startup.payload.inputReceipts).toEqual(payload.inputReceipts);
  await client.close();
});

test("a client of protocol 3 sees messages as it always did", async () => {
  const client = await product.connect({ scopes: ["operator.read"], maxProtocol: 3 });
  const { payload } = await client.request("chat.history", { sessionKey: "main" });
  expect(Object.keys(payload).sort()).toEqual(["messages", "sessionId", "sessionKey", "thinkingLevel"]);
  expect(Object.keys(payload.messages[0]).sort()).toEqual(["content", "role", "timestamp"]);
  await client.close();
});

test("a cursor of another gateway is answered with a fresh start, a short id with what is missing", async () => {
  const client = await open(["operator.read"]);
  const cursor = await client.request("chat.startup", { sessionKey: "main", cursor: "abc" });
  expect(cursor.payload).toEqual({ kind: "reset" });
  const short = await client.request("chat.startup", { shortId: "ab12", agentId: "main" });
  expect(short.error?.message).toContain("needs a sessionKey");
  await client.close();
});

test("where nobody chose a model, an agent shows the one that answers", async () => {
  const client = await product.connect({ scopes: ["operator.read"], maxProtocol: 4 });
  const { payload } = await client.request("agents.list", {});
  expect(payload.agents).toMatchObject([{ id: "main", model: { primary: "offline/guide" } }]);
  await client.close();
});

test("what does not exist here is an empty list, and what would be a promise is refused", async () => {
  const client = await open(["operator.admin"]);
  const answer = async (method: string, params: object) => {
    const { ok, payload, error } = await client.request(method, params);
    return ok ? payload : error?.message;
  };
  expect(await answer("question.list", {})).toEqual({ questions: [] });
  expect(await answer("tasks.list", { status: ["queued"], limit: 10 })).toEqual({ tasks: [] });
  expect(await answer("progressCard.get", { sessionKey: "main" })).toEqual({ card: null });
  expect(await answer("sessions.branches.list", { sessionKey: "main" })).toEqual({ branches: [] });
  expect(await answer("openclaw.approval.list", {})).toEqual([]);
  expect(await answer("sessions.companion.state", { sessionKey: "main" })).toBe("Side chat is unavailable.");
  expect(await answer("sessions.observer.visibility", { visible: true })).toBe(
    "Session observer is unavailable.",
  );
  await client.close();
});
