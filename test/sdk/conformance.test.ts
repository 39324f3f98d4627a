import { definePlugin, type Manifest, type Plugin, RclawError, type Tool } from "@rclaw/plugin-sdk";
import { conformance, type ToolCase } from "@rclaw/plugin-sdk/testing/conformance";
import { expect, test } from "vitest";

const params = {
  type: "object",
  additionalProperties: false,
  required: ["whom"],
  properties: { whom: { type: "string" } },
};
const greet: Tool<{ readonly whom: string }> = {
  name: "greet",
  description: "Greets.",
  params,
  execute: async ({ whom }) => ({ content: `Hello, ${whom.trim()}!` }),
};
const cases: readonly ToolCase[] = [
  { tool: "greet", params: { whom: "Ada" }, expect: { content: "Hello, Ada!" } },
  { tool: "greet", params: {}, expect: { isError: true } },
];

const manifestOf = (contributes: Manifest["contributes"]): Manifest => ({
  id: "mine",
  name: "Mine",
  description: "d",
  runtime: "wasm",
  entry: "mine.wasm",
  contributes,
});

/** What is wrong with it, by the name of the check. */
async function faults(
  plugin: Plugin,
  contributes: Manifest["contributes"],
  given: readonly ToolCase[] = [],
): Promise<readonly string[]> {
  const found: string[] = [];
  const options = {
    manifest: manifestOf(contributes),
    load: () => Promise.resolve(plugin),
    cases: given,
    signal: new AbortController().signal,
  };
  for await (const { name, ok, skipped, detail } of conformance(options))
    if (!ok || skipped) found.push(`${name}: ${detail ?? ""}`);
  return found;
}

const withTool = (tool: Tool): Plugin => definePlugin({ activate: (ctx) => void ctx.tools.register(tool) });

test("a plugin that is what it says passes every check", async () => {
  expect(await faults(withTool(greet as Tool), { tools: ["greet"] }, cases)).toEqual([]);
});

test("what is offered and what is declared have to be the same", async () => {
  expect(await faults(withTool(greet as Tool), { tools: ["other"] }, cases)).toEqual([
    'offers nothing that its manifest does not declare: add to contributes: tools "greet"',
    'offers all that its manifest declares: never registered: tools "other"',
  ]);
});

test("a plugin that does not start is told once, with its code", async () => {
  const broken = definePlugin({
    activate() {
      throw new RclawError("ARTEFACT_REFUSED", "it imports the moon");
    },
  });
  expect(await faults(broken, { tools: ["greet"] })).toEqual([
    "loads within its limits, with imports within its grants: it imports the moon [ARTEFACT_REFUSED]",
  ]);
});

test("a tool that takes anything, crashes on it, or has no case is told so", async () => {
  const open = { ...greet, params: { ...params, additionalProperties: true } } as Tool;
  expect(await faults(withTool(open), { tools: ["greet"] })).toEqual([
    "tool greet: refuses unknown parameters: add additionalProperties: false to its params",
    "tool greet: stops when it is told to, and answers three at once: cases.json has no good call of it",
  ]);
  const crashing = {
    ...greet,
    execute: async ({ whom }: { readonly whom: unknown }) => {
      if (typeof whom !== "string") throw new RclawError("PLUGIN_FAILED", 'plugin "mine" was ended: trap');
      return { content: `Hello, ${whom}!` };
    },
  } as Tool;
  expect(await faults(withTool(crashing), { tools: ["greet"] }, cases)).toEqual([
    'tool greet: wrong parameters are an error, not a crash: plugin "mine" was ended: trap',
  ]);
});

test("a tool that goes on when it is told to stop is found out", async () => {
  let calls = 0;
  const stubborn = {
    ...greet,
    // Only the first good call is the one that is stopped.
    execute: (given: { readonly whom: unknown }) =>
      typeof given.whom === "string" && ++calls === 1
        ? new Promise<never>(() => undefined)
        : Promise.resolve({ content: "Hello, Ada!" }),
  } as Tool;
  expect(await faults(withTool(stubborn), { tools: ["greet"] }, cases)).toEqual([
    "tool greet: stops when it is told to: ending an aborted call took longer than 2000 ms [TIMEOUT]",
  ]);
});

test("cases are judged by text, pattern and kind of answer, with settings of their own", async () => {
  const plugin = definePlugin<{ readonly word?: string }>({
    activate: (ctx) =>
      void ctx.tools.register({
        ...greet,
        execute: async () => ({ content: ctx.config.word ?? "none" }),
      }),
  });
  const call = { tool: "greet", params: { whom: "a" } };
  const given: readonly ToolCase[] = [
    { ...call, config: { word: "first" }, expect: { content: "first" } },
    { ...call, config: { word: "second" }, expect: { contentMatches: "^sec" } },
    { ...call, config: { word: "third" }, expect: { content: "fourth" } },
    { ...call, expect: { isError: true } },
  ];
  const found = await faults(plugin, { tools: ["greet"] }, given);
  expect(found).toEqual([
    expect.stringMatching(/^case 3: .*: it answered "third", not "fourth"$/),
    expect.stringMatching(/^case 4: .*: it answered "first" and no error$/),
  ]);
});

test("a hook that changes what does not concern it is found out", async () => {
  const meddling = definePlugin({
    activate: (ctx) => void ctx.hooks.on("before_tool_call", () => ({ block: true })),
  });
  expect(await faults(meddling, { hooks: ["before_tool_call"] })).toEqual([
    "hook before_tool_call: leaves alone what does not concern it: it changed block of an event made up for this check",
  ]);
});

test("a channel without settings has to say that it cannot send", async () => {
  const channel = (send: () => Promise<{ readonly id: string }>) =>
    definePlugin({
      activate: (ctx) =>
        void ctx.channels.register({
          id: "mine",
          label: "Mine",
          textLimit: 100,
          start: () => Promise.resolve(),
          send,
          accounts: () => Promise.resolve([]),
        }),
    });
  const declared = { channels: ["mine"] };
  const refuses = () => Promise.reject(new RclawError("UNAVAILABLE", "no address"));
  expect(await faults(channel(refuses), declared)).toEqual([]);
  expect(
    await faults(
      channel(() => Promise.resolve({ id: "1" })),
      declared,
    ),
  ).toEqual(["channel mine: sending without settings fails with a code: it said that the message was sent"]);
  expect(
    await faults(
      channel(() => Promise.reject(new Error("oops"))),
      declared,
    ),
  ).toEqual([expect.stringContaining("it threw an error without a code")]);
});

test("a provider says within two seconds whether it is ready", async () => {
  const provider = definePlugin({
    activate: (ctx) =>
      void ctx.providers.register({
        id: "mine",
        ready: () =>
          ctx
            .fetch("https://api.example.org")
            .then(() => ({ ok: true, reason: "", defaultModel: "", rank: 1 })),
        models: () => Promise.resolve([]),
        async *stream() {
          yield* [];
        },
      }),
  });
  expect(await faults(provider, { providers: ["mine"] })).toEqual([
    expect.stringMatching(/^provider mine: .*no fetch \[EGRESS_DENIED\]$/),
  ]);
});
