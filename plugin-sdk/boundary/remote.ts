import type { Channel } from "../channel.ts";
import { isRclawError, RclawError } from "../errors.ts";
import { createQueue } from "../guest/socket.ts";
import type { Plugin, PluginContext } from "../plugin.ts";
import { refuseEndless } from "../schema/pattern.ts";
import type { Chunk, Provider } from "../provider.ts";
import { checkAnswer } from "./answers.ts";
import type { Asked, Offer } from "./calls.ts";
import type { Handler } from "./endpoint.ts";
import { hostVerbs, type Open } from "./verbs.ts";

export interface LinkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the plugin is ended for not answering. 0 means as long as it takes; undefined, the lane's own limit. */
  readonly timeoutMs?: number | undefined;
  onChunk?(chunk: unknown): void | Promise<void>;
  /** Told the call's number before it leaves. */
  onStart?(id: number): void;
}

/** The way to one plugin that lives elsewhere; it is brought to life when it is needed, as often as it is needed. */
export interface Link {
  /** What it offers: remembered, or asked for now. */
  open(activation: Asked["activate"]["params"], verbs: Handler, signal: AbortSignal): Promise<Offer>;
  call(method: keyof Asked, params: unknown, options?: LinkOptions): Promise<unknown>;
  /** Lets it run what it deferred, then ends it. */
  close(): Promise<void>;
  onBytes?(count: number): void;
}

/** The far plugin as this side calls it. */
interface Far {
  readonly id: string;
  ask<Name extends keyof Asked>(
    method: Name,
    params: Asked[Name]["params"],
    options?: LinkOptions & { readonly on?: Open },
  ): Promise<Asked[Name]["result"]>;
}

export interface RemoteOptions {
  readonly id: string;
  readonly link: Link;
  /** What it may read of the environment, by name. */
  env?(ctx: PluginContext): Readonly<Record<string, string>>;
  /** A channel that fell is started again after a wait; told each time. */
  onTrouble?(where: string, error: unknown): void;
}

/** The near side of a boundary: a plugin that lives elsewhere. It is a Plugin, so every check of the host applies. */
export function remotePlugin({ id, link, env, onTrouble }: RemoteOptions): Plugin {
  return {
    async activate(ctx) {
      const open = new Map<number, Open>();
      const far: Far = { id, ask: asker(id, link, open) };
      ctx.defer(() => link.close());
      const activation = { id, version: ctx.version, config: ctx.config, env: env?.(ctx) ?? {} };
      const verbs = hostVerbs({ id, ctx, open, onBytes: (count) => link.onBytes?.(count) });
      const offer = await link.open(activation, verbs, ctx.signal);
      checkAnswer(id, "activate", offer);
      checkSchemas(id, offer);
      registerTools(ctx, far, offer);
      for (const row of offer.channels) ctx.channels.register(farChannel(far, row, onTrouble));
      for (const provider of offer.providers) ctx.providers.register(farProvider(far, provider));
      registerGateway(ctx, far, offer);
    },
  };
}

/** What a stranger wants its params held against runs in this thread. */
function checkSchemas(plugin: string, { tools, methods }: Offer): void {
  for (const { name, params } of [...tools, ...methods]) {
    try {
      refuseEndless(params);
    } catch (error) {
      const reason = `plugin "${plugin}" offers "${name}" with params that could stop everybody: ${(error as Error).message}`;
      throw new RclawError("PLUGIN_FAILED", reason, { cause: error, details: { plugin } });
    }
  }
}

function asker(id: string, link: Link, open: Map<number, Open>): Far["ask"] {
  return async (method, params, { on, ...options } = {}) => {
    const own: number[] = [];
    try {
      const answer = await link.call(method, params, {
        ...options,
        onStart(call) {
          if (!on) return;
          own.push(call);
          open.set(call, on);
        },
      });
      checkAnswer(id, method, answer);
      return answer;
    } finally {
      for (const call of own) open.delete(call);
    }
  };
}

function registerTools(ctx: PluginContext, far: Far, { tools, hooks }: Offer): void {
  for (const tool of tools) {
    ctx.tools.register({
      ...tool,
      execute(params, context) {
        const { signal, files: _files, onUpdate: _onUpdate, workspace: _workspace, ...place } = context;
        return far.ask(
          "tool.execute",
          { name: tool.name, params, context: place },
          { signal, timeoutMs: tool.timeoutMs, on: { tool: context } },
        );
      },
    });
  }
  for (const [index, { name, priority = 0, timeoutMs = 5_000 }] of hooks.entries()) {
    const handler = async (event: object, context: object): Promise<never> =>
      ((await far.ask("hook", { index, name, event, context }, { signal: ctx.signal, timeoutMs })) ??
        undefined) as never;
    ctx.hooks.on(name, handler, { priority, timeoutMs });
  }
}

function farChannel(
  far: Far,
  { id, label, textLimit, can }: Offer["channels"][number],
  onTrouble: RemoteOptions["onTrouble"],
): Channel {
  return {
    id,
    label,
    textLimit,
    start: (receive, signal) => keepStarted(far, id, { receive }, signal, onTrouble),
    send: (message, signal) => far.ask("channel.send", { id, message }, { signal }),
    accounts: ({ probe, signal }) => far.ask("channel.accounts", { id, probe }, { signal }),
    ...(can.includes("typing") && {
      typing: async (target, signal) => void (await far.ask("channel.typing", { id, target }, { signal })),
    }),
    ...(can.includes("logout") && {
      logout: async (accountId, signal) =>
        void (await far.ask("channel.logout", { id, accountId }, { signal })),
    }),
  };
}

const firstWaitMs = 500;
const maxWaitMs = 60_000;
const steadyMs = 60_000;

/** Resolves when the channel receives for the first time; from then on it is started again whenever it falls. */
function keepStarted(
  far: Far,
  id: string,
  on: Open,
  signal: AbortSignal,
  onTrouble: RemoteOptions["onTrouble"],
): Promise<void> {
  return new Promise((resolve, reject) => {
    let isUp = false;
    let waitMs = firstWaitMs;
    const run = async (): Promise<void> => {
      const begun = Date.now();
      try {
        await far.ask(
          "channel.start",
          { id },
          {
            signal,
            timeoutMs: 0,
            on,
            onChunk: () => {
              isUp = true;
              resolve();
            },
          },
        );
        if (!signal.aborted)
          throw new RclawError("PLUGIN_FAILED", `channel "${id}" stopped without being asked to`);
      } catch (error) {
        if (signal.aborted) return resolve();
        // Another version goes on where this one stopped.
        if (isRclawError(error) && error.details?.["handover"] === true) return void run();
        if (!isUp) return reject(error);
        if (Date.now() - begun > steadyMs) waitMs = firstWaitMs;
        onTrouble?.(`channel ${id}`, error);
        const timer = setTimeout(() => void run(), waitMs);
        signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
        waitMs = Math.min(maxWaitMs, waitMs * 2);
      }
    };
    void run();
  });
}

function farProvider(far: Far, id: string): Provider {
  return {
    id,
    ready: (signal) => far.ask("provider.ready", { id }, { signal }),
    models: (signal) => far.ask("provider.models", { id }, { signal }),
    async *stream(request, signal) {
      const incoming = createQueue<readonly Chunk[]>(16);
      const gone = new AbortController();
      const onAbort = (): void => gone.abort();
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      far
        .ask(
          "provider.stream",
          { id, request },
          {
            signal: gone.signal,
            timeoutMs: 0,
            onChunk(chunk) {
              checkAnswer(far.id, "provider.stream chunk", chunk);
              return incoming.push(chunk as readonly Chunk[]);
            },
          },
        )
        .then(
          () => incoming.end(),
          (error: unknown) => incoming.end(error),
        );
      try {
        for await (const chunks of incoming) yield* chunks;
      } finally {
        onAbort();
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}

function registerGateway(ctx: PluginContext, far: Far, { methods, routes, commands }: Offer): void {
  for (const { name, params: schema } of methods) {
    ctx.methods.register({
      name,
      ...(schema && { params: schema }),
      handle: ({ params, caller, signal, accept }) =>
        far.ask("method.handle", { name, params, caller }, { signal, on: { accept } }),
    });
  }
  for (const row of routes) {
    ctx.routes.register({
      ...row,
      async handle({ caller: _caller, ip: _ip, ...request }, signal) {
        const answer = await far.ask("route.handle", { route: row.route, request }, { signal });
        return {
          ...answer,
          body: typeof answer.body === "string" ? answer.body : new Uint8Array(answer.body ?? []),
        };
      },
    });
  }
  for (const { name, usage } of commands) {
    ctx.commands.register({
      name,
      usage,
      run: (context) => {
        const { args, json, interactive, colour, width, verbose, signal } = context;
        const sent = { args, json, interactive, colour, width, verbose };
        return far.ask(
          "command.run",
          { name, context: sent },
          { signal, timeoutMs: 0, on: { command: context } },
        );
      },
    });
  }
}

/** A failure of the way to the plugin, or of the plugin itself: not an answer that says no. */
export function isBroken(error: unknown): boolean {
  return !isRclawError(error) || /^(?:TIMEOUT|PLUGIN_FAILED|UNAVAILABLE)$/.test(error.code);
}
