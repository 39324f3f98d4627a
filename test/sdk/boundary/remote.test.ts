import { MessageChannel, type MessagePort } from "node:worker_threads";
import {
  definePlugin,
  isRclawError,
  type Plugin,
  type PluginContext,
  RclawError,
  type Route,
  type Tool,
  type ToolContext,
} from "@rclaw/plugin-sdk";
import { afterEach, expect, test, vi } from "vitest";
import { type Endpoint, type Handler, portEndpoint } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Offer } from "@rclaw/plugin-sdk/boundary/calls";
import { type Link, remotePlugin } from "@rclaw/plugin-sdk/boundary/remote";
import { servePlugin } from "@rclaw/plugin-sdk/guest/serve";
import { createTestContext } from "@rclaw/plugin-sdk/testing";

const open: Endpoint[] = [];
const contexts: AsyncDisposable[] = [];
afterEach(async () => {
  for (const rclaw of contexts.splice(0)) await rclaw[Symbol.asyncDispose]();
  for (const endpoint of open.splice(0)) endpoint[Symbol.dispose]();
});

/** A plugin served over a real MessagePort, as a worker thread would. */
async function across(plugin: Plugin) {
  const { port1, port2 } = new MessageChannel();
  const failures: unknown[] = [];
  let host: Handler = () => Promise.reject(new Error("nobody calls back"));
  const near = portEndpoint(port1, (call) => host(call));
  const far: Endpoint = portEndpoint(
    port2,
    servePlugin(plugin, (method, params, options) => far.call(method, params, options)),
    { onFailure: (_method, error) => failures.push(error) },
  );
  open.push(far, near);
  const link: Link = {
    open(activation, verbs, signal) {
      host = verbs;
      return near.call("activate", activation, { signal }) as Promise<Offer>;
    },
    call: (method, params, { timeoutMs: _timeoutMs, ...options } = {}) => near.call(method, params, options),
    close: async () => near[Symbol.dispose](),
  };
  const rclaw = createTestContext({ id: "demo", config: { greeting: "hi" } });
  contexts.push(rclaw);
  const hooks: ((event: object, context: object) => unknown)[] = [];
  const ctx = rclaw.context;
  const on = (_name: string, handler: (event: object, context: object) => unknown) => (
    hooks.push(handler),
    { [Symbol.dispose]: () => undefined }
  );
  const listening = { ...ctx, hooks: { ...ctx.hooks, on } } as unknown as PluginContext;
  await remotePlugin({ id: "demo", link }).activate(listening);
  const { tools, routes } = rclaw.contributions;
  return { tools, routes, hooks, failures, near, far, logs: rclaw.logs };
}

const context = (signal = new AbortController().signal): ToolContext =>
  ({
    workspace: "/w",
    sessionKey: "k",
    agentId: "main",
    runId: "r",
    toolCallId: "t",
    isOwner: true,
    signal,
  }) as ToolContext;

const demo = definePlugin<{ greeting: string }>({
  activate(ctx) {
    const add = (name: string, execute: Tool["execute"]): void =>
      void ctx.tools.register({ name, description: name, params: { type: "object" }, execute });
    add("greet", async (params) => ({
      content: `${ctx.config.greeting} ${(params as { name: string }).name}`,
    }));
    add("known_error", () =>
      Promise.reject(
        new RclawError("RATE_LIMITED", "slow down", { retryable: true, details: { retryAfterMs: 5 } }),
      ),
    );
    add("bug", () => Promise.reject(new Error("token 123 at /home/me")));
    add(
      "wait",
      (_params, { signal }) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(new Error("told to stop"))),
        ),
    );
    add("nonsense", async () => ({ text: 1 }) as never);
    ctx.hooks.on("before_tool_call", ({ toolName }) => (toolName === "exec" ? { block: true } : undefined));
    ctx.hooks.on("before_tool_call", () => ({ blockReason: "second" }));
  },
});

test("a tool answers over a port as it would in the process", async () => {
  const { tools } = await across(demo);
  expect(await tools.get("greet")?.execute({ name: "Ada" }, context())).toEqual({ content: "hi Ada" });
});

test("a known error keeps code, retryable and details", async () => {
  const { tools } = await across(demo);
  const error = await tools
    .get("known_error")
    ?.execute({}, context())
    .catch((reason: unknown) => reason);
  expect(
    isRclawError(error) && { code: error.code, retryable: error.retryable, details: error.details },
  ).toEqual({
    code: "RATE_LIMITED",
    retryable: true,
    details: { retryAfterMs: 5 },
  });
});

test("an unknown error says only that the plugin failed; the far side's log has the rest", async () => {
  const { tools, failures } = await across(demo);
  const error = await tools
    .get("bug")
    ?.execute({}, context())
    .catch((reason: unknown) => reason as Error);
  expect((error as Error).message).toBe("plugin failed");
  expect(failures).toEqual([new Error("token 123 at /home/me")]);
});

test("an abort crosses the port and the caller does not wait for the answer", async () => {
  const { tools } = await across(demo);
  const controller = new AbortController();
  const call = tools
    .get("wait")
    ?.execute({}, context(controller.signal))
    .catch((reason: unknown) => reason);
  controller.abort();
  expect(isRclawError(await call) && ((await call) as RclawError).code).toBe("ABORTED");
});

test("an answer that is no tool result is a plugin failure", async () => {
  const { tools } = await across(demo);
  await expect(tools.get("nonsense")?.execute({}, context())).rejects.toThrow(
    /answered tool.execute with something else/,
  );
});

test("two handlers of one hook are told apart", async () => {
  const { hooks } = await across(demo);
  expect(await Promise.all(hooks.map((hook) => hook({ toolName: "exec" }, {})))).toEqual([
    { block: true },
    { blockReason: "second" },
  ]);
});

test("calls that wait when the far side goes away are rejected", async () => {
  const { tools, far } = await across(demo);
  const call = tools.get("wait")?.execute({}, context());
  far[Symbol.dispose]();
  await expect(call).rejects.toThrow(/stopped/);
});

function pair(handle: Handler) {
  const { port1, port2 } = new MessageChannel();
  const near = portEndpoint(port1, handle);
  const far = portEndpoint(port2, handle);
  open.push(near, far);
  return { near, far };
}

/** One end of a port as a plugin gone bad would use it, against our endpoint. */
async function againstForger(
  answer: (frame: { id: number; method: string }, port: MessagePort) => void,
  handle: Handler = async () => "fine",
) {
  const { port1, port2 } = new MessageChannel();
  const failures: unknown[] = [];
  const near = portEndpoint(port1, handle, { onFailure: (_method, error) => failures.push(error) });
  open.push(near);
  port2.on("message", (frame: { type: string; id: number; method: string }) => {
    if (frame.type === "req") answer(frame, port2);
  });
  return { near, far: port2, failures };
}

test.each([
  [null],
  [undefined],
  [7],
  ["abort"],
  [[]],
  [{}],
  [{ type: "event" }],
  [{ type: "event", event: "abort" }],
  [{ type: "event", event: "abort", payload: null }],
  [{ type: "req", id: "1", method: "x" }],
  [{ type: "req", id: 1, method: { toString: 1 } }],
  [{ type: "req", id: 1, method: "x".repeat(1_000) }],
  [{ type: "res", id: 1 }],
  [{ type: "res", id: 99, ok: false }],
  [{ __proto__: null, type: "constructor" }],
  [new Map([["type", "req"]])],
])("a forged frame %j is named, answered by nobody, and the next call works", async (forged) => {
  const { near, far, failures } = await againstForger(({ id }, port) => {
    port.postMessage(forged);
    port.postMessage({ type: "res", id, ok: true, payload: "real" });
  });
  const answers: unknown[] = [];
  far.on("message", (frame: { type: string }) => frame.type === "res" && answers.push(frame));
  // A forged answer to the very call that waits ends it; every other one is as if it had not come.
  const outcome = await near.call("ask", {}).catch((error: unknown) => (error as RclawError).code);
  expect(["real", "PLUGIN_FAILED"]).toContain(outcome);
  expect(await near.call("again", {})).toBe("real");
  expect(failures.length).toBeGreaterThan(0);
  expect(answers).toEqual([]);
});

test.each([
  [{ code: "NO_SUCH_CODE", message: "x" }],
  [{ code: "UNAVAILABLE" }],
  [{ code: "UNAVAILABLE", message: { evil: true } }],
  ["just a string"],
])("a forged error %j ends the call that waits for it", async (error) => {
  const { near } = await againstForger(({ id }, port) =>
    port.postMessage({ type: "res", id, ok: false, error }),
  );
  await expect(near.call("ask", {})).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
});

test("an answer that comes late or twice, or to nothing, is dropped", async () => {
  const { near, failures } = await againstForger(({ id }, port) => {
    for (const payload of ["first", "second"]) port.postMessage({ type: "res", id, ok: true, payload });
    port.postMessage({ type: "res", id: id + 1_000, ok: true, payload: "to nothing" });
  });
  const controller = new AbortController();
  const gone = near
    .call("ask", {}, { signal: controller.signal })
    .catch((error: unknown) => (error as RclawError).code);
  controller.abort();
  expect(await gone).toBe("ABORTED");
  expect(await near.call("ask", {})).toBe("first");
  expect(await near.call("ask", {})).toBe("first");
  expect(failures).toEqual([]);
});

test("a flood of calls is held, and a call's number is one call's", async () => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const { far } = await againstForger(
    () => undefined,
    async () => held.then(() => "done"),
  );
  const answers: { id: number; ok: boolean; error?: { code: string } }[] = [];
  const all = new Promise<void>((resolve) =>
    far.on("message", (frame) => {
      answers.push(frame);
      // 44 are above the limit, one has another's number; only then are the others let go.
      if (answers.length === 45) release();
      if (answers.length === 301) resolve();
    }),
  );
  for (let id = 1; id <= 300; id++) far.postMessage({ type: "req", id, method: "x", params: {} }, []);
  far.postMessage({ type: "req", id: 1, method: "x", params: {} }, []);
  await all;
  expect(answers.filter(({ ok }) => ok)).toHaveLength(256);
  expect(answers.filter(({ error }) => error?.code === "RATE_LIMITED")).toHaveLength(44);
  expect(answers.filter(({ error }) => error?.code === "CONFLICT")).toHaveLength(1);
});

test("what cannot be copied is refused on the side that sends it", async () => {
  const { near } = await againstForger(() => undefined);
  const { signal } = new AbortController();
  await expect(near.call("ask", { run: () => 1 }, { signal })).rejects.toMatchObject({
    code: "INVALID_REQUEST",
  });
  const { tools } = await across({
    activate(ctx) {
      const details = { run: () => 1 };
      ctx.tools.register({
        name: "odd",
        description: "d",
        params: {},
        execute: () => Promise.reject(new RclawError("RATE_LIMITED", "slow down", { details })),
      });
    },
  });
  await expect(tools.get("odd")?.execute({}, context())).rejects.toMatchObject({
    code: "RATE_LIMITED",
    message: "slow down",
  });
});

test("a tool reads the workspace of its own call, and only while the call is open", async () => {
  let reading: (() => Promise<Uint8Array>) | undefined;
  const { tools } = await across({
    activate(ctx) {
      ctx.tools.register({
        name: "reader",
        description: "d",
        params: {},
        async execute(_params, { files }) {
          reading = () => files.read("a");
          return { content: new TextDecoder().decode(await reading()) };
        },
      });
    },
  });
  const files = { read: async (path: string) => new TextEncoder().encode(`text of ${path}`) };
  const place = { ...context(), files } as unknown as ToolContext;
  expect(await tools.get("reader")?.execute({}, place)).toEqual({ content: "text of a" });
  await expect(reading?.()).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
});

test("pieces of an answer come in order, and the sender waits for a slow reader", async () => {
  let sent = 0;
  const { near } = pair(async ({ method, emit }) => {
    if (method !== "count") return "here";
    for (; sent < 100; sent++) await emit(sent);
    return "done";
  });
  const taken: unknown[] = [];
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const answer = near.call("count", null, {
    async onChunk(chunk) {
      if (taken.length === 0) await held;
      taken.push(chunk);
    },
  });
  // An answer to a later call: whatever could be sent before it has been.
  await near.call("anything", null);
  expect(sent).toBeLessThan(20);
  release();
  expect(await answer).toBe("done");
  expect(taken).toEqual([...Array(100).keys()]);
});

test("a reader that throws ends the stream, and the sender learns that nobody waits", async () => {
  let ended: unknown;
  const { near } = pair(async ({ emit }) => {
    try {
      for (;;) await emit("more");
    } catch (error) {
      ended = error;
      throw error;
    }
  });
  const onChunk = (): never => {
    throw new RclawError("TOO_LARGE", "enough");
  };
  await expect(near.call("flood", null, { onChunk })).rejects.toMatchObject({ code: "TOO_LARGE" });
  await vi.waitFor(() => expect(ended).toMatchObject({ code: "ABORTED" }));
});

test("a listener is not left on a signal that outlives the call", async () => {
  const { tools } = await across(demo);
  const controller = new AbortController();
  const removed: string[] = [];
  const { signal } = controller;
  const original = signal.removeEventListener.bind(signal);
  signal.removeEventListener = (name: string, ...rest: never[]) => (
    removed.push(name),
    (original as (...args: unknown[]) => void)(name, ...rest)
  );
  await tools.get("greet")?.execute({ name: "Ada" }, context(signal));
  expect(removed).toEqual(["abort"]);
});

test("a stream that nobody takes any more rejects, and no rejection is left over that would end its thread", async () => {
  const abandoned = new RclawError("ABORTED", "nobody waits for the rest of this answer");
  let proceed = (): void => undefined;
  const go = new Promise<void>((resolve) => (proceed = resolve));
  const handler = servePlugin(
    definePlugin({
      activate(ctx) {
        ctx.providers.register({
          id: "slow",
          ready: () => Promise.resolve({ ok: true, reason: "", defaultModel: "m", rank: 1 }),
          models: () => Promise.resolve([]),
          async *stream() {
            yield { type: "text", delta: "one" };
            await go;
            yield { type: "text", delta: "two" };
          },
        });
      },
    }),
    () => Promise.reject(abandoned),
  );
  const { signal } = new AbortController();
  const call = { id: 1, signal, emit: () => Promise.reject(abandoned) };
  const params = { id: "slow", version: "1", config: {}, env: {} };
  await handler({ ...call, method: "activate", params });
  const left: unknown[] = [];
  const note = (reason: unknown): void => void left.push(reason);
  process.on("unhandledRejection", note);
  const request = { model: "m", system: "", messages: [], tools: [] };
  const streamed = handler({ ...call, method: "provider.stream", params: { id: "slow", request } });
  // Unhandled is what is so when the loop comes round.
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", note);
  proceed();
  await expect(streamed).rejects.toBe(abandoned);
  expect(left).toEqual([]);
});

const asked = { method: "GET", path: "/page", query: {}, headers: {}, body: new Uint8Array() };
const serving = (route: Partial<Route>) =>
  definePlugin({
    activate: (ctx) =>
      void ctx.routes.register({
        route: "GET /page",
        auth: "open",
        handle: async (request) => ({ status: 200, body: Object.keys(request).join(" ") }),
        ...route,
      }),
  });

test("a route is not told who asks: a caller is good in its own process only", async () => {
  const { routes } = await across(serving({}));
  const caller = createTestContext().caller();
  const answer = await routes
    .get("GET /page")
    ?.handle({ ...asked, caller, ip: "192.0.2.1" }, new AbortController().signal);
  expect(answer?.body).toBe("method path query headers body");
});

test("an answer in pieces is refused by the route's name", async () => {
  const pieces = (async function* () {
    yield "one";
  })();
  const { routes } = await across(serving({ handle: async () => ({ status: 200, body: pieces }) }));
  await expect(routes.get("GET /page")?.handle(asked, new AbortController().signal)).rejects.toThrow(
    'route "GET /page" answers piece by piece, which only runtime "in-process" can carry',
  );
});

test("a route with a check of its own is refused when the plugin starts", async () => {
  await expect(across(serving({ admit: async () => undefined }))).rejects.toThrow(
    'route "GET /page" has an admit of its own, which only runtime "in-process" can carry',
  );
});
