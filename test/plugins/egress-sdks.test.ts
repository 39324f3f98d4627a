import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import Anthropic from "@anthropic-ai/sdk";
import { LLMock } from "@copilotkit/aimock";
import { build, type Plugin } from "esbuild";
import { Api, InputFile } from "grammy/web";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createEgress } from "../../plugins/services/egress/egress.ts";
import { silent } from "../../kernel/log.ts";
import { botUsername, startTelegramPeer } from "../support/crabline.ts";

const egress = createEgress({ log: silent });
const mock = new LLMock({ port: 0 });
let folder: string;
const fetchFor = (url: string): typeof fetch => egress.fetchFor([new URL(url).host], "sdk");

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-egress-"));
  mock.onMessage("hello", { content: "Hi there, this is a streamed answer." });
  await mock.start();
});
afterAll(async () => {
  egress.close();
  await mock.stop();
  await rm(folder, { recursive: true, force: true });
});

test("the openai package streams and answers through it", async () => {
  const client = new OpenAI({
    apiKey: "k",
    baseURL: `${mock.url}/v1`,
    fetch: fetchFor(mock.url),
    maxRetries: 0,
  });
  const messages = [{ role: "user" as const, content: "hello" }];
  let text = "";
  for await (const chunk of await client.chat.completions.create({
    model: "gpt-4o",
    messages,
    stream: true,
  })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  expect(text).toBe("Hi there, this is a streamed answer.");
  const whole = await client.chat.completions.create({ model: "gpt-4o", messages });
  expect(whole.choices[0]?.message.content).toBe(text);
  await expect(
    client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "nobody knows" }],
    }),
  ).rejects.toMatchObject({ status: 404 });
});

test("the openai package stops a stream half-way", async () => {
  const client = new OpenAI({
    apiKey: "k",
    baseURL: `${mock.url}/v1`,
    fetch: fetchFor(mock.url),
    maxRetries: 0,
  });
  const stream = await client.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: "hello" }],
    stream: true,
  });
  for await (const chunk of stream) {
    expect(chunk.id).toBeTruthy();
    break;
  }
  expect(stream.controller.signal.aborted).toBe(true);
});

test("the anthropic package streams and answers through it", async () => {
  const client = new Anthropic({ apiKey: "k", baseURL: mock.url, fetch: fetchFor(mock.url), maxRetries: 0 });
  const request = {
    model: "claude-opus-4-6",
    max_tokens: 100,
    messages: [{ role: "user" as const, content: "hello" }],
  };
  let text = "";
  for await (const event of await client.messages.create({ ...request, stream: true })) {
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") text += event.delta.text;
  }
  expect(text).toBe("Hi there, this is a streamed answer.");
  const whole = await client.messages.create(request);
  expect(whole.content[0]).toMatchObject({ type: "text", text });
});

test("grammY calls methods and uploads a file through it", async () => {
  await using peer = await startTelegramPeer();
  const api = new Api(peer.token, { apiRoot: peer.apiRoot, fetch: fetchFor(peer.apiRoot) });
  expect((await api.getMe()).username).toBe(botUsername);
  expect((await api.sendMessage(5, "hi")).text).toBe("hi");
  await api.sendDocument(5, new InputFile(new TextEncoder().encode("content"), "note.txt"));
  expect(JSON.stringify(await peer.calls("sendDocument"))).toContain("note.txt");
  await expect(api.sendMessage(5, "x".repeat(5_000))).rejects.toMatchObject({ error_code: 400 });
});

const sdkFromSource: Plugin = {
  name: "sdk-from-source",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^@rclaw\/plugin-sdk/ }, ({ path: target }) => ({
      path: path.resolve(
        target.replace("@rclaw/plugin-sdk", "plugin-sdk").replace(/sdk$/, "sdk/index") + ".ts",
      ),
    })),
};

test("a plain JSON exchange loads no undici", async () => {
  const outfile = path.join(folder, "egress.cjs");
  await build({
    entryPoints: ["plugins/services/egress/egress.ts"],
    plugins: [sdkFromSource],
    bundle: true,
    platform: "node",
    format: "cjs",
    outfile,
    logLevel: "silent",
  });
  const server = http.createServer((request, response) =>
    request.on("end", () => response.end('{"ok":true}')).resume(),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const script = `
    const { createEgress } = require(${JSON.stringify(outfile)});
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const fetch = createEgress({ log }).fetchFor(["127.0.0.1:${port}"], "p");
    fetch("http://127.0.0.1:${port}/", { method: "POST", body: "{}", headers: { a: "b" } })
      .then((response) => response.json())
      .then((answer) => console.log(JSON.stringify({ answer, undici: process.moduleLoadList.filter((name) => /undici/.test(name)) })));`;
  // It ends by itself: an idle connection must not hold the process.
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", script], { timeout: 10_000 });
  server.closeAllConnections();
  server.close();
  expect(JSON.parse(stdout)).toEqual({ answer: { ok: true }, undici: [] });
});
