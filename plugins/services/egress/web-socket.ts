import type { LookupFunction } from "node:net";
import { RclawError, type Socket } from "@rclaw/plugin-sdk";
import type { EgressLimits } from "@rclaw/plugin-sdk/services/egress";
import type { ClientOptions, WebSocket } from "ws";
import { isTrustFailure, type Meter, watchSocket } from "./exchange.ts";
import type { Target } from "./grants.ts";
import { type Mask, maskError } from "./mask.ts";
import { mayHoldHandle } from "./substitute.ts";

export interface SocketRequest {
  readonly owner: string;
  readonly target: Target;
  /** With secrets in it: only the socket may see it. */
  readonly path: string;
  readonly protocols: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly lookup: LookupFunction;
  /** Judges the address the socket really connected to. */
  refuse(address: string): RclawError | undefined;
  readonly limits: EgressLimits;
  readonly signal: AbortSignal | undefined;
  readonly mask: Mask;
  /** Puts secrets into what is sent. */
  fill(text: string): Promise<string>;
  readonly meter: Meter | undefined;
}

const maxMessage = 8 * 1024 * 1024;
/** What waits for a consumer before the far side has to wait as well. */
const maxQueued = { bytes: 1024 * 1024, messages: 256 };
/** What waits for the far side before sending is refused. */
const maxUnsent = 16 * 1024 * 1024;

/** One WebSocket to one checked target, open when it resolves. */
export async function openSocket(request: SocketRequest): Promise<Socket> {
  const { target, signal, mask, meter } = request;
  const { WebSocket: Client } = await import("ws");
  signal?.throwIfAborted();
  const scheme = target.url.protocol === "https:" ? "wss:" : "ws:";
  const options: ClientOptions & { lookup: LookupFunction } = {
    headers: { ...request.headers },
    lookup: request.lookup,
    followRedirects: false,
    // A bomb has to be as large as what it unpacks to.
    perMessageDeflate: false,
    maxPayload: maxMessage,
    handshakeTimeout: request.limits.connectMs,
    finishRequest(opening) {
      watchSocket(opening, request, () => undefined);
      meter?.(opening);
      opening.end();
    },
  };
  const socket = new Client(`${scheme}//${target.url.host}${request.path}`, [...request.protocols], options);
  // At once: the first message can come together with the answer that opens it.
  const wrapped = wrap(socket, request);
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (error) =>
      reject(
        signal?.aborted
          ? (signal.reason as Error)
          : (maskError(unreachable(request, error), mask, signal) as Error),
      ),
    );
  });
  return wrapped;
}

function wrap(socket: WebSocket, request: SocketRequest): Socket {
  const { signal, mask, owner, target, fill } = request;
  const inbox = createInbox(
    () => socket.pause(),
    () => socket.resume(),
  );
  let isClosing = false;
  let outgoing: Promise<void> | undefined;

  const fail = (error: unknown): void => {
    inbox.end(error);
    socket.terminate();
  };
  const onAbort = (): void => fail(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();

  socket.on("message", (data, isBinary) => {
    // As in a browser: who closes hears nothing more.
    if (isClosing) return;
    const bytes = data as Buffer;
    inbox.push(isBinary ? new Uint8Array(mask.bytes(bytes)) : mask.text(bytes.toString()), bytes.length);
  });
  socket.on("error", (error) => inbox.end(maskError(unreachable(request, error), mask, signal)));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once("close", (code, reason) => {
      signal?.removeEventListener("abort", onAbort);
      inbox.end();
      resolve({ code, reason: mask.text(reason.toString()) });
    });
  });

  /** In the order of the calls, also when one of them has to wait for a secret. */
  function inOrder(step: () => void | Promise<void>): void {
    const next = (outgoing ?? Promise.resolve()).then(step).catch(fail);
    outgoing = next;
    void next.then(() => {
      if (outgoing === next) outgoing = undefined;
    });
  }
  const put = (data: string | Uint8Array): void => {
    if (socket.readyState === socket.OPEN) socket.send(data);
  };

  return {
    get protocol() {
      return mask.text(socket.protocol);
    },
    closed,
    send(data) {
      if (isClosing || socket.readyState !== socket.OPEN) {
        throw new RclawError("UNAVAILABLE", `the socket to ${target.host} is closed`, {
          details: { plugin: owner, host: target.host },
        });
      }
      if (socket.bufferedAmount > maxUnsent) {
        throw new RclawError(
          "TOO_LARGE",
          `${target.host} does not take what is sent; wait before sending more`,
          {
            retryable: true,
            details: { plugin: owner, host: target.host },
          },
        );
      }
      const isFilled = typeof data === "string" && mayHoldHandle(data);
      if (!isFilled && !outgoing) return put(data);
      // A view of memory that the caller may use again.
      const kept = typeof data === "string" ? data : data.slice();
      inOrder(async () => put(typeof kept === "string" && isFilled ? await fill(kept) : kept));
    },
    close(code = 1000, reason = "") {
      if ((code !== 1000 && !(code >= 3000 && code <= 4999)) || Buffer.byteLength(reason) > 123) {
        throw new RclawError(
          "INVALID_REQUEST",
          "a socket is closed with 1000 or 3000 to 4999, and a reason of at most 123 bytes",
        );
      }
      if (isClosing) return;
      inOrder(() => {
        isClosing = true;
        socket.resume();
        socket.close(code, reason);
      });
    },
    [Symbol.asyncIterator]: () => inbox.read(),
  };
}

/** Messages that wait to be read, and the far side's turn to wait when there are many. */
function createInbox(pause: () => void, resume: () => void) {
  const waiting: { readonly data: string | Uint8Array; readonly size: number }[] = [];
  let bytes = 0;
  let isPaused = false;
  let ended: { readonly error: unknown } | undefined;
  let wake: (() => void) | undefined;

  return {
    push(data: string | Uint8Array, size: number): void {
      if (ended) return;
      waiting.push({ data, size });
      bytes += size;
      if (!isPaused && (bytes > maxQueued.bytes || waiting.length > maxQueued.messages)) {
        isPaused = true;
        pause();
      }
      wake?.();
    },
    end(error?: unknown): void {
      ended ??= { error };
      wake?.();
    },
    /** Left early, it goes on where it stopped: the messages wait, the socket stays. */
    async *read(): AsyncGenerator<string | Uint8Array, void> {
      for (;;) {
        const next = waiting.shift();
        if (next) {
          bytes -= next.size;
          if (isPaused && bytes <= maxQueued.bytes / 2 && waiting.length <= maxQueued.messages / 2) {
            isPaused = false;
            resume();
          }
          yield next.data;
        } else if (ended) {
          if (ended.error !== undefined) throw ended.error;
          return;
        } else {
          await new Promise<void>((resolve) => (wake = resolve));
        }
      }
    },
  };
}

function unreachable({ owner, target }: SocketRequest, error: Error): unknown {
  if (error.name === "RclawError") return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") {
    return new RclawError("TOO_LARGE", `${target.host} sent a message larger than ${maxMessage} bytes`, {
      details: { plugin: owner, host: target.host },
    });
  }
  const status = /^Unexpected server response: (\d{3})$/.exec(message)?.[1];
  const reason = status === undefined ? (code ?? message) : `it answered ${status}`;
  return new RclawError("UNAVAILABLE", `no WebSocket to ${target.host}: ${reason}`, {
    cause: error,
    retryable: status === undefined ? !isTrustFailure(reason) : status.startsWith("5") || status === "429",
    details: { plugin: owner, host: target.host, reason, ...(status && { status: Number(status) }) },
  });
}
