import type { Static, TSchema } from "typebox";
import type { JsonSchema } from "./tool.ts";

/** `operator.admin` covers every scope and `operator.write` covers `operator.read`. */
export type Scope =
  | "operator.admin"
  | "operator.read"
  | "operator.write"
  | "operator.approvals"
  | "operator.pairing"
  | "operator.talk.secrets";

/** Who made a request. Scopes are granted by the gateway; nothing here is the caller's own claim. */
export interface Caller {
  readonly kind: "client" | "plugin" | "command";
  /** `client:<device or token>`, `plugin:<id>` or `command`: what idempotency keys are scoped to. */
  readonly principal: string;
  readonly role: "operator" | "node";
  readonly scopes: readonly Scope[];
  /** A WebSocket client's connection, for frames meant for it alone. */
  readonly connId?: string;
  /** What the client said it understands, such as `tool-events`. */
  readonly caps: readonly string[];
  /** The version of the gateway protocol its connection speaks: 3 or 4. */
  readonly protocol?: number;
  /** The client's id and mode as it connected with, such as `webchat`. */
  readonly client?: { readonly id: string; readonly mode: string };
  /** Verified: the client holds the key whose fingerprint this is. */
  readonly deviceId?: string;
  /** Only for clients on other machines. */
  readonly ip?: string;
  /** Acts for the owner: an operator's client or the command line, not a stranger on a channel. */
  readonly isOwner: boolean;
}

export interface MethodCall<Params = unknown> {
  readonly params: Params;
  readonly caller: Caller;
  /** Aborted when the connection closes or the plugin is disabled, unless the method has accepted. */
  readonly signal: AbortSignal;
  /**
   * Answers at once, before the work is done; what `handle` returns becomes a second
   * response with the same id. Call it only when losing power would lose nothing.
   * A call that has accepted outlives its connection.
   */
  accept(payload: unknown): void;
}

/** What a node said of itself when it connected: what it can do, and how it is called. */
export interface NodeClaim {
  readonly client: {
    readonly id: string;
    readonly version: string;
    readonly platform: string;
    readonly mode: string;
    readonly displayName?: string;
    readonly deviceFamily?: string;
    readonly modelIdentifier?: string;
    readonly instanceId?: string;
  };
  readonly caps: readonly string[];
  readonly commands: readonly string[];
  readonly permissions?: Readonly<Record<string, boolean>>;
  readonly pathEnv?: string;
}

/** A client that is connected now. */
export interface ConnectedClient {
  readonly caller: Caller;
  /** Milliseconds since the epoch. */
  readonly connectedAt: number;
  /** Only of clients in the role of a node. */
  readonly node?: NodeClaim;
  /** Aborted when the connection ends. */
  readonly ended: AbortSignal;
}

/** A request of the gateway protocol. Name and scope are declared under `contributes.methods`. */
export interface Method<Params = unknown> {
  readonly name: string;
  /** The release of OpenClaw that had it first, or `rclaw`. For the reference. */
  readonly since?: string;
  /** Refused params are answered with the protocol's own wording before `handle` runs. */
  readonly params?: JsonSchema;
  handle(call: MethodCall<Params>): Promise<unknown>;
}

/** Types `handle` from a typebox schema, so that the schema is the only definition of the params. */
export function defineMethod<Schema extends TSchema>(
  method: Omit<Method<Static<Schema>>, "params"> & { readonly params: Schema },
): Method {
  return method as unknown as Method;
}

/** An HTTP request to a plugin's route, with its raw body: verify signatures over `body`, never over parsed JSON. */
export interface RouteRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Only of clients on other machines: what to count by. Not carried into a cage. */
  readonly ip?: string;
  /** Whoever showed the gateway's token, for `methods.call` in its name. Not carried into a cage. */
  readonly caller?: Caller;
}

export interface RouteAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Pieces are sent as they come and only as fast as the client takes them; the signal of the
   * request is aborted when it goes away. Pieces only in-process.
   */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

/** An HTTP route on the gateway's port, declared under `contributes.routes` as `"GET /chat"`. */
export interface Route {
  /** As declared in the manifest. A path that ends in `/*` takes everything below it. */
  readonly route: string;
  /** "gateway" wants the gateway's token as a bearer before the body is read; "open" leaves it to the handler. */
  readonly auth: "gateway" | "open";
  /** Bytes of body that are read at most. Default 65,536. */
  readonly bodyLimit?: number;
  /** Milliseconds until the answer has to begin. Default 60,000; 0 means as long as the client waits. Only in-process. */
  readonly timeoutMs?: number;
  /** Sees a request before its body is read, for secrets of the route's own: an answer refuses it. Only in-process. */
  admit?(request: Omit<RouteRequest, "body">, signal: AbortSignal): Promise<RouteAnswer | undefined>;
  handle(request: RouteRequest, signal: AbortSignal): Promise<RouteAnswer>;
}

/** What a command of the `rclaw` program has at hand. Data goes to `out`, talk to `note`. */
export interface CommandContext {
  /** What follows the command's name. */
  readonly args: readonly string[];
  /** `--json` was given: `out` gets one JSON document and nothing else. */
  readonly json: boolean;
  /** Somebody is there to answer questions and see colours. False in pipes and scripts. */
  readonly interactive: boolean;
  readonly colour: boolean;
  /** Columns of the terminal; undefined when nobody looks at it, and nothing needs to be cut. */
  readonly width: number | undefined;
  readonly verbose: boolean;
  readonly signal: AbortSignal;
  /** Writes to stdout as is. */
  out(text: string): void;
  /** Writes a line to stderr. */
  note(text: string): void;
  /** Asks on the terminal; `hidden` shows nothing of the answer. Throws INVALID_REQUEST when nobody is there. */
  ask(question: string, options?: { hidden?: boolean; default?: string }): Promise<string>;
  /** Lines typed by the person, until end of input or the end of `signal`. */
  lines(): AsyncIterable<string>;
  /**
   * Takes Ctrl-C from `signal`, until disposed: a chat stops one answer with it, and then the
   * next. Two within half a second still end the program.
   */
  onInterrupt(handler: () => void): Disposable;
  /**
   * Calls a gateway method: over the socket when a gateway runs on this state folder,
   * otherwise on a kernel started inside this process that serves no port.
   * `onAccepted` gets an early answer, `onEvent` every event meanwhile.
   */
  call(
    method: string,
    params?: unknown,
    options?: {
      signal?: AbortSignal;
      onAccepted?(payload: unknown): void;
      onEvent?(event: string, payload: unknown): void;
    },
  ): Promise<unknown>;
  /** The gateway that calls go to, or undefined; one on another machine has no process here. */
  gateway(): Promise<{ readonly url: string; readonly pid?: number } | undefined>;
}

/** A command of the `rclaw` program, declared under `contributes.commands` with its one-line summary. */
export interface Command {
  readonly name: string;
  /** Printed by `rclaw <name> --help`. */
  readonly usage: string;
  /** Resolves with the exit code: 0 ok, 1 failed, 2 usage, 3 gateway not reachable. */
  run(context: CommandContext): Promise<number>;
}
