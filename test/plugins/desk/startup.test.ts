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

test("a cursor of another gateway is answered with a fresh start, a short id with what is missing", async () => {
  const client = await open(["operator.read"]);
  const cursor = await client.request("chat.startup", { sessionKey: "main", cursor: "abc" });
  expect(cursor.payload).toEqual({ kind: "reset" });
  const short = await client.request("chat.startup", { shortId: "ab12", agentId: "main" });
  expect(short.error?.message).toContain("needs a sessionKey");
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
