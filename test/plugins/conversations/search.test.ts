import { afterAll, beforeAll, expect, test } from "vitest";
import { type Product, startProduct, type TempState, tempState } from "../../support/product.ts";
import type { Client } from "../../support/ws-client.ts";

let state: TempState;
let product: Product;
let client: Client;

async function say(sessionKey: string, message: string): Promise<void> {
  const idempotencyKey = `${sessionKey} ${message}`;
  await client.request("chat.send", { sessionKey, message, idempotencyKey });
  await client.request("agent.wait", { runId: idempotencyKey });
}

beforeAll(async () => {
  state = await tempState();
  product = await startProduct({ stateDir: state.dir });
  client = await product.connect({ scopes: ["operator.admin"], maxProtocol: 4 });
  await say("agent:main:harbour", "Where do the blue whales sleep?");
  await say("agent:main:garden", "The whales are blue, and sleep is short");
});
afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
});

const scope = { includeGlobal: true, includeUnknown: false, configuredAgentsOnly: true, agentId: "main" };
const search = (params: object) => client.request("sessions.search", params);

test("words are found in every order, and a phrase only where it stands", async () => {
  const words = await search({ query: "SLEEP whales", limit: 25, scope });
  expect(words.payload.results.map(({ sessionKey }: { sessionKey: string }) => sessionKey).sort()).toEqual([
    "agent:main:garden",
    "agent:main:harbour",
  ]);
  const { payload } = await search({ query: '"blue whales"', scope });
  expect(payload.results).toEqual([
    {
      sessionKey: "agent:main:harbour",
      sessionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      messageId: expect.stringMatching(/^[0-9a-f]{8}$/),
      role: "user",
      timestamp: expect.any(Number),
      // Without the moment that the model is told at the head of each message.
      snippet: "Where do the blue whales sleep?",
      score: 1,
    },
  ]);
  expect(payload.sessions).toMatchObject([{ key: "agent:main:harbour", kind: "direct" }]);
});

test("sessions can be named, and what is not there finds nothing", async () => {
  const named = await search({ query: "whales", sessionKeys: ["garden", "nowhere"], agentId: "main" });
  expect(named.payload.results).toMatchObject([{ sessionKey: "agent:main:garden", role: "user" }]);
  expect(named.payload).not.toHaveProperty("sessions");
  expect((await search({ query: "narwhal", scope })).payload).toEqual({ results: [], sessions: [] });
});

test("more than was asked for is said to be cut", async () => {
  const { payload } = await search({ query: "whales", limit: 1, scope });
  expect(payload.results).toHaveLength(1);
  expect(payload.truncated).toBe(true);
});

test("a search for nothing, and one of an agent without its sessions, is refused in the protocol's words", async () => {
  expect((await search({ query: "   ", scope })).error?.message).toBe("query must not be empty");
  expect((await search({ query: "x", agentId: "main" })).error?.message).toBe("agentId requires sessionKeys");
  expect((await search({ query: "x", scope: { everything: true } })).error).toMatchObject({
    code: "INVALID_REQUEST",
    message: expect.stringContaining("unexpected property 'everything'"),
  });
});

test("several sessions are changed at once, and one that changed meanwhile keeps nobody else from it", async () => {
  const { payload } = await client.request("sessions.patchMany", {
    targets: [
      { key: "agent:main:garden", expectedSessionId: "00000000-0000-0000-0000-000000000000" },
      { key: "agent:main:harbour" },
    ],
    patch: { pinned: true },
  });
  expect(payload.outcomes).toEqual([
    {
      ok: false,
      key: "agent:main:garden",
      error: {
        code: "INVALID_REQUEST",
        message: "Session agent:main:garden changed since it was read; refresh and retry.",
      },
    },
    { ok: true, key: "agent:main:harbour" },
  ]);
  const list = await client.request("sessions.list", { pinned: true });
  expect(list.payload.sessions).toMatchObject([{ key: "agent:main:harbour", pinned: true }]);
});

test("what was marked as unread is not read by who opened the session before", async () => {
  const key = "agent:main:garden";
  const row = async () => (await client.request("sessions.describe", { key })).payload.session;
  await client.request("sessions.patch", { key, unread: true });
  const { unread, markedUnreadAt } = await row();
  expect([unread, typeof markedUnreadAt]).toEqual([true, "number"]);
  await client.request("sessions.patch", { key, unread: false, expectedMarkedUnreadAt: null });
  expect((await row()).unread).toBe(true);
  await client.request("sessions.patch", { key, unread: false, expectedMarkedUnreadAt: markedUnreadAt });
  expect(await row()).not.toHaveProperty("unread");
  expect(await row()).not.toHaveProperty("markedUnreadAt");
});

test("a permission mode is refused in words, and only what is archived is deleted as such", async () => {
  const key = "agent:main:garden";
  expect(
    (await client.request("sessions.patch", { key, permissionMode: "read-only" })).error?.message,
  ).toMatch(/^permission modes are not available on this gateway/);
  expect((await client.request("sessions.patch", { key, permissionMode: null })).ok).toBe(true);
  expect((await client.request("sessions.delete", { key, archivedOnly: true })).error?.message).toBe(
    `Session ${key} is not archived. Archive it first, then delete it.`,
  );
  await client.request("sessions.patch", { key, archived: true });
  const { payload } = await client.request("sessions.delete", { key, archivedOnly: true });
  expect(payload).toMatchObject({ ok: true, deleted: true });
});
