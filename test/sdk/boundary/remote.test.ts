import { MessageChannel } from "node:worker_threads";
import {
  definePlugin,
  isRclawError,
  type Plugin,
  type PluginContext,
  RclawError,
  type Tool,
  type ToolContext,
} from "@rclaw/plugin-sdk";
import { afterEach, expect, test } from "vitest";
import { type Endpoint, portEndpoint } from "@rclaw/plugin-sdk/boundary/endpoint";
import { remotePlugin, servePlugin } from "@rclaw/plugin-sdk/boundary/remote";

const open: Endpoint[] = [];
afterEach(() => {
  for (const endpoint of open.splice(0)) endpoint[Symbol.dispose]();
});

/** A plugin served over a real MessagePort, as a worker thread would. */
async function across(plugin: Plugin) {
  const { port1, port2 } = new MessageChannel();
  const failures: unknown[] = [];
  const far = portEndpoint(
    port2,
    servePlugin(plugin, (partial) => partial as PluginContext),
    { onFailure: (_method, error) => failures.push(error) },
  );
  const near = portEndpoint(port1, () => Promise.reject(new Error("nobody calls back")));
  open.push(far, near);
  const tools = new Map<string, Tool>();
  const hooks: ((event: object, context: object) => unknown)[] = [];
  const controller = new AbortController();
  const ctx = {
    version: "1.0.0",
    config: { greeting: "hi" },
    signal: controller.signal,
    defer: () => ({ [Symbol.dispose]: () => undefined }),
    tools: { register: (tool: Tool) => (tools.set(tool.name, tool), { [Symbol.dispose]: () => undefined }) },
    hooks: {
      on: (_name: string, handler: (event: object, context: object) => unknown) => (
        hooks.push(handler),
        { [Symbol.dispose]: () => undefined }
      ),
    },
  };
  await remotePlugin("demo", near).activate(ctx as unknown as PluginContext);
  return { tools, hooks, failures, near, far };
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
    /returned something else than a result/,
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
