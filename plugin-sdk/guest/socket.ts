import type { Ask } from "../boundary/calls.ts";

type Data = string | Uint8Array;

/** Pieces of a stream that wait for their reader; the sender waits while too many do. */
export function createQueue<T>(limit: number) {
  const items: T[] = [];
  let wake: (() => void) | undefined;
  let resume: (() => void) | undefined;
  let ended = false;
  let failure: unknown;
  return {
    push(item: T): Promise<void> | undefined {
      if (ended) return undefined;
      items.push(item);
      wake?.();
      if (items.length < limit) return undefined;
      return new Promise((resolve) => (resume = resolve));
    },
    end(error?: unknown): void {
      ended = true;
      failure = error;
      wake?.();
      resume?.();
    },
    async *[Symbol.asyncIterator](): AsyncGenerator<T> {
      for (;;) {
        const [item] = items.splice(0, 1);
        if (item !== undefined) {
          if (items.length < limit) resume?.();
          yield item;
        } else if (ended) {
          if (failure !== undefined) throw failure;
          return;
        } else {
          await new Promise<void>((resolve) => (wake = resolve));
        }
      }
    },
  };
}

export interface SocketOptions {
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** `webSocket` for a plugin behind a boundary: the host holds the socket, the plugin numbers it. */
export function farWebSocket(ask: Ask) {
  let last = 0;
  return async (url: string | URL, { protocols = [], headers = {}, signal }: SocketOptions = {}) => {
    const socket = ++last;
    const incoming = createQueue<Data>(64);
    let opened: (protocol: string) => void = () => undefined;
    const open = new Promise<string>((resolve) => (opened = resolve));
    const params = { socket, url: String(url), protocols, headers: Object.entries(headers) };
    const closed = ask("ws.connect", params, {
      signal,
      onChunk(chunk) {
        if (typeof chunk === "object" && "open" in chunk) return opened(chunk.open.protocol);
        return incoming.push(chunk);
      },
    });
    closed.then(
      () => incoming.end(),
      (error: unknown) => incoming.end(error),
    );
    const protocol = await Promise.race([open, closed.then(() => "")]);
    const dropped = (): undefined => undefined;
    return {
      protocol,
      // What cannot be sent any more shows as the end of the socket.
      send: (data: Data): void => void ask("ws.send", { socket, data }).catch(dropped),
      close: (code = 1000, reason = ""): void =>
        void ask("ws.close", { socket, code, reason }).catch(dropped),
      closed: closed.catch(() => ({ code: 1006, reason: "" })),
      [Symbol.asyncIterator]: () => incoming[Symbol.asyncIterator](),
    };
  };
}
