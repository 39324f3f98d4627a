import { readFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { lastWords, startModelPeer } from "../support/aimock.ts";
import { freshForAll } from "../support/fresh.ts";
import { ask, startProduct, tempState, token } from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";

const hookToken = "hook-token-0123456789";
const hooks = {
  enabled: true,
  token: hookToken,
  allowRequestSessionKey: true,
  allowedSessionKeyPrefixes: ["hook:"],
  mappings: [
    { match: { path: "ci" }, messageTemplate: "the build is {{status}}", sessionKey: "hook:ci:{{id}}" },
  ],
};

const product = freshForAll({ model: "openai-completions", config: { hooks } });
let client: Client;
beforeAll(async () => {
  product.model.answer("", { content: "noted" });
  client = await product.connect();
});

async function post(where: string, body: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(`${product.http}/hooks${where}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${hookToken}`, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.text() };
}

const ended = (key: string) =>
  client.find(
    ({ event, payload }) => event === "chat" && payload.sessionKey === key && payload.state === "final",
  );

test("work of a hook runs in a session of its own, marked as a stranger's, and the main session hears of it", async () => {
  const { status, body } = await post("/agent", {
    message: "water the plants",
    name: "Garden",
    wakeMode: "next-heartbeat",
  });
  expect(status).toBe(202);
  const { ok, runId } = JSON.parse(body) as { ok: boolean; runId: string };
  expect(ok).toBe(true);
  const { payload } = await client.find(
    ({ event, payload: told }) => event === "chat" && told.runId === runId && told.state === "final",
  );
  expect(payload.sessionKey).toMatch(/^agent:main:hook:[0-9a-f-]{36}$/);
  const words = lastWords(product.model.requests().at(-1)!);
  expect(words).toMatch(
    /EXTERNAL_UNTRUSTED_CONTENT id="[0-9a-f]{16}">>>\nSource: Webhook \(Garden\)\n---\nwater the plants\n<<<END/,
  );

  // Told when the run is over, which the sender is not.
  await expect.poll(() => product.state.filesWith("Hook Garden, from outside")).toHaveLength(1);
  await ask(client, "chat.send", { sessionKey: "main", message: "what is new?", idempotencyKey: "k1" });
  await ended("agent:main:main");
  const asked = JSON.stringify(product.model.requests().at(-1)?.messages);
  expect(asked).toMatch(/System: \[[^\]]+\] Hook Garden, from outside .* noted /);
});

test("a wake-up that cannot wait is a run of the main session", async () => {
  const before = product.model.requests().length;
  const answer = await post("/wake", { text: "the door\nis open" });
  expect(answer).toEqual({ status: 200, body: '{"ok":true,"mode":"now"}' });
  await expect.poll(() => product.model.requests().length).toBeGreaterThan(before);
  expect(JSON.stringify(product.model.requests()[before]?.messages)).toContain("the door is open");
});

test("a mapping's session is the one that its template makes", async () => {
  expect((await post("/ci", { id: 7, status: "red" })).status).toBe(202);
  await ended("agent:main:hook:ci:7");
  expect(
    lastWords(
      product.model.requests().find(({ messages }) => JSON.stringify(messages).includes("the build is red"))!,
    ),
  ).toContain("the build is red");
});

test("SEC-055 the owner's prefixes hold for every spelling of a key", async () => {
  expect((await post("/agent", { message: "x", sessionKey: "ＨＯＯＫ:Mine", deliver: false })).status).toBe(
    202,
  );
  await ended("agent:main:hook:mine");
  for (const sessionKey of ["main", "ＭＡＩＮ", "agent:main:main", "agent:main:hook:x", "hook", " main"])
    expect(await post("/agent", { message: "x", sessionKey }), sessionKey).toEqual({
      status: 400,
      body: '{"ok":false,"error":"sessionKey must start with one of: hook:"}',
    });
});

test("the token is asked for before anything of the body is read", async () => {
  expect(await post("/agent", "{bad", { authorization: "Bearer no" })).toEqual({
    status: 401,
    body: "Unauthorized",
  });
  expect((await post("/agent", { message: "x".repeat(300_000) })).status).toBe(413);
  expect((await post("/agent", { message: "x".repeat(300_000) }, { authorization: "" })).status).toBe(401);
  // The gateway's own token is no sender's.
  expect((await post("/wake", { text: "x" }, { authorization: `Bearer ${token}` })).status).toBe(401);
});

test("twenty wrong tokens are enough, and the right one still passes", async () => {
  const wrong = () => post("/wake", { text: "x" }, { authorization: "Bearer no" });
  const answers = await Promise.all(Array.from({ length: 24 }, wrong));
  expect(answers.some(({ status, body }) => status === 429 && body === "Too Many Requests")).toBe(true);
  expect((await post("/wake", { text: "fine", mode: "next-heartbeat" })).status).toBe(200);
});

test("work that was acknowledged is done, though the gateway was killed", async () => {
  await using own = await tempState();
  await using slow = await startModelPeer();
  slow.answer("remember this", { content: "I do" });
  const { config, env } = slow.openai();
  const options = { stateDir: own.dir, config: { ...config, hooks }, env };
  const first = await startProduct(options);
  const answer = await fetch(`${first.http}/hooks/agent`, {
    method: "POST",
    headers: { "x-openclaw-token": hookToken },
    body: JSON.stringify({ message: "remember this", sessionKey: "hook:kept", deliver: false }),
  });
  expect(answer.status).toBe(202);
  await first.kill();
  await using second = await startProduct(options);
  const watching = await second.connect();
  await expect
    .poll(async () => {
      const { messages } = await ask(watching, "chat.history", { sessionKey: "agent:main:hook:kept" });
      return (messages as { role: string }[]).map(({ role }) => role);
    })
    .toEqual(["user", "assistant"]);
});

test.each([
  ["its token", { token }],
  ["the token of its file", { token: "another-secret-0123456789" }],
  ["its password", { token: "third-secret-0123456789" }],
])(
  "SEC-054 hooks that ask for %s are refused at the start, and the owner is told",
  async (_what, { token: same }) => {
    await using own = await tempState();
    const auth = { token: "another-secret-0123456789", password: "third-secret-0123456789" };
    const config = { gateway: { auth }, hooks: { ...hooks, token: same } };
    await using refusing = await startProduct({ stateDir: own.dir, config });
    const answer = await fetch(`${refusing.http}/hooks/wake`, {
      method: "POST",
      headers: { authorization: `Bearer ${same}` },
      body: '{"text":"x"}',
    });
    expect(answer.status).toBe(405);
    const { issues } = await ask(await refusing.connect(), "config.get");
    expect(issues[0]).toEqual({
      path: "hooks.token",
      message: "is the gateway's own secret; whoever sends a webhook must not be able to control the gateway",
    });
  },
);

test("SEC-054 nor can a running gateway be given such a token", async () => {
  const { hash } = await ask(client, "config.get");
  const text = await readFile(path.join(product.stateDir, "config.json"), "utf8");
  const { ok, error } = await client.request("config.set", {
    raw: text.replace(hookToken, token),
    baseHash: hash,
  });
  expect(ok).toBe(false);
  expect(JSON.stringify(error)).toContain("hooks.token");
  expect((await post("/wake", { text: "x", mode: "next-heartbeat" })).status).toBe(200);
});

test("hooks that are switched off are no endpoint", async () => {
  await ask(client, "config.edit", { values: [{ path: "hooks.enabled", value: false }] });
  expect(await post("/wake", { text: "x" })).toEqual({ status: 405, body: "Method Not Allowed" });
});
