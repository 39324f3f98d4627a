import { GuestHeaders, type HeadersSource } from "./headers.ts";
import { GuestReadableStream } from "./stream.ts";
import { GuestTextDecoder, GuestTextEncoder, toBytes } from "./text.ts";
import { GuestURL } from "./url.ts";
import { GuestURLSearchParams } from "./url-search-params.ts";

type BodySource =
  | string
  | ArrayBufferLike
  | ArrayBufferView
  | GuestURLSearchParams
  | GuestReadableStream
  | AsyncIterable<Uint8Array>
  | null;

interface Content {
  readonly bytes?: Uint8Array;
  readonly stream?: GuestReadableStream;
  readonly type?: string;
}

function contentOf(source: BodySource | undefined): Content {
  if (source === undefined || source === null) return {};
  if (source instanceof GuestReadableStream) return { stream: source };
  if (source instanceof GuestURLSearchParams)
    return {
      bytes: new GuestTextEncoder().encode(source.toString()),
      type: "application/x-www-form-urlencoded;charset=UTF-8",
    };
  if (ArrayBuffer.isView(source) || source instanceof ArrayBuffer || source instanceof SharedArrayBuffer)
    return { bytes: toBytes(source).slice() };
  if (typeof source === "object" && Symbol.asyncIterator in source)
    return { stream: GuestReadableStream.from(source) };
  return { bytes: new GuestTextEncoder().encode(source), type: "text/plain;charset=UTF-8" };
}

/** What a request and an answer have in common. */
class Body {
  readonly headers: GuestHeaders;
  #content: Content;
  #body: GuestReadableStream | null | undefined;
  #used = false;

  constructor(source: BodySource | undefined, headers: HeadersSource | null | undefined) {
    this.headers = new GuestHeaders(headers);
    this.#content = contentOf(source);
    const { type } = this.#content;
    if (type !== undefined && !this.headers.has("content-type")) this.headers.set("content-type", type);
  }

  get body(): GuestReadableStream | null {
    const { bytes, stream = bytes && GuestReadableStream.from(bytes.length > 0 ? [bytes] : []) } =
      this.#content;
    return (this.#body ??= stream ?? null);
  }

  get bodyUsed(): boolean {
    return this.#used;
  }

  async bytes(): Promise<Uint8Array> {
    if (this.#used || this.#body?.locked) throw new TypeError("Body is unusable: Body has already been read");
    this.#used = true;
    const { bytes } = this.#content;
    if (bytes && this.#body === undefined) return bytes;
    const { body } = this;
    if (!body) return new Uint8Array(0);
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of body) {
      pieces.push(piece);
      size += piece.length;
    }
    const whole = new Uint8Array(size);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  async arrayBuffer(): Promise<ArrayBufferLike> {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }

  async text(): Promise<string> {
    return new GuestTextDecoder().decode(await this.bytes());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text()) as unknown;
  }

  /** For a second reader of what was given as a whole; a stream can be had once. */
  static copyable(body: Body): BodySource {
    if (body.#used) throw new TypeError("Body has already been consumed.");
    const { bytes, stream } = body.#content;
    if (stream)
      throw new TypeError("A streamed body cannot be read twice here: read it, then use the bytes.");
    return bytes ?? null;
  }

  /** What a request made from this one sends. */
  static source(body: Body): BodySource {
    return body.#content.bytes ?? body.#content.stream ?? null;
  }
}

interface ResponseInit {
  readonly status?: number;
  readonly statusText?: string;
  readonly headers?: HeadersSource;
}

export class GuestResponse extends Body {
  readonly status: number;
  readonly statusText: string;
  readonly type: string = "default";
  /** Given by whoever fetched it. */
  readonly url: string = "";
  readonly redirected: boolean = false;

  constructor(body?: BodySource, { status = 200, statusText = "", headers }: ResponseInit = {}) {
    super(body, headers);
    if (!Number.isInteger(status) || status < 200 || status > 599)
      throw new RangeError('init["status"] must be in the range of 200 to 599, inclusive.');
    this.status = status;
    this.statusText = statusText;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  clone(): GuestResponse {
    return new GuestResponse(Body.copyable(this), this);
  }

  static json(data: unknown, init: ResponseInit = {}): GuestResponse {
    const headers = new GuestHeaders(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new GuestResponse(JSON.stringify(data), { ...init, headers });
  }

  static redirect(url: string, status = 302): GuestResponse {
    return new GuestResponse(null, { status, headers: { location: new GuestURL(url).href } });
  }

  static error(): GuestResponse {
    throw new TypeError("Response.error() has no use here: throw an error");
  }
}

interface RequestInit {
  readonly method?: string;
  readonly headers?: HeadersSource;
  readonly body?: BodySource;
  readonly redirect?: "follow" | "manual" | "error";
  readonly signal?: AbortSignal | null;
}

export class GuestRequest extends Body {
  readonly url: string;
  readonly method: string;
  readonly redirect: "follow" | "manual" | "error";
  readonly signal: AbortSignal;

  constructor(input: string | GuestURL | GuestRequest, init: RequestInit = {}) {
    const from = input instanceof GuestRequest ? input : undefined;
    const body = init.body ?? (from ? Body.source(from) : undefined);
    super(body, init.headers ?? from?.headers);
    this.url = from?.url ?? new GuestURL(input as string | GuestURL).href;
    const method = init.method ?? from?.method ?? "GET";
    const upper = method.toUpperCase();
    this.method = /^(?:DELETE|GET|HEAD|OPTIONS|POST|PUT)$/.test(upper) ? upper : method;
    if (body !== undefined && body !== null && /^(?:GET|HEAD)$/.test(this.method))
      throw new TypeError("Request with GET/HEAD method cannot have body.");
    this.redirect = init.redirect ?? from?.redirect ?? "follow";
    this.signal = init.signal ?? from?.signal ?? new AbortController().signal;
  }

  clone(): GuestRequest {
    return new GuestRequest(this, { body: Body.copyable(this) });
  }
}
