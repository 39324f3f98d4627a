import { type Block, RclawError, type Usage } from "@rclaw/plugin-sdk";
import type { LoopEvent } from "./loop.ts";
import { type HistoryMessage, storedAssistant, storedToolResult, textOf } from "./messages.ts";
import type { ModelRef } from "./models.ts";
import { isSilent } from "./text.ts";
import type { TurnOptions, TurnParts } from "./turn.ts";
import { placeOf, type Work } from "./work.ts";

type Said = Extract<LoopEvent, { type: "assistant" }>;

/** What the loop does goes to whoever watches, into the transcript, and to the hooks, one event after the other. */
export function recorder(
  work: Work,
  options: TurnOptions,
  { context: { hooks }, now }: TurnParts,
): (event: LoopEvent) => Promise<void> {
  const { session, writer } = work;
  const { run, events } = options;
  const place = placeOf(work, options);

  async function assistantSaid({ content, from, usage, stopReason }: Said): Promise<void> {
    const said = textOf(content);
    work.from = from;
    work.usage = sum(work.usage, usage);
    work.lastUsage = usage;
    if (stopReason === "refusal" && said.trim() === "") throw refused(from);
    const stored = storedAssistant(content, { from, usage, stopReason, timestamp: now() });
    await writer.add(stored, content.length > 0 ? assistant(content, from) : undefined);
    if (said.trim() !== "" && !isSilent(said)) work.texts.push(said.trim());
    void hooks.run(
      "llm_output",
      {
        runId: run.id,
        sessionId: session.entry.sessionId,
        provider: from.provider,
        model: from.model,
        assistantTexts: [...work.texts],
        lastAssistant: stored,
        usage: { ...usage, total: total(usage) },
      },
      place,
    );
    if (content.some(({ type }) => type === "tool_use")) events.nextAnswer();
  }

  return async (event) => {
    switch (event.type) {
      case "text":
        events.add(event.delta);
        break;
      case "assistant":
        await assistantSaid(event);
        break;
      case "tool-start":
        // From here on something may happen outside: the call must be on disk, or a restart would not know of it.
        await writer.flush();
        events.toolStart(event.id, event.name, event.input);
        break;
      case "tool-result": {
        const { id, name, content, isError } = event.outcome;
        events.toolResult(id, name, event.outcome);
        await writer.add(storedToolResult(event.outcome, now()), {
          role: "user",
          content: [{ type: "tool_result", id, content, isError }],
        });
        break;
      }
      case "thinking":
        break;
    }
  };
}

function refused({ provider, model }: ModelRef): RclawError {
  return new RclawError(
    "UNAVAILABLE",
    `The model ${provider}/${model} declined to answer this; put it differently or choose another model`,
    {
      details: { kind: "refusal" },
    },
  );
}

const assistant = (content: readonly Block[], { provider }: ModelRef): HistoryMessage => ({
  role: "assistant",
  content: [...content],
  maker: provider,
});

const total = ({ input, output, cacheRead, cacheWrite }: Usage): number =>
  input + output + cacheRead + cacheWrite;

function sum(a: Usage, b: Usage): Usage {
  return {
    input: a.input + b.input,
    output: a.output + b.output,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite: a.cacheWrite + b.cacheWrite,
  };
}
