import { RclawError } from "../errors.ts";
import type { Chunk, CompletionRequest, Provider } from "../provider.ts";

/**
 * One answer of a scripted provider: a text (streamed word by word), the chunks as
 * they are to come, an error, or a function that decides when it sees the request.
 * Chunks without an `end` are a stream that was cut.
 */
export type ScriptedStep =
  | string
  | Error
  | readonly Chunk[]
  | ((request: CompletionRequest, signal: AbortSignal) => ScriptedStep | AsyncIterable<Chunk>);

/**
 * A provider that answers from a script, one step a request, and keeps the requests.
 * Asked more often than the script is long it throws, so a loop that does not end is seen.
 */
export function scriptedProvider(
  steps: readonly ScriptedStep[],
  { id = "scripted", rank = 1 }: { id?: string; rank?: number } = {},
): Provider & { readonly requests: readonly CompletionRequest[] } {
  const requests: CompletionRequest[] = [];
  return {
    id,
    requests,
    ready: () => Promise.resolve({ ok: true, reason: "scripted", defaultModel: "script-1", rank }),
    models: () => Promise.resolve([{ id: "script-1", name: "Script" }]),
    async *stream(request, signal) {
      const step = steps[requests.length];
      requests.push(request);
      if (step === undefined) {
        throw new RclawError(
          "INVALID_REQUEST",
          `the script of "${id}" has only ${steps.length} steps, and this is request ${requests.length}`,
        );
      }
      for await (const chunk of play(step, request, signal)) {
        if (signal.aborted) throw new RclawError("ABORTED", `"${id}" was aborted`);
        yield chunk;
      }
    },
  };
}

async function* play(
  step: ScriptedStep | AsyncIterable<Chunk>,
  request: CompletionRequest,
  signal: AbortSignal,
): AsyncIterable<Chunk> {
  if (step instanceof Error) throw step;
  if (typeof step === "function") {
    yield* play(step(request, signal), request, signal);
    return;
  }
  if (typeof step !== "string") {
    yield* step;
    return;
  }
  for (const delta of step.match(/\s*\S+\s*$|\s*\S+/g) ?? []) yield { type: "text", delta };
  yield { type: "end", stopReason: "stop", usage: { input: 10, output: 12, cacheRead: 0, cacheWrite: 0 } };
}
