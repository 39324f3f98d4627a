import { type Chunk, type CompletionRequest, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { retryAfter } from "@rclaw/plugin-sdk/refusals";
import { broken, noStream, refusal, unreachable, withName } from "./errors.ts";
import { headersOf, type Server } from "./server.ts";
import { type Event, Gathering, toBody } from "./wire.ts";

/**
 * One streamed answer, without an SDK: it would cost a small machine 12 MB, which is
 * where models of one's own tend to run.
 */
export async function* streamChat(
  request: CompletionRequest,
  signal: AbortSignal,
  server: Server,
): AsyncGenerator<Chunk> {
  // Its own, so that the connection is closed as well when nobody reads on.
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const response = await open(request, controller.signal, server);
    const gathering = new Gathering();
    for await (const event of eventsOf(response, { model: request.model, server }))
      yield* gathering.add(event);
    yield* gathering.end();
  } catch (error) {
    if (signal.aborted) throw new RclawError("ABORTED", `the request to ${server.provider} was stopped`);
    throw isRclawError(error) ? withName(server, error) : broken(server, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
    controller.abort();
  }
}

async function open(request: CompletionRequest, signal: AbortSignal, server: Server): Promise<Response> {
  const headers = { ...(await headersOf(server)), "content-type": "application/json" };
  const body = JSON.stringify(toBody(request, server.config));
  let response: Response;
  try {
    response = await server.fetch(`${server.baseUrl}/chat/completions`, {
      method: "POST",
      headers,
      body,
      signal,
    });
  } catch (error) {
    // A refusal by policy says what to change; what cannot be reached is said in the person's words.
    if (isRclawError(error) && error.code !== "UNAVAILABLE") throw error;
    throw unreachable(server, error);
  }
  if (response.ok) return response;
  const said = await response.text().catch(() => "");
  const key = await server.key();
  const shown = key ? said.replaceAll(key, "[redacted]") : said;
  throw refusal(response.status, shown, {
    server,
    model: request.model,
    retryAfterMs: retryAfter(response.headers),
  });
}

/** The answer's events; a server that does not stream answers with one document, which is one event. */
async function* eventsOf(
  response: Response,
  place: { model: string; server: Server },
): AsyncGenerator<Event> {
  const type = response.headers.get("content-type") ?? "";
  if (/^text\/html/i.test(type)) throw noStream(place.server, type);
  if (/^application\/json/i.test(type)) {
    const document = (await response.json()) as Whole;
    if (document.error !== undefined) throw refusal(500, JSON.stringify(document), place);
    if (!document.choices?.length) throw noStream(place.server, type);
    yield whole(document);
    return;
  }
  for await (const line of linesOf(response)) {
    if (!line.startsWith("data:")) continue;
    const data = line.slice("data:".length).trim();
    if (data === "[DONE]") return;
    const event = JSON.parse(data) as Event;
    if (event.error !== undefined) throw refusal(500, data, place);
    yield event;
  }
}

interface Whole {
  readonly choices?: readonly { readonly message?: object; readonly finish_reason?: string }[];
  readonly usage?: Event["usage"];
  readonly error?: unknown;
}

function whole({ choices = [], usage }: Whole): Event {
  return {
    choices: choices.map(({ message = {}, finish_reason = "stop" }) => ({ delta: message, finish_reason })),
    ...(usage && { usage }),
  };
}

async function* linesOf({ body }: Response): AsyncGenerator<string> {
  if (!body) return;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of body) {
    rest += decoder.decode(piece, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    yield* lines.map((line) => line.trimEnd());
  }
  yield rest.trimEnd();
}
