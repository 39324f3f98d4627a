import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import {
  fromWireError,
  type Handler,
  toWireError,
  type WireError,
} from "@rclaw/plugin-sdk/boundary/endpoint";
import { RclawError } from "@rclaw/plugin-sdk";

/** A request for which the guest's thread stands still. */
interface Standing {
  readonly method: string;
  readonly params: unknown;
}
type Answer =
  | { readonly ok: true; readonly payload: unknown }
  | { readonly ok: false; readonly error: WireError };

/** The host's end: answers what a standing thread asks, one request at a time. */
export function answerStanding(port: MessagePort, bell: SharedArrayBuffer, handle: Handler): Disposable {
  const flag = new Int32Array(bell);
  const life = new AbortController();
  let last = 0;
  const emit = (): Promise<void> =>
    Promise.reject(
      new RclawError("INVALID_REQUEST", "a guest that waits takes no pieces; ask for the whole"),
    );
  port.on("message", ({ method, params }: Standing) => {
    const call = { id: ++last, method, params, signal: life.signal, emit };
    const send = (answer: Answer): void => {
      if (life.signal.aborted) return;
      port.postMessage(answer);
      Atomics.add(flag, 0, 1);
      Atomics.notify(flag, 0);
    };
    handle(call).then(
      (payload) => send({ ok: true, payload }),
      (error: unknown) => send({ ok: false, error: toWireError(error) }),
    );
  });
  return {
    [Symbol.dispose]() {
      life.abort();
      port.close();
    },
  };
}

/** The thread's end: asks, and stands still until the answer is there. */
export function createAsker(port: MessagePort, bell: SharedArrayBuffer) {
  const flag = new Int32Array(bell);
  return (method: string, params: unknown): unknown => {
    const before = Atomics.load(flag, 0);
    port.postMessage({ method, params } satisfies Standing);
    Atomics.wait(flag, 0, before);
    const answer = receiveMessageOnPort(port)?.message as Answer | undefined;
    if (!answer) throw new RclawError("UNAVAILABLE", `the host left ${method} without an answer`);
    if (answer.ok) return answer.payload;
    throw fromWireError(answer.error);
  };
}
