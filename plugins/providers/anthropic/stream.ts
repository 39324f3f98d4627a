import type { Anthropic } from "@anthropic-ai/sdk";
import type { Chunk, Usage } from "@rclaw/plugin-sdk";

type Stop = Extract<Chunk, { type: "end" }>["stopReason"];

const stops: Readonly<Record<string, Stop>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  pause_turn: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "toolUse",
  refusal: "refusal",
};

interface OpenTool {
  readonly id: string;
  readonly name: string;
  json: string;
}

/** A long file takes minutes to write, and nothing else is heard of it before it is whole. */
const atWork: Chunk = { type: "thinking", delta: "" };
const signEveryMs = 1_000;

/** The API's events as chunks. Without `message_stop` there is no `end`: the stream was cut, and whoever reads it must know. */
export async function* toChunks(events: AsyncIterable<Anthropic.MessageStreamEvent>): AsyncGenerator<Chunk> {
  const tools = new Map<number, OpenTool>();
  let usage: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  let stop: string | null = null;
  let signAt = Date.now();
  const isDue = (): boolean => {
    const isLate = Date.now() - signAt >= signEveryMs;
    if (isLate) signAt = Date.now();
    return isLate;
  };
  for await (const event of events) {
    switch (event.type) {
      case "message_start":
        usage = counted(usage, event.message.usage);
        break;
      case "content_block_start": {
        const block = event.content_block;
        if (block.type === "tool_use") tools.set(event.index, { id: block.id, name: block.name, json: "" });
        else if (block.type === "redacted_thinking")
          yield { type: "thinking", delta: "", signature: `redacted:${block.data}` };
        else if (block.type === "text" && block.text) yield { type: "text", delta: block.text };
        break;
      }
      case "content_block_delta": {
        const { delta } = event;
        if (delta.type === "text_delta") yield { type: "text", delta: delta.text };
        else if (delta.type === "thinking_delta") yield { type: "thinking", delta: delta.thinking };
        else if (delta.type === "signature_delta")
          yield { type: "thinking", delta: "", signature: delta.signature };
        else if (delta.type === "input_json_delta") {
          append(tools.get(event.index), delta.partial_json);
          if (isDue()) yield atWork;
        }
        break;
      }
      case "content_block_stop": {
        const tool = tools.get(event.index);
        tools.delete(event.index);
        if (tool) yield { type: "tool_use", id: tool.id, name: tool.name, input: parse(tool.json) };
        break;
      }
      case "message_delta":
        stop = event.delta.stop_reason ?? stop;
        usage = counted(usage, event.usage);
        break;
      case "message_stop":
        if (stop === null) return;
        yield { type: "end", stopReason: stops[stop] ?? "stop", usage };
        return;
    }
  }
}

function append(tool: OpenTool | undefined, json: string): void {
  if (tool) tool.json += json;
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

interface Counts {
  readonly input_tokens?: number | null;
  readonly output_tokens?: number | null;
  readonly cache_read_input_tokens?: number | null;
  readonly cache_creation_input_tokens?: number | null;
}

/** Counts are totals so far; a later event may leave out what has not changed. */
function counted(before: Usage, counts: Counts | undefined): Usage {
  return {
    input: counts?.input_tokens ?? before.input,
    output: counts?.output_tokens ?? before.output,
    cacheRead: counts?.cache_read_input_tokens ?? before.cacheRead,
    cacheWrite: counts?.cache_creation_input_tokens ?? before.cacheWrite,
  };
}
