import type { MessagePort } from "node:worker_threads";
import { errorCodes } from "../errors.ts";
import { type ErrorCode, isRclawError, RclawError } from "../index.ts";
import { compile } from "../schema/check.ts";
import { readBounded, type Sent } from "./flood.ts";

/**
 * The two sides of a plugin boundary speak the gateway's own frames: a worker
 * thread, a WASM guest and a WebSocket client differ in transport only.
 */
export type Frame =
  | { readonly type: "req"; readonly id: number; readonly method: string; readonly params: unknown }
  | { readonly type: "res"; readonly id: number; readonly ok: true; readonly payload: unknown }
  | { readonly type: "res"; readonly id: number; readonly ok: false; readonly error: WireError }
  | { readonly type: "event"; readonly event: "abort" | "more"; readonly payload: { readonly id: number } }
  | {
      readonly type: "event";
      readonly event: "chunk";
      readonly payload: { readonly id: number; readonly chunk: unknown };
    };

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
}

const id = { type: "integer", minimum: 1 };
const wireError = {
  type: "object",
  required: ["code", "message"],
  properties: {
    code: { enum: errorCodes },
    message: { type: "string", maxLength: 65_536 },
    retryable: { type: "boolean" },
    details: { type: "object" },
  },
};
/** What comes from the far side may be forged: it is checked before anything reads it. */
const frameCheck = compile({
  anyOf: [
    {
      type: "object",
      required: ["type", "id", "method"],
      properties: { type: { const: "req" }, id, method: { type: "string", maxLength: 128 } },
    },
    {
      type: "object",
      required: ["type", "id", "ok"],
      properties: { type: { const: "res" }, id, ok: { const: true } },
    },
    {
      type: "object",
      required: ["type", "id", "ok", "error"],
      properties: { type: { const: "res" }, id, ok: { const: false }, error: wireError },
    },
    {
      type: "object",
      required: ["type", "event", "payload"],
      properties: {
        type: { const: "event" },
        event: { enum: ["abort", "chunk", "more"] },
        payload: { type: "object", required: ["id"], properties: { id } },
      },
    },
  ],
});
/** More than that at once is no plugin at work but a flood. */
const maxRunning = 256;
/** One count for all endpoints: a number that a dead plugin still knows must not be another one's call. */
let lastId = 0;

/** Pieces of an answer that may be on their way at once: whoever sends more waits until some were taken. */
const maxUntaken = 16;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes a piece of a streamed answer; the next ones wait while it works. Without it, pieces are dropped. */
  onChunk?(chunk: unknown): void | Promise<void>;
  /** Told the call's number before it leaves. */
  onStart?(id: number): void;
}

export interface Endpoint extends Disposable {
  /** The far side is gone, or this side was disposed of. */
  readonly ended: boolean;
  call(method: string, params: unknown, options?: CallOptions): Promise<unknown>;
}

/** A call of the far side, as its handler sees it. */
export interface Incoming {
  /** The far side's number of this call; unique while it runs. */
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
  /** Aborted when nobody waits any longer, or the far side is gone. */
  readonly signal: AbortSignal;
  /** Sends a piece of the answer; resolves when there is room for another one. Rejects ABORTED when nobody waits. */
  emit(chunk: unknown): Promise<void>;
}

export type Handler = (call: Incoming) => Promise<unknown>;

export interface EndpointOptions {
  /** Hears what the far side is not told: the real error behind PLUGIN_FAILED, and frames that are none. */
  onFailure?(method: string, error: unknown): void;
  /** The far side, which has to know `ping`, sent far more than it waits for: nothing is read any more. Without this, everything is. */
  onFlood?(reason: string): void;
}

export function toWireError(error: unknown): WireError {
  if (isRclawError(error)) {
    const { code, message, retryable, details } = error;
    return { code, message, retryable, ...(details && { details }) };
  }
  // Anything else is a bug in the plugin. Its message may hold paths or tokens,
  // so the far side learns that it failed and the near side's log learns why.
  return { code: "PLUGIN_FAILED", message: "plugin failed" };
}

export function fromWireError({ code, message, ...rest }: WireError): RclawError {
  return new RclawError(code, message, rest);
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  onChunk: CallOptions["onChunk"];
  untaken: number;
  answered: boolean;
  /** What the caller did with the pieces so far; the answer itself comes after them. */
  taken: Promise<void>;
}

interface Running {
  readonly controller: AbortController;
  untaken: number;
  /** Lets the sender go on. */
  resume: (() => void) | undefined;
}

export function portEndpoint(
  port: MessagePort,
  handle: Handler,
  { onFailure, onFlood }: EndpointOptions = {},
): Endpoint {
  let closed = false;
  const pending = new Map<number, Pending>();
  const running = new Map<number, Running>();
  const send = (frame: Frame): void => port.postMessage(frame);

  async function answer({ id, method, params }: Extract<Frame, { type: "req" }>): Promise<void> {
    const refuse = (error: unknown): void => sendError(id, error);
    if (running.has(id)) return refuse(new RclawError("CONFLICT", `call ${id} is still running`));
    if (running.size >= maxRunning)
      return refuse(new RclawError("RATE_LIMITED", `${maxRunning} calls are running`, { retryable: true }));
    const call: Running = { controller: new AbortController(), untaken: 0, resume: undefined };
    running.set(id, call);
    const { signal } = call.controller;
    signal.addEventListener("abort", () => call.resume?.(), { once: true });
    try {
      const emit = (chunk: unknown): Promise<void> => emitChunk(id, call, chunk);
      send({ type: "res", id, ok: true, payload: await handle({ id, method, params, signal, emit }) });
    } catch (error) {
      if (!isRclawError(error)) onFailure?.(method, error);
      refuse(error);
    } finally {
      running.delete(id);
    }
  }

  async function emitChunk(id: number, call: Running, chunk: unknown): Promise<void> {
    const { signal } = call.controller;
    if (!signal.aborted) {
      send({ type: "event", event: "chunk", payload: { id, chunk } });
      call.untaken++;
    }
    while (call.untaken >= maxUntaken && !signal.aborted)
      await new Promise<void>((resolve) => (call.resume = resolve));
    if (signal.aborted) throw new RclawError("ABORTED", "nobody waits for the rest of this answer");
  }

  function takeChunk({ id, chunk }: { id: number; chunk: unknown }): Sent {
    const call = pending.get(id);
    if (!call) return "free";
    call.untaken++;
    call.taken = call.taken
      .then(() => call.onChunk?.(chunk))
      .then(() => {
        call.untaken--;
        if (!closed && pending.has(id)) send({ type: "event", event: "more", payload: { id } });
      })
      .catch((error: unknown) => {
        if (take(id) !== call) return;
        if (!closed) send({ type: "event", event: "abort", payload: { id } });
        call.reject(error);
      });
    // Whoever waits for room can have no more than that on the way.
    return call.untaken <= maxUntaken ? "held" : "free";
  }

  function onEvent(frame: Extract<Frame, { type: "event" }>): Sent {
    if (frame.event === "chunk") return takeChunk(frame.payload);
    const call = running.get(frame.payload.id);
    if (frame.event === "abort") call?.controller.abort();
    if (frame.event !== "more" || !call || call.untaken === 0) return "free";
    call.untaken--;
    call.resume?.();
    return "held";
  }

  function sendError(id: number, error: unknown): void {
    const { details, ...plain } = toWireError(error);
    try {
      send({ type: "res", id, ok: false, error: { ...plain, ...(details && { details }) } });
    } catch {
      // Details that cannot be copied are not worth the answer.
      send({ type: "res", id, ok: false, error: plain });
    }
  }

  /** An answer to a call that was aborted meanwhile has nobody waiting. */
  function take(id: number): Pending | undefined {
    const call = pending.get(id);
    pending.delete(id);
    return call;
  }

  function settle(frame: Extract<Frame, { type: "res" }>): Sent {
    const call = pending.get(frame.id);
    // A second answer to a call whose pieces are still being taken is one to nobody, too.
    if (!call || call.answered) return "free";
    call.answered = true;
    const settleCall = (): void => {
      if (take(frame.id) !== call) return;
      if (frame.ok) call.resolve(frame.payload);
      else call.reject(fromWireError(frame.error));
    };
    if (call.onChunk) void call.taken.then(settleCall);
    else settleCall();
    return "held";
  }

  function end(): void {
    if (closed) return;
    closed = true;
    reading?.[Symbol.dispose]();
    for (const { controller } of running.values()) controller.abort();
    for (const { reject } of pending.values())
      reject(new RclawError("UNAVAILABLE", "the plugin stopped", { retryable: true }));
    pending.clear();
    port.close();
  }

  function receive(value: unknown): Sent {
    if (!frameCheck.valid(value)) {
      const error = new RclawError("PLUGIN_FAILED", "the far side sent something that is no frame");
      onFailure?.("frame", error);
      // Whoever waits for just this answer need not wait any longer.
      const { type, id } = (typeof value === "object" && value !== null ? value : {}) as {
        type?: unknown;
        id?: unknown;
      };
      if (type === "res" && typeof id === "number") take(id)?.reject(error);
      return "garbage";
    }
    const frame = value as Frame;
    if (frame.type === "res") return settle(frame);
    if (frame.type === "event") return onEvent(frame);
    void answer(frame);
    return "free";
  }

  const ping = (): Promise<unknown> => endpoint.call("ping", null);
  const reading = onFlood && readBounded(port, receive, { ping, onFlood });
  if (!reading) port.on("message", receive);
  // What cannot be read may have been an answer: nobody would ever know.
  port.on("messageerror", end);
  port.on("close", end);

  const endpoint: Endpoint = {
    call(method, params, { signal, onChunk, onStart } = {}) {
      if (closed)
        return Promise.reject(
          new RclawError("UNAVAILABLE", `the plugin stopped before ${method}`, { retryable: true }),
        );
      if (signal?.aborted)
        return Promise.reject(new RclawError("ABORTED", `${method} was aborted`, { cause: signal.reason }));
      // What fits into 31 bits fits everywhere.
      lastId = (lastId % 0x7fffffff) + 1;
      const id = lastId;
      onStart?.(id);
      return new Promise((resolve, reject) => {
        const onAbort = (): void => {
          pending.delete(id);
          send({ type: "event", event: "abort", payload: { id } });
          reject(new RclawError("ABORTED", `${method} was aborted`, { cause: signal?.reason }));
        };
        // The signal outlives this call by far (a run's, a plugin's), so a
        // listener left on it would be a leak per call.
        const settled =
          <T>(done: (value: T) => void) =>
          (value: T): void => {
            signal?.removeEventListener("abort", onAbort);
            done(value);
          };
        pending.set(id, {
          resolve: settled(resolve),
          reject: settled(reject),
          onChunk,
          untaken: 0,
          answered: false,
          taken: Promise.resolve(),
        });
        signal?.addEventListener("abort", onAbort, { once: true });
        try {
          send({ type: "req", id, method, params });
        } catch (error) {
          const reason = `${method} was given what cannot be sent: ${(error as Error).message}`;
          take(id)?.reject(new RclawError("INVALID_REQUEST", reason, { cause: error }));
        }
      });
    },
    get ended() {
      return closed;
    },
    [Symbol.dispose]: end,
  };
  return endpoint;
}
