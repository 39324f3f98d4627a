import { type Chunk, type CompletionRequest, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { createAnswer, type Event } from "./answer.ts";
import { broken, refusal } from "./failures.ts";
import { toBody } from "./request.ts";
import type { Server } from "./server.ts";

const place = "models.providers.openai-compatible";

/** One streamed answer, read by hand. Asking again after a failure is the agent's business. */
export async function* streamChat(
  request: CompletionRequest,
  server: Server,
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  // Its own, so that the connection is closed as well when nobody reads on.
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const body = JSON.stringify(toBody(request, server.config));
    const response = await server.ask("/chat/completions", { method: "POST", body }, controller.signal);
    const answer = createAnswer();
    for await (const event of events(response, server)) yield* answer.add(event);
    yield* answer.end();
  } catch (error) {
    if (signal.aborted) throw new RclawError("ABORTED", `the request to ${server.id} was stopped`);
    throw isRclawError(error) && error.message.startsWith(server.id) ? error : named(error, server.id);
  } finally {
    signal.removeEventListener("abort", onAbort);
    controller.abort();
  }
}

function named(error: unknown, id: string): RclawError {
  return isRclawError(error) && !/^(?:UNAVAILABLE|TIMEOUT)$/.test(error.code) ? error : broken(id, error);
}

async function* events(response: Response, server: Server): AsyncGenerator<Event> {
  const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
  if (/^application\/json$/i.test(type)) return yield whole(await response.json(), server);
  if (!response.body || /^text\/html$/i.test(type))
    throw new RclawError(
      "INVALID_REQUEST",
      `${server.id} answered with ${type || "nothing"} instead of a stream; check ${place}.baseUrl, which ends in /v1 for most servers`,
    );
  for await (const data of eventData(response.body)) {
    if (data === "[DONE]") return;
    const event = JSON.parse(data) as Event;
    if (event.error !== undefined) throw within(data, server);
    yield event;
  }
}

/** A server that does not stream answers with one document, which is one event. */
function whole(document: unknown, server: Server): Event {
  const { choices, usage, error } = document as Pick<Event, "usage" | "error"> & {
    readonly choices?: readonly { readonly message?: object; readonly finish_reason?: string }[];
  };
  if (error !== undefined || !choices?.length) throw within(JSON.stringify(document), server);
  return {
    choices: choices.map(({ message = {}, finish_reason = "stop" }) => ({ delta: message, finish_reason })),
    ...(usage && { usage }),
  };
}

/** An error inside an answer has no status of its own, at most one in its words. */
function within(said: string, server: Server): RclawError {
  const { error } = JSON.parse(said) as {
    error?: { code?: unknown; status?: unknown; type?: unknown } | string;
  };
  const { code, status, type } = typeof error === "object" ? error : {};
  const number = [status, code].map(Number).find((value) => value >= 400 && value < 600);
  const isLimit = [code, type].some((word) => typeof word === "string" && /rate_limit/.test(word));
  return refusal(
    { status: number ?? (isLimit ? 429 : 500), said: server.withoutKey(said) },
    { id: server.id, place },
  );
}

/** Server-sent events: the data of each, whose lines may end in any of three ways and be cut anywhere. */
async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  const take = function* (lines: readonly string[]): Generator<string> {
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      if (line !== "" || data.length === 0) continue;
      yield data.join("\n");
      data = [];
    }
  };
  for await (const piece of body) {
    rest += decoder.decode(piece, { stream: true });
    // A carriage return at the end may be the first half of a line's end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    yield* take(lines);
  }
  // Some servers leave out the blank line after the last event.
  yield* take([...(rest + decoder.decode()).split(/\r\n|\n|\r/), ""]);
}
