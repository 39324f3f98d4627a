import type { Ask, Asked, Offer } from "../boundary/calls.ts";
import type { Handler, Incoming } from "../boundary/endpoint.ts";
import { isRclawError, RclawError } from "../errors.ts";
import type { CommandContext, Route } from "../gateway.ts";
import type { Plugin } from "../plugin.ts";
import type { Chunk } from "../provider.ts";
import type { Files, ToolResult } from "../tool.ts";
import { base64, farContext, nothingRegistered, type Registered } from "./context.ts";

type Answers = {
  readonly [Method in keyof Asked]: (
    params: Asked[Method]["params"],
    call: Incoming,
  ) => Promise<Asked[Method]["result"]> | Asked[Method]["result"];
};

/**
 * The far side of a boundary: answers the host on behalf of an ordinary plugin, in a worker thread
 * and inside a WASM guest alike. Nothing here but the language and the web's globals.
 */
export function servePlugin(plugin: Plugin, ask: Ask): Handler {
  const registered = nothingRegistered();
  const deferred: (() => unknown)[] = [];
  const life = new AbortController();
  const answers: Answers = {
    async activate(params) {
      await plugin.activate(farContext({ params, registered, ask, signal: life.signal, deferred }));
      return offerOf(registered);
    },
    async deactivate() {
      life.abort();
      for (const fn of deferred.splice(0).reverse()) await fn();
      return null;
    },
    ...toolAnswers(registered, ask),
    ...channelAnswers(registered, ask),
    ...providerAnswers(registered),
    ...gatewayAnswers(registered, ask),
  };
  const complain = (call: Incoming, error: unknown): void => {
    // The host is told no more than that it failed; what happened is for the log, which is redacted.
    if (isRclawError(error) || call.signal.aborted) return;
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    ask("log", { level: "error", message: `${call.method} failed: ${message}`, fields: {} }).catch(
      () => undefined,
    );
  };
  // No async function here: inside a guest each one costs more than what it does.
  return (call) => {
    const answer = Object.hasOwn(answers, call.method)
      ? (answers[call.method as keyof Asked] as (params: unknown, call: Incoming) => unknown)
      : undefined;
    try {
      if (!answer) throw new RclawError("INVALID_REQUEST", `a plugin has no method "${call.method}"`);
      return Promise.resolve(answer(call.params, call)).catch((error: unknown) => {
        complain(call, error);
        throw error;
      });
    } catch (error) {
      complain(call, error);
      return Promise.reject(error);
    }
  };
}

function offerOf({ tools, hooks, channels, providers, methods, routes, commands }: Registered): Offer {
  return {
    tools: [...tools.values()].map(({ name, description, params, paths, timeoutMs }) => ({
      name,
      description,
      params,
      ...(paths && { paths }),
      ...(timeoutMs !== undefined && { timeoutMs }),
    })),
    hooks: hooks.map(({ handler: _handler, ...offer }) => offer),
    channels: [...channels.values()].map(({ id, label, textLimit, typing, logout }) => ({
      id,
      label,
      textLimit,
      can: [...(typing ? (["typing"] as const) : []), ...(logout ? (["logout"] as const) : [])],
    })),
    providers: [...providers.keys()],
    methods: [...methods.values()].map(({ name, params }) => ({ name, ...(params && { params }) })),
    routes: [...routes.values()].map(routeOffer),
    commands: [...commands.values()].map(({ name, usage }) => ({ name, usage })),
  };
}

function routeOffer({ route, auth, bodyLimit, admit }: Route): Offer["routes"][number] {
  if (admit) throw uncarriedRoute(route, "has an admit of its own");
  return { route, auth, ...(bodyLimit !== undefined && { bodyLimit }) };
}

function uncarriedRoute(route: string, what: string): RclawError {
  return new RclawError(
    "PERMISSION_DENIED",
    `route "${route}" ${what}, which only runtime "in-process" can carry`,
  );
}

function find<T>(items: ReadonlyMap<string, T>, kind: string, name: string): T {
  const item = items.get(name);
  if (item === undefined) throw new RclawError("NOT_FOUND", `this plugin has no ${kind} "${name}"`);
  return item;
}

function toolAnswers({ tools, hooks }: Registered, ask: Ask) {
  return {
    "tool.execute": ({ name, params, context }, call): Promise<ToolResult> =>
      find(tools, "tool", name).execute(params, {
        ...context,
        workspace: ".",
        // Made for whoever asks: a small tool never does.
        get files() {
          return farFiles(ask, call.id);
        },
        get signal() {
          return call.signal;
        },
        onUpdate: (text) => void ask("tool.update", { call: call.id, text }).catch(() => undefined),
      }),
    async hook({ index, event, context }) {
      const answer = await hooks[index]?.handler(event, context);
      return typeof answer === "object" ? answer : null;
    },
  } satisfies Partial<Answers>;
}

function farFiles(ask: Ask, call: number): Files {
  return {
    async read(path, options = {}) {
      const { base64: text } = await ask("files.read", { call, path, ...options });
      return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    },
    async write(path, data) {
      const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
      await ask("files.write", { call, path, base64: base64(bytes) });
    },
    list: (path) => ask("files.list", { call, path }),
  };
}

function channelAnswers({ channels }: Registered, ask: Ask) {
  const of = (id: string) => find(channels, "channel", id);
  return {
    async "channel.start"({ id }, { id: call, signal, emit }) {
      await of(id).start(async (message) => void (await ask("channel.receive", { call, message })), signal);
      await emit("started");
      // The call stays open as long as the channel runs, so that what it receives belongs to it.
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      return null;
    },
    "channel.send": ({ id, message }, { signal }) => of(id).send(message, signal),
    async "channel.typing"({ id, target }, { signal }) {
      await of(id).typing?.(target, signal);
      return null;
    },
    "channel.accounts": ({ id, probe }, { signal }) => of(id).accounts({ probe, signal }),
    async "channel.logout"({ id, accountId }, { signal }) {
      await of(id).logout?.(accountId, signal);
      return null;
    },
  } satisfies Partial<Answers>;
}

function providerAnswers({ providers }: Registered) {
  const of = (id: string) => find(providers, "provider", id);
  return {
    "provider.ready": ({ id }, { signal }) => of(id).ready(signal),
    "provider.models": ({ id }, { signal }) => of(id).models(signal),
    async "provider.stream"({ id, request }, { signal, emit }) {
      // What comes while a piece is on its way goes with the next one: a crossing costs more than a word.
      let gathered: Chunk[] = [];
      let sending: Promise<void> | undefined;
      const flush = async (): Promise<void> => {
        while (gathered.length > 0) await emit(gathered.splice(0));
        sending = undefined;
      };
      for await (const chunk of of(id).stream(request, signal)) {
        gathered.push(chunk);
        sending ??= flush();
        // Asked below; until then nobody waits, and a rejection that nobody waits for ends a thread.
        sending.catch(() => undefined);
        if (gathered.length > 64) await sending;
      }
      await sending;
      await flush();
      return null;
    },
  } satisfies Partial<Answers>;
}

function gatewayAnswers({ methods, routes, commands }: Registered, ask: Ask) {
  return {
    async "method.handle"({ name, params, caller }, { id: call, signal }) {
      const accept = (payload: unknown): void =>
        void ask("method.accept", { call, payload }).catch(() => undefined);
      return (await find(methods, "method", name).handle({ params, caller, signal, accept })) ?? null;
    },
    async "route.handle"({ route, request }, { signal }) {
      const { body, ...head } = await find(routes, "route", route).handle(request, signal);
      if (typeof body === "object" && Symbol.asyncIterator in body)
        throw uncarriedRoute(route, "answers piece by piece");
      return { ...head, ...(body !== undefined && { body }) };
    },
    async "command.run"({ name, context }, { id, signal }) {
      const { settled, ...terminal } = farTerminal(ask, id);
      const code = await find(commands, "command", name).run({ ...context, ...terminal, signal });
      await settled();
      return code;
    },
  } satisfies Partial<Answers>;
}

type Terminal = Omit<
  CommandContext,
  "args" | "json" | "interactive" | "colour" | "width" | "verbose" | "signal"
>;

function farTerminal(ask: Ask, call: number): Terminal & { settled(): Promise<unknown> } {
  const uncarried = (what: string) => (): never => {
    throw new RclawError(
      "PERMISSION_DENIED",
      `this command uses ${what}, which only runtime "in-process" can carry`,
    );
  };
  // In order, although nobody waits for each.
  let writing: Promise<unknown> = Promise.resolve();
  const write = (method: "command.out" | "command.note", text: string): void => {
    writing = writing.then(() => ask(method, { call, text })).catch(() => undefined);
  };
  return {
    out: (text) => write("command.out", text),
    note: (text) => write("command.note", text),
    async ask(question, options = {}) {
      await writing;
      return ask("command.ask", { call, question, ...options });
    },
    async call(method, params, { signal } = {}) {
      await writing;
      return ask("command.call", { call, method, params: params ?? {} }, { signal });
    },
    settled: () => writing,
    lines: uncarried("lines"),
    onInterrupt: uncarried("onInterrupt"),
    gateway: uncarried("gateway"),
  };
}
