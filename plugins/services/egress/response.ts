import type { IncomingMessage } from "node:http";
import { pipeline, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { EgressLimits } from "@rclaw/plugin-sdk/services/egress";
import { type Mask, maskError } from "./mask.ts";

export interface ResponseSource {
  readonly incoming: IncomingMessage;
  readonly url: string;
  readonly redirected: boolean;
  readonly method: string;
  readonly owner: string;
  readonly host: string;
  readonly limits: EgressLimits;
  readonly signal: AbortSignal | undefined;
  /** Takes secrets out of what is shown. */
  readonly mask: Mask;
}

/**
 * The part of `Response` that programs use. The global one would load undici,
 * 8 MB of memory for a gateway that otherwise has no use for it.
 */
export function createResponse(source: ResponseSource): Response {
  const { incoming, method } = source;
  const status = incoming.statusCode ?? 0;
  const isEmpty = method === "HEAD" || status === 204 || status === 304;
  const body = bodyOf(source);
  if (isEmpty) void drain(body);
  // By shape, not by class: see above.
  return new LightResponse(source, status, isEmpty ? undefined : body) as unknown as Response;
}

type Mode = "whole" | "stream";
type Body = (mode: Mode) => AsyncGenerator<Uint8Array, void>;

class LightResponse {
  readonly type = "basic";
  readonly ok: boolean;
  readonly statusText: string;
  readonly url: string;
  readonly redirected: boolean;
  readonly headers: LightHeaders;
  readonly status: number;
  readonly #source: ResponseSource;
  readonly #body: Body | undefined;
  #stream: ReadableStream<Uint8Array> | undefined;
  #used = false;

  constructor(source: ResponseSource, status: number, body: Body | undefined) {
    this.#source = source;
    this.#body = body;
    this.status = status;
    this.ok = status >= 200 && status < 300;
    this.statusText = source.mask.header(source.incoming.statusMessage ?? "");
    this.url = source.mask.text(source.url);
    this.redirected = source.redirected;
    this.headers = new LightHeaders(source.incoming.rawHeaders.map(source.mask.header));
  }

  get bodyUsed(): boolean {
    return this.#used || (this.#stream?.locked ?? false);
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (!this.#body) return null;
    this.#stream ??= toStream(this.#body("stream"));
    return this.#stream;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  }

  async bytes(): Promise<Uint8Array> {
    if (this.bodyUsed) throw new TypeError("the body of this answer was read already");
    this.#used = true;
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#stream ?? this.#body?.("whole") ?? []) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async blob(): Promise<unknown> {
    const { Blob } = await import("node:buffer");
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }

  clone(): LightResponse {
    if (this.bodyUsed) throw new TypeError("the body of this answer was read already");
    const twin = new LightResponse(this.#source, this.status, this.#body);
    if (this.body) [this.#stream, twin.#stream] = this.body.tee();
    return twin;
  }
}

class LightHeaders {
  readonly #values = new Map<string, string>();
  readonly #cookies: string[] = [];

  constructor(raw: readonly string[]) {
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i]!.toLowerCase();
      const value = raw[i + 1]!;
      if (name === "set-cookie") this.#cookies.push(value);
      const earlier = this.#values.get(name);
      this.#values.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
    }
  }

  get(name: string): string | null {
    return this.#values.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  getSetCookie(): string[] {
    return [...this.#cookies];
  }

  forEach(fn: (value: string, name: string, headers: this) => void): void {
    for (const [name, value] of this) fn(value, name, this);
  }

  entries(): MapIterator<[string, string]> {
    return this.#values.entries();
  }

  keys(): MapIterator<string> {
    return this.#values.keys();
  }

  values(): MapIterator<string> {
    return this.#values.values();
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.entries();
  }
}

/** Decodes, counts what came out, and holds the deadline. Until somebody reads, the server waits. */
function bodyOf(source: ResponseSource): Body {
  const { incoming, limits, host, owner, signal, mask } = source;
  const details = { plugin: owner, host, sent: true };
  const late = (ms: number): RclawError =>
    new RclawError("TIMEOUT", `${host} timed out: its answer was not complete within ${ms} ms`, {
      retryable: true,
      details,
    });

  const onAbort = (): void =>
    void incoming.destroy(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
  let timer = setTimeout(() => incoming.destroy(late(limits.bodyMs)), limits.bodyMs).unref();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  incoming.once("close", () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  });
  // Whoever reads gets the error as well; without a reader it must not be an uncaught one.
  incoming.on("error", () => undefined);

  return async function* read(mode) {
    const max = mode === "whole" ? limits.maxBytes : limits.maxStreamBytes;
    if (mode === "stream" && !incoming.closed) {
      clearTimeout(timer);
      timer = setTimeout(() => incoming.destroy(late(limits.streamMs)), limits.streamMs).unref();
    }
    let size = 0;
    async function* counted(): AsyncGenerator<Uint8Array, void> {
      for await (const piece of decoded(source) as AsyncIterable<Uint8Array>) {
        size += piece.length;
        if (size > max) {
          throw new RclawError("TOO_LARGE", `the answer of ${host} is larger than ${max} bytes`, {
            details: { ...details, maxBytes: max },
          });
        }
        yield piece;
      }
    }
    try {
      yield* mask.stream(counted());
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (isRclawError(error)) throw maskError(error, mask, signal);
      const reason = (error as NodeJS.ErrnoException).code ?? "unknown";
      const what =
        reason.startsWith("Z_") || reason.startsWith("ERR__ERROR")
          ? "sent an answer that cannot be decoded"
          : "broke off its answer";
      throw new RclawError("UNAVAILABLE", `${host} ${what} (${reason})`, {
        ...(!mask.isActive() && { cause: error }),
        retryable: true,
        details,
      });
    } finally {
      // After a complete answer the connection goes back to the pool; otherwise it is of no more use.
      if (!incoming.complete || size > max) incoming.destroy();
    }
  };
}

const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

function decoded({ incoming, host, mask }: ResponseSource): AsyncIterable<unknown> {
  const codings = (incoming.headers["content-encoding"] ?? "")
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim());
  // More than one coding is legal, unheard of, and doubles what a bomb can do.
  const decoder = codings.length === 1 ? decoders[codings[0] ?? ""] : undefined;
  if (decoder) return pipeline(incoming, decoder(), () => undefined);
  const isPlain =
    /^(?:identity)?$/.test(codings.join()) &&
    /^(?:chunked)?$/i.test(incoming.headers["transfer-encoding"] ?? "");
  if (isPlain || !mask.isActive()) return incoming;
  throw new RclawError(
    "UNAVAILABLE",
    `${host} answered in a coding that is not read here, so its answer may hold a secret; nobody asked for it`,
    { details: { host } },
  );
}

function toStream(pieces: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}

async function drain(body: Body): Promise<void> {
  try {
    for await (const piece of body("whole")) void piece;
  } catch {
    // Nobody asked for this body.
  }
}
