import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, type Product, startProduct, type TempState, tempState, token } from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";
import mailbox from "./examples/mailbox/index.ts";
import noPush from "./examples/no-push/index.ts";
import textServer from "./examples/text-server/index.ts";
import { installToolCaller } from "./tool-caller.ts";

const root = path.resolve(import.meta.dirname, "../..");
const examples = path.join(import.meta.dirname, "examples");
const ids = ["exchange", "no-push", "mailbox", "text-server"];

/** Code blocks of a Markdown file without their fences. */
function blocks(markdown: string, languages: readonly string[]): string[] {
  return [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, language = ""]) => languages.includes(language))
    .map(([, , text = ""]) => text);
}

test("every code block of the SDK's README is a file that these tests run, and every file is shown", async () => {
  const names = await readdir(examples, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
  const shown = blocks(await readFile(path.join(root, "plugin-sdk/README.md"), "utf8"), ["ts", "json5"]);
  expect(shown.toSorted()).toEqual(texts.toSorted());
});

describe("in memory", () => {
  test("the hook refuses to publish and lets everything else pass", async () => {
    await using rclaw = createTestContext({ id: "no-push" });
    await rclaw.activate(noPush);
    const ask = (command: string) =>
      rclaw.context.hooks.run(
        "before_tool_call",
        { toolName: "exec", params: { command } },
        { toolName: "exec" },
      );
    expect(await ask("cd work && git  push origin")).toMatchObject({ block: true });
    expect(await ask("git status")).toEqual({});
  });

  test("the channel answers bad letters, and says when it is not started", async () => {
    await using rclaw = createTestContext({ id: "mailbox", config: { url: "https://letters.example" } });
    await rclaw.activate(mailbox);
    const route = rclaw.contributions.routes.get("POST /mailbox");
    const post = async (body: string) =>
      route?.handle(
        { method: "POST", path: "/mailbox", query: {}, headers: {}, body: new TextEncoder().encode(body) },
        rclaw.context.signal,
      );
    expect(await post("{")).toMatchObject({ status: 400 });
    expect(await post("null")).toMatchObject({ status: 400 });
    expect(await post('{"id":"1","from":"ada","text":"hi"}')).toMatchObject({ status: 503 });
  });

  test("the provider is not ready without its key", async () => {
    await using rclaw = createTestContext({ id: "text-server", config: { baseUrl: "https://text.example" } });
    await rclaw.activate(textServer);
    const provider = rclaw.contributions.providers.get("text-server");
    expect(await provider?.ready(rclaw.context.signal)).toMatchObject({ ok: false });
  });
});

interface Seen {
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

describe("installed in the product, compiled as the README says", () => {
  const seen: Seen[] = [];
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      const url = request.url ?? "";
      seen.push({ url, authorization: request.headers.authorization, body });
      if (url.startsWith("/latest")) response.end('{"rates":{"USD":1.25}}');
      else if (url === "/generate") response.end("Good morning, Ada.");
      else response.end();
    });
  });
  let state: TempState;
  let product: Product;
  let client: Client;

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    state = await tempState();
    for (const id of ids) {
      const folder = path.join(state.dir, "plugins", id);
      await mkdir(folder, { recursive: true });
      await copyFile(path.join(examples, id, "rclaw.plugin.json5"), path.join(folder, "rclaw.plugin.json5"));
      await build({
        entryPoints: [path.join(examples, id, "index.ts")],
        outfile: path.join(folder, "index.js"),
        bundle: true,
        platform: "node",
        format: "esm",
        alias: { "@rclaw/plugin-sdk": path.join(root, "plugin-sdk/index.ts") },
        logLevel: "silent",
      });
    }
    await installToolCaller(state.dir);
    product = await startProduct({
      stateDir: state.dir,
      config: {
        plugins: {
          allow: [...ids, "tool-caller"],
          entries: {
            ...Object.fromEntries([...ids, "tool-caller"].map((id) => [id, { runtime: "in-process" }])),
            exchange: { runtime: "in-process", config: { baseUrl: base } },
          },
        },
        tools: { exec: { sandbox: "off" } },
        models: { providers: { "text-server": { baseUrl: base, apiKey: "key-0123456789" } } },
        channels: { mailbox: { url: `${base}/letters`, allowFrom: ["ada"] } },
        agents: { defaults: { model: "text-server/small" } },
      },
    });
    client = await product.connect();
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
  });

  const call = (tool: string, params: object) => ask(client, "tool-caller.call", { tool, params });

  test("the tool answers after every gate of the policy has let it pass", async () => {
    const result = await call("exchange_rate", { from: "EUR", to: "USD" });
    expect(result).toMatchObject({ content: "1 EUR = 1.25 USD", details: { value: 1.25 } });
    expect(result.details.policy).toContainEqual({ gate: "before_tool_call", outcome: "pass" });
    await expect(call("exchange_rate", { from: "euro", to: "USD" })).rejects.toThrow(
      /invalid exchange_rate params/,
    );
  });

  test("the hook stops exec before it runs, with its own reason", async () => {
    await expect(call("exec", { command: "git push" })).rejects.toThrow(/Publishing commits is for people/);
    expect((await call("exec", { command: "echo fine" })).content).toContain("fine");
  });

  test("a letter goes in through the channel and the provider's answer comes out", async () => {
    const post = (headers: Record<string, string>) =>
      fetch(`${product.http}/mailbox`, {
        method: "POST",
        headers,
        body: JSON.stringify({ id: "letter-1", from: "ada", text: "Good morning!" }),
      });
    expect((await post({})).status).toBe(401);
    const accepted = await post({
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
    });
    expect(accepted.status).toBe(202);
    const letters = () =>
      seen.filter(({ url }) => url === "/letters").map(({ body }) => JSON.parse(body) as unknown);
    await expect
      .poll(letters, { timeout: 20_000 })
      .toEqual([{ id: expect.any(String), to: "ada", text: "Good morning, Ada." }]);
    const asked = seen.find(({ url }) => url === "/generate");
    expect(asked?.authorization).toBe("Bearer key-0123456789");
    expect(asked?.body).toContain("Good morning!");
  });
});
