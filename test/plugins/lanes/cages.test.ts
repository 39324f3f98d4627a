import { once } from "node:events";
import { createHmac } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Manifest } from "@rclaw/plugin-sdk";
import { createTestContext, type TestContext } from "@rclaw/plugin-sdk/testing";
import { loadModule } from "../../../kernel/runtime/in-process.ts";
import type { Plugin } from "@rclaw/plugin-sdk";
import { type Built, buildForAll } from "./three.ts";
import { closers, live, openLanes, place } from "./setup.ts";

let built: Built;
let server: http.Server;
let base: string;
const tools = ["greet", "stream", "both", "remember", "authorized", "signed", "chat", "files", "progress"];
const bad = ["known", "bug", "wait", "nonsense", "denied"];
const manifest = {
  id: "everything",
  contributes: { tools: [...tools, ...bad], hooks: ["before_tool_call"] },
  permissions: { secrets: ["demo.key"] },
} as Partial<Manifest> & Pick<Manifest, "id" | "contributes">;

beforeAll(async () => {
  built = await buildForAll("everything.ts");
  server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/stream") {
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
      response.write("grüße ");
      setImmediate(() => response.end("aus der ferne"));
    } else if (pathname === "/echo") {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => response.end(JSON.stringify({ body: Buffer.concat(pieces).toString() })));
    } else response.end(String(request.headers.authorization));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  await built?.remove();
  server?.close();
});

const cages = ["in-process", "worker", "wasm"] as const;

async function alive(cage: (typeof cages)[number]): Promise<TestContext<{ base: string }>> {
  const options = { config: { base }, secrets: { "demo.key": "key-0123456789" }, fetch };
  if (cage === "in-process") {
    const rclaw = createTestContext({ id: "everything", ...options });
    closers.push(() => rclaw[Symbol.asyncDispose]());
    await rclaw.activate((await loadModule(built.script)) as Plugin<{ base: string }>);
    return rclaw;
  }
  const { lanes } = await openLanes();
  return live(lanes, cage, cage === "wasm" ? built.component : built.script, manifest, options);
}

describe.each(cages)("%s", (cage) => {
  test("a tool answers", async () => {
    const rclaw = await alive(cage);
    const { signal } = rclaw.context;
    const call = (name: string, params: object = {}) =>
      rclaw.context.tools.call(name, params, { ...place, signal });
    expect(await call("greet", { name: "Ada" })).toEqual({ content: "hello Ada" });
    expect(await call("stream")).toEqual({
      content: "grüße aus der ferne",
      details: { status: 200, type: "text/plain; charset=utf-8" },
    });
    expect(await call("both")).toEqual({ content: "ab" });
    expect(await call("remember")).toEqual({ content: "1" });
    expect(await call("remember")).toEqual({ content: "2" });
    expect(await call("signed")).toEqual({
      content: createHmac("sha256", "key-0123456789").update("message").digest("hex"),
    });
  });

  test("errors keep their codes, and a bug says no more than that it is one", async () => {
    const rclaw = await alive(cage);
    const { signal } = rclaw.context;
    const call = (name: string, params: object = {}) =>
      rclaw.context.tools.call(name, params, { ...place, signal });
    await expect(call("known")).rejects.toMatchObject({
      code: "RATE_LIMITED",
      retryable: true,
      details: { retryAfterMs: 5 },
    });
    if (cage !== "in-process")
      await expect(call("bug")).rejects.toMatchObject({ code: "PLUGIN_FAILED", message: "plugin failed" });
    const controller = new AbortController();
    const waiting = rclaw.context.tools.call("wait", {}, { ...place, signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toThrow();
    expect(await call("greet", { name: "again" })).toEqual({ content: "hello again" });
  });
});
