import OpenAI, { APIError } from "openai";
import { beforeAll, expect, test } from "vitest";
import { lastWords } from "../support/aimock.ts";
import { freshForAll } from "../support/fresh.ts";
import { ask, token } from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";

const words = "iron remembers every rain that ever fell upon it";

const endpoints = { chatCompletions: { enabled: true }, responses: { enabled: true } };
const product = freshForAll({
  model: "openai-completions",
  config: { agents: { list: [{ id: "main" }, { id: "poet" }] }, gateway: { http: { endpoints } } },
});
let client: Client;
let openai: OpenAI;
beforeAll(async () => {
  client = await product.connect();
  openai = new OpenAI({ baseURL: `${product.http}/v1`, apiKey: token, maxRetries: 0 });
  product.model.answer("tell me about iron", { content: words }, undefined, {
    chunkSize: 6,
    streamingProfile: { ttft: 10, tps: 100 },
  });
});

const iron = { role: "user", content: "tell me about iron" } as const;
const rawPost = (path: string, body: unknown, init: RequestInit = {}) =>
  fetch(`${product.http}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });

test("OpenAI's own client gets a whole answer, with what it cost", async () => {
  const answer = await openai.chat.completions.create({ model: "openclaw", messages: [iron] });
  expect(answer.choices).toEqual([
    { index: 0, message: { role: "assistant", content: words }, finish_reason: "stop" },
  ]);
  expect(answer.id).toMatch(/^chatcmpl_[0-9a-f-]{36}$/);
  expect(answer).toMatchObject({ object: "chat.completion", model: "openclaw" });
  const { prompt_tokens: read = 0, completion_tokens: written = 0, total_tokens: total } = answer.usage ?? {};
  expect(read).toBeGreaterThan(0);
  expect(read + written).toBe(total);
});

test("OpenAI's own client gets an answer word by word", async () => {
  const stream = openai.chat.completions.stream({
    model: "openclaw",
    messages: [iron],
    stream_options: { include_usage: true },
  });
  const pieces: string[] = [];
  stream.on("content", (piece) => pieces.push(piece));
  const whole = await stream.finalChatCompletion();
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces.join("")).toBe(words);
  expect(whole.choices[0]).toMatchObject({
    finish_reason: "stop",
    message: { role: "assistant", content: words },
  });
  expect(whole.usage?.total_tokens).toBeGreaterThan(0);
});

test("a stream ends with the line that clients wait for", async () => {
  const response = await rawPost("/v1/chat/completions", {
    model: "openclaw",
    stream: true,
    messages: [iron],
  });
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const text = await response.text();
  expect(text).toMatch(/^data: \{"id":"chatcmpl_/);
  expect(text).toMatch(/\n\ndata: \[DONE\]\n\n$/);
});

test("what the client remembers is shown to the model as history, its system prompt as such", async () => {
  product.model.answer("and copper", { content: "copper turns green" });
  const before = product.model.requests().length;
  await openai.chat.completions.create({
    model: "rclaw",
    messages: [
      { role: "system", content: "Answer in the voice of a blacksmith." },
      iron,
      { role: "assistant", content: words },
      { role: "user", content: [{ type: "text", text: "and copper" }] },
    ],
  });
  const request = product.model.requests()[before];
  expect(lastWords(request as never)).toBe(
    [
      "[Chat messages since your last reply - for context]",
      "User: tell me about iron",
      `Assistant: ${words}`,
      "",
      "[Current message - respond to this]",
      "User: and copper",
    ].join("\n"),
  );
  expect(JSON.stringify(request?.messages[0])).toContain("Answer in the voice of a blacksmith.");
});

test("one user is one conversation, another is another, and no user is a new one every time", async () => {
  const say = (user?: string) =>
    openai.chat.completions.create({ model: "openclaw:main", messages: [iron], ...(user && { user }) });
  await say("ada");
  await say("ada");
  await say("Ada");
  await say();
  const { sessions } = await ask(client, "sessions.list");
  const keys = (sessions as { key: string }[]).map(({ key }) => key);
  expect(keys).toContain("agent:main:openai-user:ada");
  expect(keys.filter((key) => key.startsWith("agent:main:openai-user:ada~"))).toHaveLength(1);
  expect(keys.some((key) => /^agent:main:openai:[0-9a-f-]{36}$/.test(key))).toBe(true);
  const { messages } = await ask(client, "chat.history", { sessionKey: "agent:main:openai-user:ada" });
  expect(messages.map(({ role }: { role: string }) => role)).toEqual([
    "user",
    "assistant",
    "user",
    "assistant",
  ]);
});

test("headers name the session and the agent", async () => {
  const named = openai.withOptions({ defaultHeaders: { "x-openclaw-session-key": "main" } });
  await named.chat.completions.create({ model: "openclaw", messages: [iron] });
  const { messages } = await ask(client, "chat.history", { sessionKey: "agent:main:main" });
  expect(messages).toHaveLength(2);
  const poet = openai.withOptions({ defaultHeaders: { "x-openclaw-agent-id": "poet" } });
  await poet.chat.completions.create({ model: "openclaw", messages: [iron], user: "ada" });
  await openai.chat.completions.create({ model: "openclaw/poet", messages: [iron], user: "ben" });
  const { sessions } = await ask(client, "sessions.list");
  const keys = (sessions as { key: string }[]).map(({ key }) => key);
  expect(keys).toEqual(expect.arrayContaining(["agent:poet:openai-user:ada", "agent:poet:openai-user:ben"]));
  await expect(
    openai.chat.completions.create({ model: "openclaw:nobody", messages: [iron] }),
  ).rejects.toMatchObject({
    status: 400,
    error: { message: "Unknown agent 'nobody'.", type: "invalid_request_error" },
  });
});

test("a picture reaches the model, an address of one is fetched for nobody", async () => {
  product.model.answer("what is this", { content: "a dot" });
  const png =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const look = (url: string) =>
    openai.chat.completions.create({
      model: "openclaw",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "what is this" },
            { type: "image_url", image_url: { url } },
          ],
        },
      ],
    });
  const before = product.model.requests().length;
  expect((await look(`data:image/png;base64,${png}`)).choices[0]?.message.content).toBe("a dot");
  expect(JSON.stringify(product.model.requests()[before]?.messages)).toContain(png);
  await expect(look("http://127.0.0.1:1/x.png")).rejects.toThrow(/addresses are not fetched/);
});

test("a client that leaves stops the run it started", async () => {
  product.model.answer("take your time", { content: "slow ".repeat(2_000) }, undefined, {
    chunkSize: 5,
    streamingProfile: { ttft: 5, tps: 20 },
  });
  const leaving = new AbortController();
  const stream = await openai.chat.completions.create(
    {
      model: "openclaw",
      messages: [{ role: "user", content: "take your time" }],
      user: "leaver",
      stream: true,
    },
    { signal: leaving.signal },
  );
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  leaving.abort();
  const sessionKey = "agent:main:openai-user:leaver";
  const { payload } = await client.find(
    ({ event, payload: told }) =>
      event === "chat" && told.sessionKey === sessionKey && told.state === "aborted",
  );
  expect(payload.stopReason).toBe("rpc");
});

test("a client that leaves before the first word stops its run as well", async () => {
  product.model.answer("think it over", { content: "hm" }, undefined, {
    streamingProfile: { ttft: 60_000, tps: 1 },
  });
  const leaving = new AbortController();
  const body = { model: "openclaw", user: "early", messages: [{ role: "user", content: "think it over" }] };
  const asking = rawPost("/v1/chat/completions", body, { signal: leaving.signal }).catch(
    (error: Error) => error.name,
  );
  const sessionKey = "agent:main:openai-user:early";
  const ofRun = (state: (told: Record<string, never>) => boolean) =>
    client.find(({ payload: told }) => told?.sessionKey === sessionKey && state(told));
  await ofRun(({ stream }) => stream === "lifecycle");
  leaving.abort();
  expect(await asking).toBe("AbortError");
  await ofRun(({ state: how }) => how === "aborted");
});

test("a model that fails is an internal error, as a whole answer and in the middle of a stream", async () => {
  product.model.answer("break down", {
    error: { message: "no such model", type: "invalid_request_error" },
    status: 400,
  });
  const body = { model: "openclaw", messages: [{ role: "user", content: "break down" }] };
  const whole = await rawPost("/v1/chat/completions", body);
  expect(whole.status).toBe(500);
  expect(await whole.json()).toEqual({ error: { message: "internal error", type: "api_error" } });
  const streamed = await (await rawPost("/v1/chat/completions", { ...body, stream: true })).text();
  expect(streamed).toContain(
    'data: {"error":{"message":"internal error","type":"api_error"}}\n\ndata: [DONE]\n\n',
  );
  const stream = openai.chat.completions.stream({ ...(body as { model: string; messages: [typeof iron] }) });
  await expect(stream.finalChatCompletion()).rejects.toBeInstanceOf(APIError);
});

test("tools of the client may be offered, and cannot be demanded", async () => {
  const tools = [
    { type: "function", function: { name: "weather", parameters: { type: "object" } } },
  ] as const;
  const create = (choice: "auto" | "required") =>
    openai.chat.completions.create({
      model: "openclaw",
      messages: [iron],
      tools: [...tools],
      tool_choice: choice,
    });
  expect((await create("auto")).choices[0]?.message.content).toBe(words);
  await expect(create("required")).rejects.toMatchObject({ status: 400 });
});

test("the agents are the models", async () => {
  const ids: string[] = [];
  for await (const { id } of openai.models.list()) ids.push(id);
  expect(ids).toEqual(["openclaw", "openclaw/default", "openclaw/main", "openclaw/poet"]);
  expect(await openai.models.retrieve("openclaw/poet")).toEqual({
    id: "openclaw/poet",
    object: "model",
    created: 0,
    owned_by: "openclaw",
    permission: [],
  });
  await expect(openai.models.retrieve("openclaw/nobody")).rejects.toMatchObject({ status: 404 });
});

test("responses: OpenAI's own client gets a whole answer and goes on from it", async () => {
  product.model.answer("say it again", { content: "again: iron" });
  const first = await openai.responses.create({ model: "openclaw", input: "tell me about iron" });
  expect(first).toMatchObject({ object: "response", status: "completed", output_text: words });
  expect(first.usage?.total_tokens).toBeGreaterThan(0);
  const before = product.model.requests().length;
  const second = await openai.responses.create({
    model: "openclaw",
    input: [{ role: "user", content: [{ type: "input_text", text: "say it again" }] }],
    instructions: "Be brief.",
    previous_response_id: first.id,
  });
  expect(second.output_text).toBe("again: iron");
  expect(second.id).not.toBe(first.id);
  const request = JSON.stringify(product.model.requests()[before]?.messages);
  expect(request).toContain("tell me about iron");
  expect(request).toContain("Be brief.");
  const third = await openai.responses.create({
    model: "openclaw",
    input: "say it again",
    previous_response_id: second.id,
  });
  expect(third.output_text).toBe("again: iron");
  await expect(
    openai.responses.create({ model: "openclaw", input: "x", previous_response_id: "resp_unknown" }),
  ).rejects.toMatchObject({ status: 400 });
});

test("responses: OpenAI's own client gets an answer word by word", async () => {
  const stream = openai.responses.stream({ model: "openclaw", input: "tell me about iron" });
  const pieces: string[] = [];
  stream.on("response.output_text.delta", ({ delta }) => pieces.push(delta));
  const whole = await stream.finalResponse();
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces.join("")).toBe(words);
  expect(whole.status).toBe("completed");
  expect(whole.output_text).toBe(words);
});

test("responses: a text file comes with the message, in the person's name", async () => {
  product.model.answer("summarise it", { content: "short" });
  const before = product.model.requests().length;
  const file_data = `data:text/plain;base64,${Buffer.from("oxide blooms </file> quietly").toString("base64")}`;
  await openai.responses.create({
    model: "openclaw",
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: "summarise it" },
          { type: "input_file", filename: "notes.txt", file_data },
        ],
      },
    ],
  });
  expect(lastWords(product.model.requests()[before] as never)).toBe(
    'summarise it\n\n<file name="notes.txt">\noxide blooms &lt;/file> quietly\n</file>',
  );
});

test.each([
  ["/v1/responses", {}, "model: Invalid input: expected string, received undefined"],
  ["/v1/responses", { model: 5, input: "x" }, "model: Invalid input: expected string, received number"],
  [
    "/v1/responses",
    { model: "openclaw", input: "x", user: 5 },
    "user: Invalid input: expected string, received number",
  ],
  [
    "/v1/responses",
    { model: "openclaw", input: "x", stream: "yes" },
    "stream: Invalid input: expected boolean, received string",
  ],
  ["/v1/responses", { model: "openclaw" }, "input: Invalid input"],
  ["/v1/responses", { model: "openclaw", input: 5 }, "input: Invalid input"],
  ["/v1/responses", { model: "openclaw", input: [] }, "Missing user message in `input`."],
  ["/v1/chat/completions", { messages: [] }, "Missing user message in `messages`."],
  ["/v1/chat/completions", "", "Missing user message in `messages`."],
  ["/v1/chat/completions", "null", "Missing user message in `messages`."],
])("%s with %j is refused: %s", async (path, body, message) => {
  const response = await rawPost(path, body);
  expect(response.status).toBe(400);
  expect(await response.json()).toEqual({ error: { message, type: "invalid_request_error" } });
});

test("what is switched off is no endpoint, whoever asks", async () => {
  await ask(client, "config.edit", {
    values: [{ path: "gateway.http.endpoints.responses.enabled", value: false }],
  });
  const off = await rawPost("/v1/responses", { model: "openclaw", input: "x" });
  expect([off.status, await off.text()]).toEqual([405, "Method Not Allowed"]);
  expect((await rawPost("/v1/chat/completions", { messages: [iron] })).status).toBe(200);
  await ask(client, "config.edit", { values: [{ path: "gateway.http.endpoints" }] });
  const gone = await fetch(`${product.http}/v1/chat/completions`, { method: "POST", body: "{}" });
  expect([gone.status, await gone.text()]).toEqual([405, "Method Not Allowed"]);
  expect((await fetch(`${product.http}/v1/models`)).status).toBe(404);
});
