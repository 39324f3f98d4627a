import type { Ask, HttpHead, HttpRequest } from "../boundary/calls.ts";
import { RclawError } from "../errors.ts";

/** `fetch` for a plugin behind a boundary: the host does it, and the body comes as the plugin reads it. */
export function farFetch(ask: Ask): typeof fetch {
  const far = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const given: Partial<Request> = typeof input === "object" && !isUrl(input) ? (input as Request) : {};
    const signal = init.signal ?? given.signal ?? undefined;
    const request = await readRequest(input, given, init);
    const gone = new AbortController();
    const onAbort = (): void => gone.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    return new Promise((resolve, reject) => {
      const body = pipe(() => gone.abort());
      ask("http.fetch", request, {
        signal: gone.signal,
        onChunk(chunk) {
          if ("head" in chunk) return resolve(responseOf(chunk.head, request.method, body.stream));
          return body.push(chunk);
        },
      })
        .then(body.end, (error: unknown) => {
          body.fail(error);
          reject(error);
        })
        .finally(() => signal?.removeEventListener("abort", onAbort));
    });
  };
  return far;
}

const isUrl = (input: unknown): input is URL =>
  typeof input === "object" && input !== null && "href" in input && "searchParams" in input;

/** Bytes on their way from the host to whoever reads the body; the sender waits while nobody does. */
function pipe(onCancel: () => void) {
  let sink: ReadableStreamDefaultController<Uint8Array> | undefined;
  let resume: (() => void) | undefined;
  let closed = false;
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => void (sink = controller),
    pull: () => resume?.(),
    cancel() {
      closed = true;
      resume?.();
      onCancel();
    },
  });
  return {
    stream,
    push(bytes: Uint8Array): Promise<void> | undefined {
      if (closed) return undefined;
      sink?.enqueue(bytes);
      if ((sink?.desiredSize ?? 1) > 0) return undefined;
      return new Promise((resolve) => (resume = resolve));
    },
    end(): void {
      if (!closed) sink?.close();
      closed = true;
    },
    fail(error: unknown): void {
      if (!closed) sink?.error(error);
      closed = true;
    },
  };
}

const bodiless = new Set([101, 204, 205, 304]);

function responseOf(
  { status, headers, url }: HttpHead,
  method: string,
  stream: ReadableStream<Uint8Array>,
): Response {
  const isEmpty = bodiless.has(status) || method === "HEAD";
  const init = { status, headers: headers.map(([name, value]): [string, string] => [name, value]) };
  const response = new Response(isEmpty ? null : stream, init);
  // No constructor takes it.
  Object.defineProperty(response, "url", { value: url });
  return response;
}

async function readRequest(input: unknown, given: Partial<Request>, init: RequestInit): Promise<HttpRequest> {
  const url = given.url ?? (isUrl(input) ? input.href : String(input));
  const method = (init.method ?? given.method ?? "GET").toUpperCase();
  const headers = new Headers(init.headers ?? given.headers);
  const source = init.body ?? given.body ?? undefined;
  let body: Uint8Array | undefined;
  if (source !== undefined) {
    if (method === "GET" || method === "HEAD") throw new TypeError(`${method} cannot have a body`);
    // A response takes whatever a request takes, and knows its type.
    const carrier = new Response(source);
    const type = carrier.headers.get("content-type");
    if (type !== null && !headers.has("content-type")) headers.set("content-type", type);
    body = new Uint8Array(await carrier.arrayBuffer());
  }
  const redirect = init.redirect ?? given.redirect;
  if (redirect !== undefined && !["follow", "manual", "error"].includes(redirect))
    throw new RclawError("INVALID_REQUEST", `fetch knows no redirect mode "${redirect}"`);
  const pairs: [string, string][] = [];
  headers.forEach((value, name) => pairs.push([name, value]));
  return { method, url, headers: pairs, ...(body && { body }), ...(redirect && { redirect }) };
}
