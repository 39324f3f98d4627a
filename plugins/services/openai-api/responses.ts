import { randomBytes, randomUUID } from "node:crypto";
import type { PluginContext, Route, RouteRequest } from "@rclaw/plugin-sdk";
import { compile, type Issue } from "@rclaw/plugin-sdk/schema/check";
import type { Static } from "typebox";
import { done, events, internal, json, parsed, refused, told } from "./answers.ts";
import { filesIn, imageOnly, imagesIn } from "./attachments.ts";
import { type Entry, messageOf, textOf } from "./prompt.ts";
import { responseBody } from "./responses.schema.ts";
import type { Asked, FollowedRun, Result, Runner } from "./run.ts";
import { agentFor, modelFor, sessionFor } from "./target.ts";
import { refuseForcedTools } from "./tools.ts";

type Body = Static<typeof responseBody>;
type Part = Readonly<Record<string, unknown>>;

interface Head {
  readonly id: string;
  readonly model: string;
}

const uuid = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const idPattern = new RegExp(`^resp_(${uuid})(?:_[0-9a-f]{8})?$`);
const noUsage = { input: 0, output: 0, total: 0 };

/** POST /v1/responses. */
export function createResponses({ sessions, log }: PluginContext, run: Runner): Route["handle"] {
  const check = compile(responseBody);

  function bodyOf(request: RouteRequest): Body {
    const given = parsed(request.body);
    if (check.valid(given)) return given as Body;
    throw refused(wording(check.issues(given), given));
  }

  /** The conversation's id stands in each of its answers' ids, so that the next request finds it after a restart as well. */
  async function place(request: RouteRequest, { user, model, previous_response_id: previous }: Body) {
    const agent = agentFor(request, model, sessions);
    const before = previous ? idPattern.exec(previous)?.[1] : undefined;
    const id = before ?? randomUUID();
    const sessionKey = sessionFor(request, { agent, user, prefix: "openresponses", id }, sessions);
    const isNamed = !sessionKey.endsWith(`openresponses:${id}`);
    if (previous && !isNamed && (before === undefined || !(await sessions.find(sessionKey))))
      throw refused(`Previous response with id '${previous.slice(0, 128)}' not found.`);
    return {
      sessionKey,
      id: before === undefined ? `resp_${id}` : `resp_${id}_${randomBytes(4).toString("hex")}`,
    };
  }

  async function askedOf(request: RouteRequest, body: Body): Promise<Asked> {
    refuseForcedTools(body);
    const { message, system, images } = promptOf(body.input);
    if (message === "") throw refused("Missing user message in `input`.");
    const { sessionKey, id } = await place(request, body);
    const extraSystemPrompt = [body.instructions ?? "", system].filter(Boolean).join("\n\n");
    const { caller } = request;
    return { caller, runId: id, sessionKey, message, extraSystemPrompt, images, model: modelFor(request) };
  }

  return async (request, signal) => {
    let head: Head | undefined;
    try {
      const body = bodyOf(request);
      const asked = await askedOf(request, body);
      head = { id: asked.runId, model: body.model };
      const started = await run(asked, signal);
      if (body.stream === true) return events(stream(started, head));
      const { text, usage } = await started.result;
      const output = [messageItem(`msg_${randomUUID()}`, text, "completed")];
      return json(200, resource(head, { status: "completed", output, usage }));
    } catch (error) {
      const known = told(error);
      if (known || !head) return json(known?.status ?? 500, { error: known?.error ?? internal });
      log.warn({ err: error, runId: head.id }, "a response failed");
      return json(500, resource(head, failed));
    }
  };

  async function* stream({ pieces, result }: FollowedRun, head: Head): AsyncGenerator<string> {
    const item = `msg_${randomUUID()}`;
    const event = (type: string, fields: object): string =>
      `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
    const at = { item_id: item, output_index: 0, content_index: 0 };
    const part = (text: string) => ({ part: { type: "output_text", text } });
    const begun = { response: resource(head, { status: "in_progress", output: [] }) };
    // Nobody else looks at it when the client leaves in the middle.
    result.catch(() => undefined);
    yield event("response.created", begun);
    yield event("response.in_progress", begun);
    yield event("response.output_item.added", {
      output_index: 0,
      item: messageItem(item, "", "in_progress"),
    });
    yield event("response.content_part.added", { ...at, ...part("") });
    let text = "";
    for await (const delta of pieces) {
      text += delta;
      yield event("response.output_text.delta", { ...at, delta });
    }
    try {
      const { usage } = await result;
      const whole = messageItem(item, text, "completed");
      yield event("response.output_text.done", { ...at, text });
      yield event("response.content_part.done", { ...at, ...part(text) });
      yield event("response.output_item.done", { output_index: 0, item: whole });
      yield event("response.completed", {
        response: resource(head, { status: "completed", output: [whole], usage }),
      });
    } catch (error) {
      log.warn({ err: error, runId: head.id }, "a response failed while it was streamed");
      yield event("response.failed", { response: resource(head, failed) });
    }
    yield done;
  }
}

const failed = {
  status: "failed",
  output: [],
  error: { code: "api_error", message: "internal error" },
} as const;

function resource(
  { id, model }: Head,
  {
    status,
    output,
    usage = noUsage,
    error,
  }: { status: string; output: readonly object[]; usage?: Result["usage"]; error?: object },
): object {
  return {
    id,
    object: "response",
    created_at: Math.floor(Date.now() / 1_000),
    status,
    model,
    output,
    usage: {
      input_tokens: usage.total - usage.output,
      output_tokens: usage.output,
      total_tokens: usage.total,
    },
    ...(error && { error }),
  };
}

function messageItem(id: string, text: string, status: string): object {
  return { type: "message", id, role: "assistant", content: [{ type: "output_text", text }], status };
}

function promptOf(input: Body["input"]): Pick<Asked, "message" | "images"> & { readonly system: string } {
  if (typeof input === "string") return { message: input.trim(), images: [], system: "" };
  const system: string[] = [];
  const entries: Entry[] = [];
  let images: Asked["images"] = [];
  for (const item of input as readonly Part[]) {
    const { type = "message", role, content, call_id: callId, output } = item;
    if (type === "function_call_output") {
      const body = typeof output === "string" ? output : textOf(output);
      entries.push({ role: "tool", sender: `Tool:${String(callId)}`, body });
      images = [];
    }
    if (type !== "message") continue;
    const isPerson = role === "user";
    const pictures = isPerson ? imagesIn(content) : [];
    const files = isPerson ? filesIn(content) : "";
    const body =
      [textOf(content), files].filter(Boolean).join("\n\n") || (pictures.length > 0 ? imageOnly : "");
    if (body === "") continue;
    if (role === "system" || role === "developer") system.push(body);
    else if (role === "assistant") entries.push({ role, sender: "Assistant", body });
    else {
      entries.push({ role: "user", sender: "User", body });
      images = pictures;
    }
  }
  return { message: messageOf(entries), images, system: system.join("\n\n") };
}

/** The first thing that is wrong, in the words that OpenClaw's clients know. */
function wording(issues: readonly Issue[], body: unknown): string {
  const [first] = issues;
  if (!first) return "Invalid request body";
  const missing = first.keyword === "required" ? /'(.+)'/.exec(first.message)?.[1] : undefined;
  const path = missing === undefined ? first.path : `${first.path}/${missing}`;
  const name = path.slice(1).replaceAll("/", ".");
  if (name === "input") return `${name}: Invalid input`;
  const expected = missing === undefined ? first.message.replace(/^must be /, "") : "string";
  const value = name === "" ? body : (body as Part)[name];
  return `${name}: Invalid input: expected ${expected}, received ${kindOf(value)}`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
