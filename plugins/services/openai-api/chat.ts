import { randomUUID } from "node:crypto";
import type { PluginContext, Route, RouteRequest } from "@rclaw/plugin-sdk";
import { done, events, internal, json, parsed, refused, told } from "./answers.ts";
import { imageOnly, imagesIn } from "./attachments.ts";
import { type Entry, messageOf, textOf } from "./prompt.ts";
import type { Asked, FollowedRun, Result, Runner } from "./run.ts";
import { agentFor, modelFor, sessionFor } from "./target.ts";
import { refuseForcedTools } from "./tools.ts";

type Body = Readonly<Record<string, unknown>>;

/** POST /v1/chat/completions. */
export function createChat({ sessions, log }: PluginContext, run: Runner): Route["handle"] {
  function askedOf(request: RouteRequest, body: Body, runId: string, model: string): Asked {
    const agent = agentFor(request, model, sessions);
    const sessionKey = sessionFor(request, { agent, user: body["user"], prefix: "openai" }, sessions);
    const { message, extraSystemPrompt, images } = promptOf(body["messages"]);
    if (message === "" && images.length === 0) throw refused("Missing user message in `messages`.");
    refuseForcedTools(body);
    const { caller } = request;
    return { caller, runId, sessionKey, message, extraSystemPrompt, images, model: modelFor(request) };
  }

  return async (request, signal) => {
    const runId = `chatcmpl_${randomUUID()}`;
    try {
      const given = parsed(request.body);
      const body = (typeof given === "object" && given !== null ? given : {}) as Body;
      const model = typeof body["model"] === "string" ? body["model"] : "openclaw";
      const started = await run(askedOf(request, body, runId, model), signal);
      const head = { id: runId, created: Math.floor(Date.now() / 1_000), model };
      if (body["stream"] === true) return events(stream(started, head, wantsUsage(body)));
      return json(200, completion(await started.result, head));
    } catch (error) {
      return failure(error, runId);
    }
  };

  function failure(error: unknown, runId: string) {
    const known = told(error);
    if (known) return json(known.status, { error: known.error });
    log.warn({ err: error, runId }, "a chat completion failed");
    return json(500, { error: internal });
  }

  async function* stream(
    { pieces, result }: FollowedRun,
    head: Head,
    withUsage: boolean,
  ): AsyncGenerator<string> {
    const chunk = (fields: object): string =>
      `data: ${JSON.stringify({ id: head.id, object: "chat.completion.chunk", created: head.created, model: head.model, ...fields })}\n\n`;
    const choice = (delta: object, reason: string | null): string =>
      chunk({ choices: [{ index: 0, delta, finish_reason: reason }] });
    // Nobody else looks at it when the client leaves in the middle.
    result.catch(() => undefined);
    yield choice({ role: "assistant" }, null);
    for await (const content of pieces) yield choice({ content }, null);
    try {
      const { usage } = await result;
      yield choice({}, "stop");
      if (withUsage) yield chunk({ choices: [], usage: usageOf(usage) });
    } catch (error) {
      log.warn({ err: error, runId: head.id }, "a chat completion failed while it was streamed");
      yield `data: ${JSON.stringify({ error: told(error)?.error ?? internal })}\n\n`;
    }
    yield done;
  }
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

function completion({ text, usage }: Result, { id, created, model }: Head): object {
  const message = { role: "assistant", content: text };
  return {
    id,
    object: "chat.completion",
    created,
    model,
    choices: [{ index: 0, message, finish_reason: "stop" }],
    usage: usageOf(usage),
  };
}

/** What was read from a cache was read too. */
function usageOf({ output, total }: Result["usage"]): object {
  return { prompt_tokens: total - output, completion_tokens: output, total_tokens: total };
}

function wantsUsage({ stream_options: options }: Body): boolean {
  return (options as { include_usage?: unknown } | undefined)?.include_usage === true;
}

function promptOf(messages: unknown): Pick<Asked, "message" | "extraSystemPrompt" | "images"> {
  const system: string[] = [];
  const entries: Entry[] = [];
  let images: Asked["images"] = [];
  for (const item of Array.isArray(messages) ? (messages as unknown[]) : []) {
    if (typeof item !== "object" || item === null) continue;
    const { role: given, content, name, tool_call_id: callId } = item as Body;
    const role = typeof given === "string" ? given.trim() : "";
    const pictures = role === "user" ? imagesIn(content) : [];
    const text = textOf(content) || (pictures.length > 0 ? imageOnly : "");
    if (text === "") continue;
    if (role === "system" || role === "developer") system.push(text);
    else if (role === "user") {
      entries.push({ role, sender: "User", body: text });
      images = pictures;
    } else if (role === "assistant") entries.push({ role, sender: "Assistant", body: text });
    else if (role === "tool" || role === "function") {
      const from = [callId, name].find(
        (word): word is string => typeof word === "string" && word.trim() !== "",
      );
      entries.push({
        role: "tool",
        sender: from === undefined ? "Tool" : `Tool:${from.trim()}`,
        body: text,
      });
      images = [];
    }
  }
  return { message: messageOf(entries), extraSystemPrompt: system.join("\n\n"), images };
}
