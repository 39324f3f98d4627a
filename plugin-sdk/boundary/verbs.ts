import type { CommandContext } from "../gateway.ts";
import type { InboundMessage } from "../channel.ts";
import { RclawError } from "../errors.ts";
import type { PluginContext, Socket } from "../plugin.ts";
import type { Chunk } from "../provider.ts";
import { type Check, compile, describeIssues } from "../schema/check.ts";
import type { ToolContext } from "../tool.ts";
import type { HttpRequest, Verbs } from "./calls.ts";
import type { Handler, Incoming } from "./endpoint.ts";

/** What an open call of the host lets the plugin do on its behalf. */
export interface Open {
  readonly tool?: ToolContext;
  readonly command?: CommandContext;
  receive?(message: InboundMessage): Promise<void>;
  accept?(payload: unknown): void;
}

export interface HostOptions {
  readonly id: string;
  readonly ctx: PluginContext;
  /** By the number of the call. */
  readonly open: ReadonlyMap<number, Open>;
  /** Counts what goes through egress. */
  onBytes?(count: number): void;
}

type Hosts = {
  readonly [Name in keyof Verbs]: (
    params: Verbs[Name]["params"],
    call: Incoming,
  ) => Promise<Verbs[Name]["result"]> | Verbs[Name]["result"];
};

const string = { type: "string", maxLength: 1_048_576 };
const number = { type: "integer", minimum: 0 };
const object = { type: "object" };
const bytes = {};
const pairs = {
  type: "array",
  maxItems: 256,
  items: { type: "array", minItems: 2, maxItems: 2, items: { type: "string", maxLength: 65_536 } },
};
const http = { method: string, url: string, headers: pairs };
/** What each verb's params must hold; a plugin's request is a stranger's data. The rest of it is checked by whoever does it. */
const needs: Readonly<Record<keyof Verbs, Readonly<Record<string, object>>>> = {
  log: { level: { enum: ["debug", "info", "warn", "error"] }, message: string, fields: object },
  "storage.get": { key: string },
  "storage.set": { key: string },
  "secrets.get": { name: string },
  "secrets.resolve": { value: string },
  "secrets.sign": { name: string, request: object },
  "secrets.verify": { name: string, request: object },
  "files.read": { call: number, path: string },
  "files.write": { call: number, path: string, base64: { type: "string" } },
  "files.list": { call: number, path: string },
  "tool.update": { call: number, text: string },
  "tools.list": { place: object },
  "tools.call": { name: string },
  "channel.receive": {
    call: number,
    message: {
      type: "object",
      required: ["id", "accountId", "chatType", "peerId", "sender", "text"],
      properties: {
        id: string,
        accountId: string,
        chatType: { enum: ["direct", "group", "channel"] },
        peerId: string,
        sender: { type: "object", required: ["id"], properties: { id: string, name: string } },
        text: string,
        threadId: string,
        messageId: string,
        timestamp: { type: "number" },
        mentioned: { type: "boolean" },
        peerName: string,
      },
    },
  },
  "channels.deliver": { channel: string, message: object },
  "channels.typing": { channel: string, target: object },
  "providers.ready": { id: string },
  "providers.models": { id: string },
  "providers.stream": { id: string, request: object },
  "methods.call": { method: string },
  "method.accept": { call: number },
  "sessions.list": {},
  "sessions.find": { key: string },
  "sessions.tail": { key: string, limit: number },
  "gateway.broadcast": { event: string },
  "gateway.send": { connId: string, event: string },
  "command.out": { call: number, text: string },
  "command.note": { call: number, text: string },
  "command.ask": { call: number, question: string },
  "command.call": { call: number, method: string },
  "http.fetch": http,
  "http.send": http,
  "ws.connect": {
    socket: number,
    url: string,
    protocols: { type: "array", maxItems: 32, items: string },
    headers: pairs,
  },
  "ws.send": { socket: number, data: bytes },
  "ws.close": { socket: number, code: number, reason: string },
};
const checks = new Map<string, Check>();

function check(id: string, method: keyof Verbs, params: unknown): void {
  let validator = checks.get(method);
  if (!validator) {
    const properties = needs[method];
    validator = compile({ type: "object", required: Object.keys(properties), properties });
    checks.set(method, validator);
  }
  const given = params ?? {};
  if (validator.valid(given)) return;
  throw new RclawError(
    "INVALID_REQUEST",
    `plugin "${id}" asked for ${method} with params that do not fit: ${describeIssues(validator.issues(given))}`,
  );
}

/** The near side of a boundary: performs a plugin's verbs with its own context, so that each is checked as if it ran in-process. */
export function hostVerbs(options: HostOptions): Handler {
  const { id, ctx } = options;
  const hosts: Hosts = {
    ...ownVerbs(ctx),
    ...callVerbs(options),
    ...kernelVerbs(ctx),
    ...networkVerbs(options),
  };
  return async (call) => {
    if (!Object.hasOwn(hosts, call.method))
      throw new RclawError("INVALID_REQUEST", `plugin "${id}" asked for "${call.method}", which no host has`);
    const method = call.method as keyof Verbs;
    check(id, method, call.params);
    const host = hosts[method] as (params: unknown, call: Incoming) => unknown;
    return host(call.params ?? {}, call);
  };
}

function ownVerbs(ctx: PluginContext) {
  return {
    log({ level, message, fields }) {
      ctx.log[level](fields, message.slice(0, 4_096));
      return null;
    },
    "storage.get": async ({ key }) => (await ctx.storage.get(key)) ?? null,
    async "storage.set"({ key, value }) {
      await ctx.storage.set(key, value);
      return null;
    },
    "secrets.get": ({ name }) => ctx.secrets.get(name),
    "secrets.resolve": ({ value }) => ctx.secrets.resolve(value),
    "secrets.sign": ({ name, request }) => ctx.secrets.sign(name, bytesBack(request) as never),
    "secrets.verify": ({ name, request }) => ctx.secrets.verify(name, bytesBack(request) as never),
  } satisfies Partial<Hosts>;
}

function callVerbs({ id, ctx, open }: HostOptions) {
  /** A number that is not an open call's, or another kind of call's, grants nothing. */
  function of<Key extends keyof Open>(call: number, key: Key): NonNullable<Open[Key]> {
    const item = open.get(call)?.[key];
    if (item) return item;
    throw new RclawError(
      "PERMISSION_DENIED",
      `plugin "${id}" used call ${call}, which is not one of its open ${key} calls`,
    );
  }
  return {
    async "files.read"({ call, path, maxBytes, from }) {
      const data = await of(call, "tool").files.read(path, {
        ...(maxBytes !== undefined && { maxBytes }),
        ...(from !== undefined && { from }),
      });
      return { base64: Buffer.from(data).toString("base64") };
    },
    async "files.write"({ call, path, base64 }) {
      await of(call, "tool").files.write(path, Buffer.from(base64, "base64"));
      return null;
    },
    "files.list": ({ call, path }) => of(call, "tool").files.list(path),
    "tool.update"({ call, text }) {
      of(call, "tool").onUpdate?.(text);
      return null;
    },
    async "tools.call"({ name, params, place, call }, { signal }) {
      if (place) return ctx.tools.call(name, params, { ...place, signal });
      const { workspace: _workspace, files: _files, onUpdate: _onUpdate, ...own } = of(call ?? 0, "tool");
      return ctx.tools.call(name, params, { ...own, signal });
    },
    async "channel.receive"({ call, message }) {
      await of(call, "receive")(message);
      return null;
    },
    "method.accept"({ call, payload }) {
      of(call, "accept")(payload);
      return null;
    },
    "command.out"({ call, text }) {
      of(call, "command").out(text);
      return null;
    },
    "command.note"({ call, text }) {
      of(call, "command").note(text);
      return null;
    },
    "command.ask": ({ call, question, hidden, default: preset }) =>
      of(call, "command").ask(question, {
        ...(hidden === true && { hidden }),
        ...(typeof preset === "string" && { default: preset }),
      }),
    // The person's own rights are not the plugin's: what it may call stands in its manifest.
    "command.call": ({ call, method, params }, { signal }) => {
      of(call, "command");
      return ctx.methods.call(method, params, { signal });
    },
  } satisfies Partial<Hosts>;
}

function kernelVerbs(ctx: PluginContext) {
  return {
    "tools.list": ({ place }) => ctx.tools.list(place as Parameters<typeof ctx.tools.list>[0]),
    "channels.deliver": async ({ channel, message }, { signal }) =>
      (await ctx.channels.deliver(channel, message, signal)) ?? null,
    async "channels.typing"({ channel, target }, { signal }) {
      await ctx.channels.typing(channel, target, signal);
      return null;
    },
    "providers.ready": ({ id }, { signal }) => ctx.providers.ready(id, signal),
    "providers.models": ({ id }, { signal }) => ctx.providers.models(id, signal),
    async "providers.stream"({ id, request }, { signal, emit }) {
      const chunks: AsyncIterable<Chunk> = ctx.providers.stream(id, request, signal);
      for await (const chunk of chunks) await emit([chunk]);
      return null;
    },
    "methods.call": ({ method, params }, { signal, emit }) =>
      ctx.methods.call(method, params, {
        signal,
        onAccepted: (payload) => void emit(payload).catch(() => undefined),
      }),
    "sessions.list": () => ctx.sessions.list(),
    "sessions.find": async ({ key }) => (await ctx.sessions.find(key)) ?? null,
    "sessions.tail": ({ key, limit }) => ctx.sessions.tail(key, Math.min(limit, 1_000)),
    "gateway.broadcast"({ event, payload, dropIfSlow }) {
      ctx.gateway.broadcast(event, payload, dropIfSlow === true ? { dropIfSlow } : {});
      return null;
    },
    "gateway.send": ({ connId, event, payload }) => ctx.gateway.send(connId, event, payload),
  } satisfies Partial<Hosts>;
}

const maxPiece = 65_536;
const maxWhole = 1_048_576;
/** More than that nobody keeps for a guest that waits, whatever it asks for. */
const maxWholeEver = 16 * 1_048_576;

function networkVerbs({ id, ctx, onBytes }: HostOptions) {
  const sockets = new Map<number, Socket>();

  async function request({ url, method, headers, body, redirect }: HttpRequest, signal: AbortSignal) {
    onBytes?.(body?.length ?? 0);
    const response = await ctx.fetch(url, {
      method,
      headers: headers.map(([name, value]): [string, string] => [name, value]),
      signal,
      ...(body && { body: Buffer.from(body) }),
      ...(redirect && { redirect }),
    });
    const pairsOf = [...response.headers].map(([name, value]) => [name, value] as const);
    return { response, head: { status: response.status, headers: pairsOf, url: response.url } };
  }

  function socketOf(socket: number): Socket {
    const found = sockets.get(socket);
    if (found) return found;
    throw new RclawError("UNAVAILABLE", `socket ${socket} of plugin "${id}" is not open`);
  }

  return {
    async "http.fetch"(params, { signal, emit }) {
      const { response, head } = await request(params, signal);
      await emit({ head });
      if (!response.body) return null;
      for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
        onBytes?.(piece.length);
        for (let at = 0; at < piece.length; at += maxPiece) await emit(piece.slice(at, at + maxPiece));
      }
      return null;
    },
    async "http.send"({ maxBytes = maxWhole, ...params }, { signal }) {
      const limit = maxBytes >= 0 ? Math.min(maxBytes, maxWholeEver) : maxWhole;
      const { response, head } = await request(params, signal);
      const pieces: Uint8Array[] = [];
      let length = 0;
      for await (const piece of (response.body ?? []) as unknown as AsyncIterable<Uint8Array>) {
        onBytes?.(piece.length);
        length += piece.length;
        if (length > limit)
          throw new RclawError("TOO_LARGE", `the answer to plugin "${id}" is larger than ${limit} bytes`);
        pieces.push(piece);
      }
      return { ...head, body: new Uint8Array(Buffer.concat(pieces)) };
    },
    async "ws.connect"({ socket, url, protocols, headers }, { signal, emit }) {
      if (sockets.has(socket))
        throw new RclawError("CONFLICT", `plugin "${id}" numbered two sockets ${socket}`);
      const live = await ctx.webSocket(url, {
        protocols,
        headers: Object.fromEntries(headers),
        signal,
      });
      sockets.set(socket, live);
      try {
        await emit({ open: { protocol: live.protocol } });
        for await (const data of live) {
          onBytes?.(data.length);
          await emit(data);
        }
        return await live.closed;
      } finally {
        sockets.delete(socket);
        live.close();
      }
    },
    "ws.send"({ socket, data }) {
      if (typeof data !== "string" && !ArrayBuffer.isView(data))
        throw new RclawError("INVALID_REQUEST", `plugin "${id}" sends neither text nor bytes`);
      onBytes?.(data.length);
      socketOf(socket).send(data);
      return null;
    },
    "ws.close"({ socket, code, reason }) {
      socketOf(socket).close(code, reason);
      return null;
    },
  } satisfies Partial<Hosts>;
}

/** Bytes travel as `{ base64 }` inside of JSON. */
function bytesBack(request: object): object {
  const entries = Object.entries(request).map(([key, value]: [string, unknown]) => {
    const text = typeof value === "object" && value !== null && "base64" in value ? value.base64 : undefined;
    return [key, typeof text === "string" ? new Uint8Array(Buffer.from(text, "base64")) : value] as const;
  });
  return Object.fromEntries(entries);
}
