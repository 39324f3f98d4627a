import type { MessagePort } from "node:worker_threads";
import { type ErrorCode, isRclawError, RclawError } from "../index.ts";

/**
 * The two sides of a plugin boundary speak the gateway's own frames: a worker
 * thread, a WASM guest and a WebSocket client differ in transport only.
 */
export type Frame =
  | { readonly type: "req"; readonly id: number; readonly method: string; readonly params: unknown }
  | { readonly type: "res"; readonly id: number; readonly ok: true; readonly payload: unknown }
  | { readonly type: "res"; readonly id: number; readonly ok: false; readonly error: WireError }
  | { readonly type: "event"; readonly event: "abort"; readonly payload: { readonly id: number } };

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Endpoint extends Disposable {
  call(method: string, params: unknown, signal?: AbortSignal): Promise<unknown>;
}

export type Handler = (method: string, params: unknown, signal: AbortSignal) => Promise<unknown>;

export interface EndpointOptions {
  /** Hears what the far side is not told: the real error behind PLUGIN_FAILED. */
  onFailure?(method: string, error: unknown): void;
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
}

export function portEndpoint(
  port: MessagePort,
  handle: Handler,
  { onFailure }: EndpointOptions = {},
): Endpoint {
  let lastId = 0;
  let closed = false;
  const pending = new Map<number, Pending>();
  const running = new Map<number, AbortController>();
  const send = (frame: Frame): void => port.postMessage(frame);

  async function answer({ id, method, params }: Extract<Frame, { type: "req" }>): Promise<void> {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      send({ type: "res", id, ok: true, payload: await handle(method, params, controller.signal) });
    } catch (error) {
      if (!isRclawError(error)) onFailure?.(method, error);
      if (!closed) send({ type: "res", id, ok: false, error: toWireError(error) });
    } finally {
      running.delete(id);
    }
  }

  function settle(frame: Extract<Frame, { type: "res" }>): void {
    // An answer to a call that was aborted meanwhile has nobody waiting.
    const call = pending.get(frame.id);
    pending.delete(frame.id);
    if (frame.ok) call?.resolve(frame.payload);
    else call?.reject(fromWireError(frame.error));
  }

  function end(): void {
    if (closed) return;
    closed = true;
    for (const controller of running.values()) controller.abort();
    for (const { reject } of pending.values())
      reject(new RclawError("UNAVAILABLE", "the plugin stopped", { retryable: true }));
    pending.clear();
    port.close();
  }

  port.on("message", (frame: Frame) => {
    if (frame.type === "req") void answer(frame);
    else if (frame.type === "res") settle(frame);
    else running.get(frame.payload.id)?.abort();
  });
  port.on("close", end);

  return {
    call(method, params, signal) {
      if (closed)
        return Promise.reject(
          new RclawError("UNAVAILABLE", `the plugin stopped before ${method}`, { retryable: true }),
        );
      if (signal?.aborted)
        return Promise.reject(new RclawError("ABORTED", `${method} was aborted`, { cause: signal.reason }));
      const id = ++lastId;
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
        pending.set(id, { resolve: settled(resolve), reject: settled(reject) });
        signal?.addEventListener("abort", onAbort, { once: true });
        send({ type: "req", id, method, params });
      });
    },
    [Symbol.dispose]: end,
  };
}
