import type { Channel, OutboundMessage } from "./channel.ts";
import type { Caller, Command, ConnectedClient, Method, Route } from "./gateway.ts";
import type { HookHandler, HookName, Hooks } from "./hooks.ts";
import type { Chunk, CompletionRequest, ModelInfo, Provider } from "./provider.ts";
import type { Run, Session, SessionEntry, TranscriptEntry } from "./session.ts";
import type { JsonSchema, Tool, ToolContext, ToolResult } from "./tool.ts";

type HashName = "sha1" | "sha256" | "sha512";
type SignatureEncoding = "hex" | "base64" | "base64url";

/** `encoding` is hex when left out. A key for RS256 or ES256 is PEM. */
export type SignRequest =
  | { readonly hmac: HashName; readonly data: string | Uint8Array; readonly encoding?: SignatureEncoding }
  | {
      readonly jwt: "HS256" | "RS256" | "ES256";
      readonly claims: Readonly<Record<string, unknown>>;
      readonly header?: Readonly<Record<string, unknown>>;
    };

/** With `ed25519` the secret is the public key, in hex, base64 or PEM; `encoding` is hex when left out. */
export type VerifyRequest =
  | {
      readonly hmac: HashName;
      readonly data: string | Uint8Array;
      readonly signature: string;
      readonly encoding?: SignatureEncoding;
    }
  | { readonly equals: string }
  | {
      readonly ed25519: true;
      readonly data: string | Uint8Array;
      readonly signature: string;
      readonly encoding?: SignatureEncoding;
    };

/** Structured logging. Secrets are redacted on the way; do not rely on it. */
export interface Logger {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
}

/** An open WebSocket. Read it in one place: what is not read makes the far side wait. A failure ends the iteration with an error. */
export interface Socket extends AsyncIterable<string | Uint8Array> {
  /** The subprotocol that the far side chose, or an empty string. */
  readonly protocol: string;
  /** Throws UNAVAILABLE when the socket is closed, TOO_LARGE when the far side does not keep up. */
  send(data: string | Uint8Array): void;
  /** `code`: 1000, the default, or 3000 to 4999. */
  close(code?: number, reason?: string): void;
  /** Never rejects; 1006 when the connection was lost. */
  readonly closed: Promise<{ code: number; reason: string }>;
}

export interface Registrar<T> {
  /**
   * Offers a contribution that the manifest declares; anything else throws PERMISSION_DENIED.
   * Undone when the plugin is disabled; dispose to undo sooner.
   */
  register(contribution: T): Disposable;
}

/**
 * The world as one plugin sees it. Every member exists; one that the manifest's
 * `permissions` do not grant throws PERMISSION_DENIED and names the line to add.
 * All of it can be carried over a thread or WASM boundary, so nothing here is a
 * live kernel object.
 */
export interface PluginContext<Config = unknown> {
  readonly id: string;
  readonly version: string;
  /** Validated against the manifest's `configSchema`, defaults filled in. A change restarts the plugin. */
  readonly config: Config;
  readonly log: Logger;
  /** Aborted first when the plugin is disabled. Pass it to every async call. */
  readonly signal: AbortSignal;

  readonly tools: Registrar<Tool> & {
    /** The tools the policy lets this session see, activated so that their schemas are known. Needs `permissions.tools`. */
    list(place: {
      sessionKey: string;
      agentId: string;
      channel?: string;
      isOwner: boolean;
    }): Promise<
      readonly { readonly name: string; readonly description: string; readonly params: JsonSchema }[]
    >;
    /** Runs a tool through the whole policy pipeline. A refusal rejects with POLICY_DENIED and the reason. */
    call(
      name: string,
      params: unknown,
      place: Omit<ToolContext, "signal" | "workspace" | "files"> & { signal: AbortSignal },
    ): Promise<ToolResult>;
  };
  readonly channels: Registrar<Channel> & {
    /** Sends through a channel, past the `message_sending` hook. Resolves undefined when a hook cancelled it. */
    deliver(
      channel: string,
      message: OutboundMessage,
      signal: AbortSignal,
    ): Promise<{ readonly id: string } | undefined>;
    typing(
      channel: string,
      target: Pick<OutboundMessage, "accountId" | "to" | "threadId">,
      signal: AbortSignal,
    ): Promise<void>;
  };
  readonly providers: Registrar<Provider> & {
    /** Ids of every enabled plugin's providers, whether activated or not. */
    ids(): readonly string[];
    ready(id: string, signal: AbortSignal): ReturnType<Provider["ready"]>;
    models(id: string, signal: AbortSignal): Promise<readonly ModelInfo[]>;
    stream(id: string, request: CompletionRequest, signal: AbortSignal): AsyncIterable<Chunk>;
  };
  readonly methods: Registrar<Method> & {
    /**
     * Calls a gateway method as this plugin, with no more scope than that method needs. Needs `permissions.methods`.
     * With `as` it is the request of whoever made the one that is being answered, with that caller's own
     * scopes: hand on the very object; a copy is refused. Only in-process.
     */
    call(
      method: string,
      params: unknown,
      options?: { signal?: AbortSignal; as?: Caller; onAccepted?(payload: unknown): void },
    ): Promise<unknown>;
  };
  readonly routes: Registrar<Route>;
  readonly commands: Registrar<Command>;
  readonly hooks: {
    on<Name extends HookName>(
      name: Name,
      handler: HookHandler<Name>,
      /** `priority`: higher runs first, default 0. `timeoutMs`: default 5,000. */
      options?: { priority?: number; timeoutMs?: number },
    ): Disposable;
    /** Lets others observe or change; the merged result. Needs `permissions.sessions: "write"`. */
    run<Name extends HookName>(
      name: Name,
      event: Hooks[Name]["event"],
      context: Hooks[Name]["context"],
    ): Promise<Hooks[Name]["result"] extends void ? void : Partial<Exclude<Hooks[Name]["result"], void>>>;
  };
  /** Needs `permissions.sessions`. */
  readonly sessions: {
    /** Any spelling of a key to the canonical one; INVALID_REQUEST when it is malformed. */
    canonical(key: string): string;
    list(): Promise<readonly (SessionEntry & { readonly key: string })[]>;
    find(key: string): Promise<SessionEntry | undefined>;
    /** The last `limit` entries, oldest first. Does not wait for a writer. */
    tail(key: string, limit: number): Promise<readonly TranscriptEntry[]>;
    /** Waits for the writer before it, creates the session when it is new. */
    open(key: string, signal: AbortSignal): Promise<Session>;
    /** Archives the transcript and starts an empty one. Waits for the writer. */
    reset(key: string, reason: "new" | "reset", signal: AbortSignal): Promise<SessionEntry>;
    /** Absolute path of a session's workspace; created when missing. */
    workspace(agentId: string): Promise<string>;
  };
  /** Accepted requests that survive a crash. Needs `permissions.sessions: "write"`. */
  readonly runs: {
    /**
     * Makes the request durable, or finds the run this principal already has under that id for
     * that method. The same id with other params is a CONFLICT.
     */
    accept(
      run: Pick<Run, "id" | "sessionKey" | "method" | "principal" | "params">,
    ): Promise<{ readonly run: Run; readonly duplicate: boolean }>;
    /** Durable when it resolves. */
    mark(run: Run, state: Run["state"], error?: string): Promise<Run>;
    /** What a crash or a shutdown left unsettled, oldest first. */
    unsettled(): readonly Run[];
    find(method: string, principal: string, id: string): Run | undefined;
  };
  readonly gateway: {
    /** To every client that may see it, with a sequence number. Needs `permissions.events`. */
    broadcast(
      event: string,
      payload: unknown,
      /** `dropIfSlow`: a client that reads too slowly misses it. `toNodes`: nodes hear it as well. */
      options?: { dropIfSlow?: boolean; toNodes?: boolean },
    ): void;
    /** To one connection only, without a sequence number. False when it is gone. */
    send(connId: string, event: string, payload: unknown): boolean;
    /** Who is connected now. Needs `permissions.clients`. Only in-process. */
    clients(): readonly ConnectedClient[];
    /**
     * Hears what plugins broadcast, such as `chat` and `agent`, and what no client is told: `client.connected` and
     * `client.disconnected` with the `connId`, and `session.stored` with each `SessionChange`
     * (services/sessions.ts). Needs `permissions.clients`. Only in-process.
     */
    onEvent(listener: (event: string, payload: unknown) => void): Disposable;
    /** Whether this is a gateway at work. A command without one has a kernel of its own for a moment, and nothing runs by itself there. Only in-process. */
    isServing(): boolean;
  };
  /** `fetch`, limited to the hosts in `permissions.net` and never to a private address that was not named. */
  readonly fetch: typeof fetch;
  /** A WebSocket to a `wss:` or `ws:` address, judged like `fetch`. Open when it resolves; `signal` ends it at any time. */
  webSocket(
    url: string,
    options: {
      readonly protocols?: readonly string[];
      readonly headers?: Readonly<Record<string, string>>;
      readonly signal: AbortSignal;
    },
  ): Promise<Socket>;
  readonly secrets: {
    /**
     * NOT_FOUND when there is none. Never log it, never put it into an error. A caged plugin gets text that stands
     * for the secret in requests to the hosts that `permissions.secrets` binds it to, and is worth nothing elsewhere.
     */
    get(name: string): Promise<string>;
    /** A config value: `"secret:<name>"` is looked up, anything else is returned as it is. */
    resolve(value: string): Promise<string>;
    /** An HMAC of data, or a signed JWT, made with the secret as its key. */
    sign(name: string, request: SignRequest): Promise<string>;
    /** Whether a signature was made with the secret, or a value equals it, compared in constant time. */
    verify(name: string, request: VerifyRequest): Promise<boolean>;
  };
  /** An environment variable that `permissions.env` names, or undefined when it is not set or empty. */
  env(name: string): string | undefined;
  /** Small durable state of this plugin's own; kept when it is disabled, removed with it. */
  readonly storage: {
    get(key: string): Promise<unknown>;
    /** Durable when it resolves. `undefined` removes the key. */
    set(key: string, value: unknown): Promise<void>;
    /** Absolute path of the file it stands in, for people. Only in-process. */
    where(): Promise<string>;
  };
  /** Run `fn` when the plugin is disabled, in reverse order of registration. */
  defer(fn: () => unknown): Disposable;
}

export interface Plugin<Config = unknown> {
  /** Registers what the manifest declares. Has 10 s; a plugin that throws or hangs here is reported by name and tried again later. */
  activate(context: PluginContext<Config>): void | Promise<void>;
}

/** The default export of a plugin's entry file. */
export function definePlugin<Config = unknown>(plugin: Plugin<Config>): Plugin<Config> {
  return plugin;
}
