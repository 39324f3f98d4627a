import path from "node:path";
import * as release3 from "openclaw-node-v3";
import * as release4 from "openclaw-node-v4";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { lastWords } from "../support/aimock.ts";
import { freshForAll } from "../support/fresh.ts";
import { token } from "../support/product.ts";

/** The later release has all that is used here as well, with wider types. */
type Client = release3.OpenClawClient;

// They count on the WebSocket that Node has had since version 22.
Object.assign(globalThis, { WebSocket });

const slowText = "one two three four five six seven eight nine ten eleven twelve thirteen";
const open = new Set<Client>();

const product = freshForAll({ model: "anthropic" });
beforeAll(() => {
  product.model.answer("tell me slowly", { content: slowText }, undefined, { latency: 60, chunkSize: 8 });
  product.model.answer("never mind", { content: "word ".repeat(400) }, undefined, {
    latency: 25,
    chunkSize: 5,
  });
  product.model.answer(
    "what time is it",
    { toolCalls: [{ name: "clock", arguments: {} }] },
    { content: "Late." },
  );
  product.model.answer("break", { error: { message: "this key is not valid", type: "x" }, status: 401 });
  product.model.mock.on({ userMessage: /.*/ }, (request) => ({ content: `You said: ${lastWords(request)}` }));
});
afterAll(async () => {
  for (const client of open) await client.disconnect();
});

describe.each([
  ["openclaw-node 0.1.0", release3.OpenClawClient, 3],
  ["openclaw-node 0.14.0", release4.OpenClawClient, 4],
] as const)("%s", (_name, OpenClawClient, protocol) => {
  const alias = `v${protocol}`;
  const admin = ["operator.read", "operator.write", "operator.admin"];
  const key = (name: string): string => `agent:main:${alias}-${name}`;

  function create(options: { token?: string; scopes?: string[]; device?: string } = {}): Client {
    const made = new OpenClawClient({
      url: product.url,
      token: options.token ?? token,
      deviceIdentityPath: path.join(product.stateDir, `${alias}-${options.device ?? "device"}.json`),
      autoReconnect: false,
      ...(options.scopes && { scopes: options.scopes }),
    });
    const client = made as unknown as Client;
    // Without a listener Node would take an error of the socket for a crash.
    client.on("error", () => undefined);
    open.add(client);
    return client;
  }

  test("shakes hands, is healthy, and comes back with the same device", async () => {
    const client = create();
    const hello = await client.connect();
    expect(hello).toMatchObject({ type: "hello-ok", protocol });
    expect(hello.auth?.scopes).toEqual(["operator.read", "operator.write"]);
    expect(hello.features?.methods).toEqual(expect.arrayContaining(["agent", "chat.send", "health"]));
    expect(await client.health()).toMatchObject({ ok: true });
    await client.disconnect();
    const again = create();
    expect((await again.connect()).auth?.deviceToken).toBe(hello.auth?.deviceToken);
    expect(again.isConnected).toBe(true);
  });

  test("streams an answer in pieces that make up the whole, and so does the transcript", async () => {
    const client = create();
    await client.connect();
    const pieces: string[] = [];
    const kinds = new Set<string>();
    for await (const chunk of client.chat("tell me slowly", { sessionKey: key("stream") })) {
      kinds.add(chunk.type);
      if (chunk.type === "text") pieces.push(chunk.text);
    }
    expect(pieces.join("")).toBe(slowText);
    expect(pieces.length).toBeGreaterThan(2);
    expect(kinds).toContain("done");
    expect(kinds).not.toContain("error");
    const { messages } = (await client.sessions.history(key("stream"))) as {
      messages: { content: { text: string }[] }[];
    };
    expect(messages.map(({ content }) => content[0]?.text)).toEqual([
      expect.stringContaining("tell me slowly"),
      slowText,
    ]);
  });

  test("hears what comes after a tool, and several chats at once stay apart", async () => {
    const client = create();
    await client.connect();
    const answers = await Promise.all([
      client.chatSync("what time is it", { sessionKey: key("tool") }),
      ...["one", "two", "three"].map((text) => client.chatSync(text, { sessionKey: key(text) })),
    ]);
    expect(answers).toEqual(["Late.", "You said: one", "You said: two", "You said: three"]);
  });

  test("lists, resets and deletes sessions, when it may", async () => {
    const client = create();
    await client.connect();
    await client.chatSync("remember this", { sessionKey: key("kept") });
    const { sessions } = (await client.sessions.list({ limit: 50 })) as { sessions: { key: string }[] };
    expect(sessions.map((session) => session.key)).toContain(key("kept"));
    await expect(client.sessions.delete(key("kept"))).rejects.toThrow("missing scope: operator.admin");
    const owner = create({ scopes: admin, device: "owner" });
    await owner.connect();
    expect(await owner.sessions.reset(key("kept"))).toMatchObject({ ok: true, key: key("kept") });
    expect(await owner.sessions.history(key("kept"))).toMatchObject({ messages: [] });
    expect(await owner.sessions.delete(key("kept"))).toMatchObject({ ok: true, deleted: true });
  });

  test("an abort ends the stream on both sides", async () => {
    const client = create();
    await client.connect();
    const session = key("abort");
    const chunks = client.chat("never mind", { sessionKey: session });
    let chunk = await chunks.next();
    while (!chunk.done && chunk.value.type !== "text") chunk = await chunks.next();
    const aborted = (await client.chatAbort(session)) as { runIds: string[] };
    expect(aborted).toMatchObject({ ok: true, aborted: true });
    expect(aborted.runIds).toHaveLength(1);
    expect((await client.request("agent.wait", { runId: aborted.runIds[0] })).payload).toMatchObject({
      status: "error",
    });
    expect(await client.chatAbort(session)).toEqual({ ok: true, aborted: false, runIds: [] });
    expect(await client.sessions.history("agent:main:nowhere")).toMatchObject({ messages: [] });
  });

  test("a failing model, a malformed session and an unknown agent are errors that it shows", async () => {
    const client = create();
    await client.connect();
    const errors = async (message: string, options: object): Promise<string[]> => {
      const texts: string[] = [];
      for await (const chunk of client.chat(message, options))
        if (chunk.type === "error") texts.push(chunk.text);
      return texts;
    };
    expect(await errors("break", { sessionKey: key("break") })).toEqual([
      expect.stringContaining("anthropic"),
    ]);
    expect(await errors("x", { sessionKey: "agent:" })).toEqual([
      'invalid agent params: malformed session key "agent:"',
    ]);
    expect(await errors("x", { agentId: "nobody" })).toEqual([
      'invalid agent params: unknown agent id "nobody"',
    ]);
    await expect(client.request("no.such.method")).rejects.toThrow("missing scope: operator.admin");
  });

  test("a wrong token is refused, and says so before the socket closes", async () => {
    const client = create({ token: "wrong", device: "stranger" });
    const answers: { ok?: boolean; error?: { code: string; message: string } }[] = [];
    client.on("protocol:response", (answer: (typeof answers)[number]) => void answers.push(answer));
    const closed = new Promise((resolve) => client.once("disconnected", resolve));
    void client.connect().catch(() => undefined);
    await closed;
    expect(client.isConnected).toBe(false);
    expect(answers).toMatchObject([{ ok: false, error: { code: "INVALID_REQUEST" } }]);
    expect(answers[0]?.error?.message).toMatch(/^unauthorized: gateway token mismatch/);
  });

  test("a key that is used again, from a new connection, gets the first run's answer", async () => {
    const client = create();
    await client.connect();
    const call = { message: "tell me slowly", sessionKey: key("again"), idempotencyKey: `${alias}-again` };
    expect((await client.request("agent", call)).payload).toMatchObject({ status: "accepted" });
    await client.disconnect();
    const next = create();
    await next.connect();
    const answers: { payload: { status: string; result?: { payloads: unknown } } }[] = [];
    next.on("_raw", (frame: { type: string; payload: { runId?: string; status: string } }) => {
      if (frame.type === "res" && frame.payload?.runId === call.idempotencyKey && "summary" in frame.payload)
        answers.push(frame);
    });
    expect((await next.request("agent", call)).ok).toBe(true);
    await expect.poll(() => answers, { timeout: 10_000 }).toHaveLength(1);
    expect(answers[0]?.payload.result?.payloads).toEqual([{ text: slowText, mediaUrl: null }]);
    expect(((await next.sessions.history(key("again"))) as { messages: unknown[] }).messages).toHaveLength(2);
  });
});
