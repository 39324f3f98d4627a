import { isRclawError, RclawError } from "../errors.ts";
import type { HookHandler, HookName } from "../hooks.ts";
import type { Manifest } from "../manifest.ts";
import type { Plugin, PluginContext } from "../plugin.ts";
import { compile, describeIssues } from "../schema/check.ts";
import { withDefaults } from "../schema/defaults.ts";
import { deadline } from "../services/in-time.ts";
import type { JsonSchema, Tool, ToolContext, ToolResult } from "../tool.ts";
import { createTestContext, type TestContext } from "./context.ts";
import { unrelatedEvent, wrongParams } from "./samples.ts";

/** One call of a tool and what it has to answer: a row of `cases.json`. */
export interface ToolCase {
  readonly tool: string;
  readonly params: unknown;
  /** Settings to run with; cases with other settings get a plugin of their own. */
  readonly config?: unknown;
  readonly expect?: {
    readonly content?: string;
    /** A regular expression. */
    readonly contentMatches?: string;
    readonly isError?: boolean;
  };
}

/** What was looked at and how it is. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What is wrong; for one that was left out, why. */
  readonly detail?: string;
  readonly skipped?: boolean;
}

/** What the conformance checks need of whoever runs them. */
export interface ConformanceOptions {
  readonly manifest: Manifest;
  /** The plugin, in the cage that it is tried in; asked again for each set of settings. */
  load(): Promise<Plugin>;
  readonly cases: readonly ToolCase[];
  readonly signal: AbortSignal;
}

const startMs = 30_000;
const callMs = 35_000;
const abortMs = 2_000;
const readyMs = 2_000;

interface Living {
  readonly rclaw: TestContext<unknown>;
  readonly hooks: readonly { readonly name: HookName; readonly handler: HookHandler<HookName> }[];
}

/** Is a plugin what its manifest says, and does it survive misuse? Nothing here depends on its language. */
export async function* conformance(options: ConformanceOptions): AsyncGenerator<Check> {
  const { manifest, cases } = options;
  const first = cases.find(({ config }) => config !== undefined)?.config;
  let living: Living;
  try {
    living = await bringUp(options, first);
  } catch (error) {
    yield failed("loads within its limits, with imports within its grants", error);
    return;
  }
  await using rclaw = living.rclaw;
  yield passed("loads within its limits");
  yield passed("imports no more than its permissions grant");
  yield* offerChecks(manifest, living);
  for (const tool of rclaw.contributions.tools.values()) yield* toolChecks(tool, options);
  yield* caseChecks(options, rclaw, first);
  for (const { name, handler } of living.hooks) yield await hookCheck(name, handler);
  for (const id of rclaw.contributions.channels.keys()) yield* channelChecks(id, options);
  for (const provider of rclaw.contributions.providers.values())
    yield await attempt(`provider ${provider.id}: says whether it is ready, without a network`, async () => {
      const answer = await deadline(provider.ready(rclaw.context.signal), readyMs, "ready()");
      if (typeof answer.ok !== "boolean" || !answer.reason) return "ready() must answer { ok, reason }";
      return undefined;
    });
}

async function bringUp({ load, manifest, signal }: ConformanceOptions, config: unknown): Promise<Living> {
  const settings = manifest.configSchema ? withDefaults(manifest.configSchema, config ?? {}) : (config ?? {});
  const rclaw = createTestContext({ id: manifest.id, config: settings });
  const hooks: { name: HookName; handler: HookHandler<HookName> }[] = [];
  const context: PluginContext = {
    ...rclaw.context,
    hooks: {
      ...rclaw.context.hooks,
      on(name, handler, how) {
        hooks.push({ name, handler });
        return rclaw.context.hooks.on(name, handler, how);
      },
    },
  };
  try {
    signal.throwIfAborted();
    const plugin = await load();
    await deadline(Promise.resolve(plugin.activate(context)), startMs, "starting the plugin");
    return { rclaw, hooks };
  } catch (error) {
    await rclaw[Symbol.asyncDispose]();
    throw error;
  }
}

function* offerChecks({ contributes }: Manifest, { rclaw, hooks }: Living): Generator<Check> {
  const { tools, channels, providers, methods, routes, commands } = rclaw.contributions;
  const declared = {
    tools: contributes.tools ?? [],
    channels: contributes.channels ?? [],
    providers: contributes.providers ?? [],
    methods: Object.keys(contributes.methods ?? {}),
    routes: contributes.routes ?? [],
    commands: Object.keys(contributes.commands ?? {}),
    hooks: (contributes.hooks ?? []).map((hook) => (typeof hook === "string" ? hook : hook.name)),
  };
  const offered = {
    tools: [...tools.keys()],
    channels: [...channels.keys()],
    providers: [...providers.keys()],
    methods: [...methods.keys()],
    routes: [...routes.keys()],
    commands: [...commands.keys()],
    hooks: hooks.map(({ name }) => name as string),
  };
  const kinds = Object.keys(declared) as (keyof typeof declared)[];
  const beyond = (a: typeof declared, b: typeof declared): string[] =>
    kinds.flatMap((kind) =>
      [...new Set(a[kind])].filter((name) => !b[kind].includes(name)).map((name) => `${kind} "${name}"`),
    );
  const undeclared = beyond(offered, declared);
  const missing = beyond(declared, offered);
  yield undeclared.length === 0
    ? passed("offers nothing that its manifest does not declare")
    : wrong(
        "offers nothing that its manifest does not declare",
        `add to contributes: ${undeclared.join(", ")}`,
      );
  yield missing.length === 0
    ? passed("offers all that its manifest declares")
    : wrong("offers all that its manifest declares", `never registered: ${missing.join(", ")}`);
}

async function* toolChecks(tool: Tool, options: ConformanceOptions): AsyncGenerator<Check> {
  const label = `tool ${tool.name}`;
  const usable = attemptNow(`${label}: its schema is understood`, () => void compile(tool.params).issues({}));
  yield usable;
  if (!usable.ok) return;
  yield isClosed(tool.params)
    ? passed(`${label}: refuses unknown parameters`)
    : wrong(`${label}: refuses unknown parameters`, "add additionalProperties: false to its params");

  const good = options.cases.find(
    ({ tool: name, params, expect }) =>
      name === tool.name && !expect?.isError && compile(tool.params).valid(params),
  );
  // A fresh one: what a call breaks shows in the call after it.
  const living = await bringUp(options, good?.config);
  await using rclaw = living.rclaw;
  const own = rclaw.contributions.tools.get(tool.name) ?? tool;
  yield await attempt(`${label}: wrong parameters are an error, not a crash`, async () => {
    const bad = wrongParams(tool.params);
    const crash = async (): Promise<string | undefined> =>
      call(own, bad, rclaw.context.signal).then(
        () => undefined,
        (error: unknown) => (isCrash(error) ? (error as Error).message : undefined),
      );
    return (await crash()) ?? (await crash());
  });
  if (!good) {
    const detail = `cases.json has no good call of it`;
    yield {
      name: `${label}: stops when it is told to, and answers three at once`,
      ok: true,
      skipped: true,
      detail,
    };
    return;
  }
  yield await attempt(`${label}: stops when it is told to`, async () => {
    const controller = new AbortController();
    const running = call(own, good.params, controller.signal);
    setImmediate(() => controller.abort());
    const settled = running.then(
      () => undefined,
      (error: unknown) => (isCrash(error) ? (error as Error).message : undefined),
    );
    const crash = await deadline(settled, abortMs, "ending an aborted call");
    if (crash !== undefined) return crash;
    return judge(await answerOf(own, good.params, rclaw.context.signal), { isError: false });
  });
  yield await attempt(`${label}: answers three calls at once`, async () => {
    const answers = await Promise.all([1, 2, 3].map(() => answerOf(own, good.params, rclaw.context.signal)));
    return answers.map((answer) => judge(answer, good.expect)).find((what) => what !== undefined);
  });
}

async function* caseChecks(
  options: ConformanceOptions,
  usual: TestContext<unknown>,
  usualConfig: unknown,
): AsyncGenerator<Check> {
  for (const [index, item] of options.cases.entries()) {
    const name = `case ${index + 1}: ${item.tool} ${JSON.stringify(item.params)}`.slice(0, 100);
    const isUsual = JSON.stringify(item.config) === JSON.stringify(usualConfig) || item.config === undefined;
    yield await attempt(name, async () => {
      const own = isUsual ? undefined : await bringUp(options, item.config);
      try {
        const { contributions, context } = own?.rclaw ?? usual;
        const tool = contributions.tools.get(item.tool);
        if (!tool) return `there is no tool "${item.tool}"`;
        return judge(await answerOf(tool, item.params, context.signal), item.expect);
      } finally {
        await own?.rclaw[Symbol.asyncDispose]();
      }
    });
  }
}

async function hookCheck(name: HookName, handler: HookHandler<HookName>): Promise<Check> {
  return attempt(`hook ${name}: leaves alone what does not concern it`, async () => {
    const { event, context } = unrelatedEvent(name);
    const answer: unknown = await deadline(
      Promise.resolve(handler(event as never, context as never)),
      callMs,
      `hook ${name}`,
    );
    const changes = Object.keys((answer as object | undefined | null) ?? {});
    return changes.length === 0
      ? undefined
      : `it changed ${changes.join(", ")} of an event made up for this check`;
  });
}

async function* channelChecks(id: string, options: ConformanceOptions): AsyncGenerator<Check> {
  const living = await bringUp(options, undefined);
  await using rclaw = living.rclaw;
  const channel = rclaw.contributions.channels.get(id);
  if (!channel) return;
  yield await attempt(`channel ${id}: starts and stops, twice`, async () => {
    for (let round = 1; round <= 2; round++) {
      const controller = new AbortController();
      try {
        await deadline(
          channel.start(() => Promise.resolve(), controller.signal),
          5_000,
          `start ${round}`,
        );
      } catch (error) {
        // Without settings it may well say no; it has to say why.
        if (!isRclawError(error) || isCrash(error) || error.code === "TIMEOUT") throw error;
      } finally {
        controller.abort();
      }
    }
    return undefined;
  });
  yield await attempt(`channel ${id}: sending without settings fails with a code`, async () => {
    const message = { accountId: "default", to: "nobody", text: "hello" };
    try {
      await deadline(channel.send(message, rclaw.context.signal), 5_000, "send()");
    } catch (error) {
      if (isRclawError(error) && error.code !== "TIMEOUT" && error.code !== "PLUGIN_FAILED") return undefined;
      return `it threw ${isRclawError(error) ? error.code : "an error without a code"}; throw RclawError("UNAVAILABLE", what is missing)`;
    }
    return "it said that the message was sent";
  });
}

const place = {
  workspace: "/workspace",
  sessionKey: "agent:main:main",
  agentId: "main",
  runId: "conformance",
  isOwner: true,
} as const;
const noFiles = (): Promise<never> =>
  Promise.reject(new RclawError("NOT_FOUND", "the workspace is empty here"));
const files: ToolContext["files"] = { read: noFiles, write: noFiles, list: () => Promise.resolve([]) };
let calls = 0;

const call = (tool: Tool, params: unknown, signal: AbortSignal): Promise<ToolResult> =>
  deadline(
    tool.execute(params, { ...place, toolCallId: `check-${++calls}`, files, signal }),
    callMs,
    `tool ${tool.name}`,
  );

/** As the model would get it: a call that does not fit the schema never reaches the tool. */
async function answerOf(tool: Tool, params: unknown, signal: AbortSignal): Promise<ToolResult> {
  const issues = compile(tool.params).issues(params);
  if (issues.length > 0) return { content: describeIssues(issues), isError: true };
  try {
    return await call(tool, params, signal);
  } catch (error) {
    if (!isRclawError(error) || isCrash(error)) throw error;
    return { content: error.message, isError: true };
  }
}

function judge(answer: ToolResult, expected: ToolCase["expect"] = {}): string | undefined {
  const shown = JSON.stringify(answer.content.slice(0, 200));
  if ((answer.isError ?? false) !== (expected.isError ?? false))
    return answer.isError ? `it answered an error: ${shown}` : `it answered ${shown} and no error`;
  if (expected.content !== undefined && answer.content !== expected.content)
    return `it answered ${shown}, not ${JSON.stringify(expected.content)}`;
  if (expected.contentMatches !== undefined && !new RegExp(expected.contentMatches).test(answer.content))
    return `it answered ${shown}, which does not match ${expected.contentMatches}`;
  return undefined;
}

/** It was ended, or took its cell with it. */
const isCrash = (error: unknown): boolean =>
  isRclawError(error) && (/TIMEOUT|UNAVAILABLE/.test(error.code) || / was ended: /.test(error.message));

function isClosed(schema: JsonSchema): boolean {
  const check = compile(schema);
  return check.issues({ rclaw_unknown: 1 }).some(({ keyword }) => keyword === "additionalProperties");
}

const passed = (name: string): Check => ({ name, ok: true });
const wrong = (name: string, detail: string): Check => ({ name, ok: false, detail });
const failed = (name: string, error: unknown): Check =>
  wrong(name, isRclawError(error) ? `${error.message} [${error.code}]` : (error as Error).message);

/** `look` answers what is wrong, or nothing. */
async function attempt(name: string, look: () => Promise<string | undefined>): Promise<Check> {
  try {
    const detail = await look();
    return detail === undefined ? passed(name) : wrong(name, detail);
  } catch (error) {
    return failed(name, error);
  }
}

function attemptNow(name: string, look: () => void): Check {
  try {
    look();
    return passed(name);
  } catch (error) {
    return failed(name, error);
  }
}
