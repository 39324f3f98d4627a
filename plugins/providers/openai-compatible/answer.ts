import type { Chunk, Usage } from "@rclaw/plugin-sdk";

interface Fragment {
  readonly index?: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: unknown };
}

interface Delta {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
  readonly tool_calls?: readonly Fragment[] | null;
}

/** One event of the stream, as far as it is read. */
export interface Event {
  readonly choices?: readonly { readonly delta?: Delta; readonly finish_reason?: string | null }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly error?: unknown;
}

interface OpenCall {
  readonly index: number;
  id: string;
  name: string;
  json: string;
}

const signEveryMs = 1_000;

/** Gathers one answer. Without a finish reason it was cut, and there is no `end`. */
export function createAnswer() {
  const calls: OpenCall[] = [];
  let usage: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  let finish: string | undefined;
  let signedAt = Date.now();

  function gather({ index, id, function: part }: Fragment): void {
    // Some servers leave the index out and send each call whole; others give every call the index 0.
    const isNew = (call: OpenCall): boolean => Boolean(id && call.id && id !== call.id);
    let call = index === undefined ? undefined : calls.findLast((open) => open.index === index);
    if (!call || isNew(call)) {
      call = { index: index ?? calls.length, id: "", name: "", json: "" };
      calls.push(call);
    }
    call.id ||= id ?? "";
    call.name ||= part?.name ?? "";
    const written = part?.arguments ?? "";
    call.json += typeof written === "string" ? written : JSON.stringify(written);
  }

  return {
    *add({ choices, usage: spent }: Event): Generator<Chunk> {
      if (spent) usage = toUsage(spent);
      const [choice] = choices ?? [];
      if (!choice) return;
      const { delta } = choice;
      const thinking = delta?.reasoning_content ?? delta?.reasoning;
      if (thinking) yield { type: "thinking", delta: thinking };
      if (delta?.content) yield { type: "text", delta: delta.content };
      for (const fragment of delta?.tool_calls ?? []) gather(fragment);
      if (delta?.tool_calls && Date.now() - signedAt >= signEveryMs) {
        // Long arguments take minutes to write, and nothing else is heard before they are whole.
        signedAt = Date.now();
        yield { type: "thinking", delta: "" };
      }
      finish = choice.finish_reason ?? finish;
    },
    *end(): Generator<Chunk> {
      if (finish === undefined) return;
      const ordered = [...calls].sort((a, b) => a.index - b.index);
      for (const [place, { id, name, json }] of ordered.entries())
        yield { type: "tool_use", id: id || `call_${place}`, name, input: parse(json) };
      yield { type: "end", stopReason: stopOf(finish, calls.length > 0), usage };
    },
  };
}

function toUsage({
  prompt_tokens,
  completion_tokens,
  prompt_tokens_details,
}: NonNullable<Event["usage"]>): Usage {
  const cacheRead = prompt_tokens_details?.cached_tokens ?? 0;
  const input = Math.max(0, (prompt_tokens ?? 0) - cacheRead);
  return { input, output: completion_tokens ?? 0, cacheRead, cacheWrite: 0 };
}

/** What is no JSON stays text: the agent tells the model so, which can then put it right. */
function parse(json: string): unknown {
  if (json.trim() === "") return {};
  try {
    return (JSON.parse(json) as unknown) ?? {};
  } catch {
    return json;
  }
}

function stopOf(finish: string, hasCalls: boolean): Extract<Chunk, { type: "end" }>["stopReason"] {
  if (finish === "length") return "length";
  if (finish === "content_filter") return "refusal";
  // Some say "stop" after a call as well.
  return hasCalls ? "toolUse" : "stop";
}
