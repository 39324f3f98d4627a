import type { ChannelAccount, InboundMessage, OutboundMessage } from "../channel.ts";
import type { Caller, CommandContext, RouteRequest } from "../gateway.ts";
import type { HookName } from "../hooks.ts";
import type { Chunk, CompletionRequest, ModelInfo, Provider } from "../provider.ts";
import type { SessionEntry, TranscriptEntry } from "../session.ts";
import type { JsonSchema, Tool, ToolContext, ToolResult } from "../tool.ts";

/**
 * What crosses a plugin boundary, in both directions and over every transport: frames to a worker thread,
 * events and actions of a WASM component, JSON of a core module. `params` and `result` are plain data; `chunk`
 * is a piece of a streamed answer.
 */
interface Shape {
  readonly params: unknown;
  readonly result: unknown;
  readonly chunk?: unknown;
}

/** Where a tool call comes from, as it can be sent. */
export type ToolPlace = Omit<ToolContext, "signal" | "files" | "onUpdate" | "workspace">;

export interface HookOffer {
  readonly name: HookName;
  readonly priority?: number;
  readonly timeoutMs?: number;
}

/** What a plugin registered while it was activated. Remembered by the artefact's hash, so that listing tools loads nothing. */
export interface Offer {
  readonly tools: readonly (Pick<Tool, "name" | "description" | "params"> & {
    readonly paths?: readonly string[];
    readonly timeoutMs?: number;
  })[];
  readonly hooks: readonly HookOffer[];
  readonly channels: readonly {
    readonly id: string;
    readonly label: string;
    readonly textLimit: number;
    /** Of the optional members, those it has. */
    readonly can: readonly ("typing" | "logout")[];
  }[];
  readonly providers: readonly string[];
  readonly methods: readonly { readonly name: string; readonly params?: JsonSchema }[];
  readonly routes: readonly {
    readonly route: string;
    readonly auth: "gateway" | "open";
    readonly bodyLimit?: number;
  }[];
  readonly commands: readonly { readonly name: string; readonly usage: string }[];
}

/** What the host asks of a plugin. */
export interface Asked {
  /** First of all, once. */
  activate: {
    params: {
      readonly id: string;
      readonly version: string;
      readonly config: unknown;
      /** The environment variables that the manifest names, as far as they are set. */
      readonly env: Readonly<Record<string, string>>;
    };
    result: Offer;
  };
  /** The plugin is disabled: run what it deferred. Its instance is gone afterwards. */
  deactivate: { params: null; result: null };
  "tool.execute": {
    params: { readonly name: string; readonly params: unknown; readonly context: ToolPlace };
    result: ToolResult;
  };
  /** `index` is the hook's place in the offer. */
  hook: {
    params: {
      readonly index: number;
      readonly name: HookName;
      readonly event: object;
      readonly context: object;
    };
    result: object | null;
  };
  /** Stays open while the channel runs; one chunk says that it receives. Messages come as `channel.receive` on its behalf. */
  "channel.start": { params: { readonly id: string }; result: null; chunk: "started" };
  "channel.send": {
    params: { readonly id: string; readonly message: OutboundMessage };
    result: { readonly id: string };
  };
  "channel.typing": {
    params: {
      readonly id: string;
      readonly target: Pick<OutboundMessage, "accountId" | "to" | "threadId">;
    };
    result: null;
  };
  "channel.accounts": {
    params: { readonly id: string; readonly probe: boolean };
    result: readonly ChannelAccount[];
  };
  "channel.logout": { params: { readonly id: string; readonly accountId: string }; result: null };
  "provider.ready": { params: { readonly id: string }; result: Awaited<ReturnType<Provider["ready"]>> };
  "provider.models": { params: { readonly id: string }; result: readonly ModelInfo[] };
  /** Each piece holds what came together. */
  "provider.stream": {
    params: { readonly id: string; readonly request: CompletionRequest };
    result: null;
    chunk: readonly Chunk[];
  };
  "method.handle": {
    params: { readonly name: string; readonly params: unknown; readonly caller: Caller };
    result: unknown;
  };
  "route.handle": {
    params: { readonly route: string; readonly request: RouteRequest };
    result: {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | Uint8Array;
    };
  };
  "command.run": {
    params: {
      readonly name: string;
      readonly context: Pick<
        CommandContext,
        "args" | "json" | "interactive" | "colour" | "width" | "verbose"
      >;
    };
    result: number;
  };
}

interface Entry {
  readonly name: string;
  readonly kind: "file" | "folder" | "other";
  readonly size: number;
}

export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: Uint8Array;
  readonly redirect?: "follow" | "manual" | "error";
}

export interface HttpHead {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  /** Where the answer came from after redirects. */
  readonly url: string;
}

/** Verbs of the host. Those with `call` are made on behalf of that open call of the host, and only while it is open. */
export interface Verbs {
  log: {
    params: {
      readonly level: "debug" | "info" | "warn" | "error";
      readonly message: string;
      readonly fields: object;
    };
    result: null;
  };
  "storage.get": { params: { readonly key: string }; result: unknown };
  /** Without `value` the key is removed. */
  "storage.set": { params: { readonly key: string; readonly value?: unknown }; result: null };
  /** Text that stands for the secret: egress puts the bytes in, towards the hosts that the manifest binds it to. */
  "secrets.get": { params: { readonly name: string }; result: string };
  "secrets.resolve": { params: { readonly value: string }; result: string };
  "secrets.sign": { params: { readonly name: string; readonly request: object }; result: string };
  "secrets.verify": { params: { readonly name: string; readonly request: object }; result: boolean };
  "files.read": {
    params: {
      readonly call: number;
      readonly path: string;
      readonly maxBytes?: number;
      readonly from?: number;
    };
    result: { readonly base64: string };
  };
  "files.write": {
    params: { readonly call: number; readonly path: string; readonly base64: string };
    result: null;
  };
  "files.list": { params: { readonly call: number; readonly path: string }; result: readonly Entry[] };
  "tool.update": { params: { readonly call: number; readonly text: string }; result: null };
  "tools.list": {
    params: { readonly place: object };
    result: readonly { readonly name: string; readonly description: string; readonly params: JsonSchema }[];
  };
  /** Without `place`, on behalf of the tool call `call`, whose place it takes. */
  "tools.call": {
    params: {
      readonly name: string;
      readonly params: unknown;
      readonly place?: ToolPlace;
      readonly call?: number;
    };
    result: ToolResult;
  };
  /** Resolves when the message is durable or was refused for good. `call` is the `channel.start` it belongs to. */
  "channel.receive": { params: { readonly call: number; readonly message: InboundMessage }; result: null };
  "channels.deliver": {
    params: { readonly channel: string; readonly message: OutboundMessage };
    result: { readonly id: string } | null;
  };
  "channels.typing": {
    params: {
      readonly channel: string;
      readonly target: Pick<OutboundMessage, "accountId" | "to" | "threadId">;
    };
    result: null;
  };
  "providers.ready": { params: { readonly id: string }; result: Awaited<ReturnType<Provider["ready"]>> };
  "providers.models": { params: { readonly id: string }; result: readonly ModelInfo[] };
  "providers.stream": {
    params: { readonly id: string; readonly request: CompletionRequest };
    result: null;
    chunk: readonly Chunk[];
  };
  /** A chunk is the early answer of a method that accepts. */
  "methods.call": {
    params: { readonly method: string; readonly params: unknown };
    result: unknown;
    chunk: unknown;
  };
  "method.accept": { params: { readonly call: number; readonly payload: unknown }; result: null };
  "sessions.list": { params: null; result: readonly (SessionEntry & { readonly key: string })[] };
  "sessions.find": { params: { readonly key: string }; result: SessionEntry | null };
  "sessions.tail": {
    params: { readonly key: string; readonly limit: number };
    result: readonly TranscriptEntry[];
  };
  "gateway.broadcast": {
    params: { readonly event: string; readonly payload: unknown; readonly dropIfSlow?: boolean };
    result: null;
  };
  "gateway.send": {
    params: { readonly connId: string; readonly event: string; readonly payload: unknown };
    result: boolean;
  };
  "command.out": { params: { readonly call: number; readonly text: string }; result: null };
  "command.note": { params: { readonly call: number; readonly text: string }; result: null };
  "command.ask": {
    params: {
      readonly call: number;
      readonly question: string;
      readonly hidden?: boolean;
      readonly default?: string;
    };
    result: string;
  };
  "command.call": {
    params: { readonly call: number; readonly method: string; readonly params: unknown };
    result: unknown;
  };
  /** The first chunk is the head, every other one bytes of the body. */
  "http.fetch": { params: HttpRequest; result: null; chunk: { readonly head: HttpHead } | Uint8Array };
  /** The whole answer at once, for guests that wait. TOO_LARGE above `maxBytes`, 1 MiB when left out. */
  "http.send": {
    params: HttpRequest & { readonly maxBytes?: number };
    result: HttpHead & { readonly body: Uint8Array };
  };
  /** Stays open as long as the socket, which the plugin numbers. The first chunk says that it stands; the result, how it ended. */
  "ws.connect": {
    params: {
      readonly socket: number;
      readonly url: string;
      readonly protocols: readonly string[];
      readonly headers: readonly (readonly [string, string])[];
    };
    result: { readonly code: number; readonly reason: string };
    chunk: { readonly open: { readonly protocol: string } } | string | Uint8Array;
  };
  "ws.send": { params: { readonly socket: number; readonly data: string | Uint8Array }; result: null };
  "ws.close": {
    params: { readonly socket: number; readonly code: number; readonly reason: string };
    result: null;
  };
}

/** The plugin's way to its host, typed by the table above. */
export type Ask = <Name extends keyof Verbs>(
  method: Name,
  params: Verbs[Name]["params"],
  options?: {
    readonly signal?: AbortSignal | undefined;
    onChunk?(chunk: Verbs[Name] extends { chunk: infer Piece } ? Piece : never): void | Promise<void>;
  },
) => Promise<Verbs[Name]["result"]>;

/** Every row of both tables fits this. */
export type Rows = Readonly<Record<keyof Asked | keyof Verbs, Shape>>;
