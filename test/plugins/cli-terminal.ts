import { type Command, type CommandContext, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import cli from "../../plugins/services/cli/index.ts";

export type Params = Readonly<Record<string, unknown>>;
type Answer = object | ((params: Params, options: CallOptions) => unknown);
export type CallOptions = NonNullable<Parameters<CommandContext["call"]>[2]>;

export async function commands(): Promise<Map<string, Command>> {
  const found = new Map<string, Command>();
  const context: { commands: { register(command: Command): Disposable } } = {
    commands: {
      register(command) {
        found.set(command.name, command);
        return { [Symbol.dispose]: () => found.delete(command.name) };
      },
    },
  };
  await cli.activate(context as PluginContext);
  return found;
}

interface Setting {
  readonly json?: boolean;
  readonly interactive?: boolean;
  readonly colour?: boolean;
  readonly answers?: Readonly<Record<string, Answer>>;
  readonly typed?: readonly string[];
  readonly lines?: () => AsyncIterable<string>;
  readonly gateway?: { readonly url: string; readonly pid: number };
  readonly signal?: AbortSignal;
  readonly width?: number;
  /** Presses Ctrl-C at every dispatch of `press`. */
  readonly keys?: EventTarget;
}

/** One run of a command, with everything it wrote, asked and called. */
export async function rclaw(line: readonly string[], setting: Setting = {}) {
  const [name = "", ...args] = line;
  const { answers = {}, typed = [], interactive = false, json = false, colour = false } = setting;
  const left = [...typed];
  const calls: { method: string; params: Params }[] = [];
  const asked: { question: string; hidden: boolean }[] = [];
  let out = "";
  let notes = "";
  const context: CommandContext = {
    args,
    json,
    interactive,
    colour,
    width: setting.width,
    onInterrupt(handler) {
      setting.keys?.addEventListener("press", handler);
      return { [Symbol.dispose]: () => setting.keys?.removeEventListener("press", handler) };
    },
    verbose: false,
    signal: setting.signal ?? new AbortController().signal,
    out: (text) => {
      out += text;
    },
    note: (text) => {
      notes += `${text}\n`;
    },
    ask(question, options = {}) {
      asked.push({ question, hidden: options.hidden === true });
      const answer = left.shift();
      if (answer === undefined) throw new RclawError("INVALID_REQUEST", `nobody answers "${question}"`);
      return Promise.resolve(answer);
    },
    async *lines() {
      if (setting.lines) yield* setting.lines();
      else for (let next = left.shift(); next !== undefined; next = left.shift()) yield next;
    },
    async call(method, given = {}, options = {}) {
      const params = given as Params;
      calls.push({ method, params });
      const answer = Object.hasOwn(answers, method)
        ? answers[method]
        : new RclawError("INVALID_REQUEST", `unknown method: ${method}`);
      const value: unknown = typeof answer === "function" ? await answer(params, options) : answer;
      if (value instanceof Error) throw value;
      return value;
    },
    gateway: () => Promise.resolve(setting.gateway),
  };
  const command = (await commands()).get(name);
  if (!command) throw new Error(`no command ${name}`);
  const code = await command.run(context);
  return { code, out, notes, calls, asked };
}

export const agentAnswer =
  (text: string, events: readonly (readonly [string, object])[] = []) =>
  (params: Params, { onAccepted, onEvent }: CallOptions) => {
    const runId = params["idempotencyKey"];
    onAccepted?.({ runId, status: "accepted", acceptedAt: 1 });
    for (const [stream, data] of events)
      onEvent?.("agent", { runId, stream, data, sessionKey: "agent:main:main", seq: 1, ts: 1 });
    return {
      runId,
      status: "ok",
      summary: "completed",
      result: { payloads: [{ text, mediaUrl: null }], meta: {} },
    };
  };

/** The merge patch of the last call. */
export const patchOf = (calls: readonly { readonly params: Params }[]): unknown =>
  JSON.parse(String(calls.at(-1)?.params["raw"])) as unknown;
