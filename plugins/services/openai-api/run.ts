import type { Caller, PluginContext } from "@rclaw/plugin-sdk";
import { RclawError } from "@rclaw/plugin-sdk";
import { untilAborted } from "@rclaw/plugin-sdk/services/in-time";
import type { Attachment } from "./attachments.ts";

export interface Asked {
  readonly caller: Caller | undefined;
  readonly runId: string;
  readonly sessionKey: string;
  readonly message: string;
  readonly extraSystemPrompt: string;
  readonly images: readonly Attachment[];
  /** From the header x-openclaw-model: `model` in the body names the agent. */
  readonly model: string | undefined;
}

interface Usage {
  readonly input: number;
  readonly output: number;
  readonly total: number;
}

export interface Result {
  readonly text: string;
  readonly usage: Usage;
}

export interface FollowedRun {
  /** The text as it comes; ends with the run, whatever its end. */
  readonly pieces: AsyncIterable<string>;
  readonly result: Promise<Result>;
}

export type Runner = ReturnType<typeof createRunner>;

interface AgentEvent {
  readonly runId: string;
  readonly stream: string;
  readonly data: { readonly text?: string; readonly delta?: string };
}

/** What OpenAI's clients show when the agent chose to say nothing: the words they know from OpenClaw. */
const nothing = "No response from OpenClaw.";

/** Runs of the agent on behalf of whoever asked over HTTP. One that nobody waits for any more is stopped. */
export function createRunner({ methods, gateway, signal: life, log }: PluginContext) {
  const followers = new Map<string, (text: string, delta: string) => void>();
  gateway.onEvent((event, payload) => {
    if (event !== "agent") return;
    const { runId, stream, data } = payload as AgentEvent;
    if (stream === "assistant") followers.get(runId)?.(data.text ?? "", data.delta ?? "");
  });

  function stop({ caller, sessionKey, runId }: Asked): void {
    // A turn later: the agent says that it accepted before the run is there to be stopped.
    queueMicrotask(() => {
      methods
        .call("chat.abort", { sessionKey, runId }, caller ? { as: caller } : {})
        .catch((error: unknown) =>
          log.warn({ err: error, runId }, "a run that nobody waits for was not stopped"),
        );
    });
  }

  /** Resolves when the run is accepted; rejects when it is refused. */
  return async (asked: Asked, signal: AbortSignal): Promise<FollowedRun> => {
    const { caller, runId, sessionKey, message, extraSystemPrompt, images, model } = asked;
    const text = createText();
    followers.set(runId, text.add);
    const ends = AbortSignal.any([signal, life]);
    const params = {
      message,
      sessionKey,
      idempotencyKey: runId,
      deliver: false,
      ...(model && { model }),
      ...(extraSystemPrompt !== "" && { extraSystemPrompt }),
      ...(images.length > 0 && { attachments: images }),
    };
    let isAccepted = false;
    let accept: () => void = () => undefined;
    const accepted = new Promise<void>((resolve) => (accept = resolve));
    const call = methods.call("agent", params, {
      signal: ends,
      ...(caller && { as: caller }),
      onAccepted() {
        isAccepted = true;
        accept();
        if (signal.aborted) stop(asked);
      },
    });
    const onAbort = (): void => void (isAccepted && stop(asked));
    signal.addEventListener("abort", onAbort, { once: true });
    const result = untilAborted(call, ends, `run ${runId}`)
      .then(resultOf)
      .finally(() => {
        followers.delete(runId);
        signal.removeEventListener("abort", onAbort);
      });
    result.then(
      (whole) => text.end(whole.text),
      () => text.end(undefined),
    );
    await Promise.race([accepted, result]);
    return { pieces: text.pieces(), result };
  };
}

function resultOf(answer: unknown): Result {
  const { result } = answer as {
    result?: {
      payloads?: readonly { text?: string }[];
      meta?: { agentMeta?: { usage?: Usage } };
    };
  };
  if (!result) throw new RclawError("UNAVAILABLE", "the run ended without a result");
  const texts = (result.payloads ?? []).map(({ text = "" }) => text).filter(Boolean);
  const usage = result.meta?.agentMeta?.usage ?? { input: 0, output: 0, total: 0 };
  return { text: texts.join("\n\n") || nothing, usage };
}

/** What a run says, for one reader. What came while it did not read is one piece. */
function createText() {
  let waiting = "";
  let sent = "";
  let isOver = false;
  let wake: () => void = () => undefined;

  function give(piece: string): void {
    waiting += piece;
    sent += piece;
    wake();
  }

  return {
    add(text: string, delta: string): void {
      if (isOver || delta === "") return;
      // Between its tools the model begins anew; the whole result has a blank line there.
      give(sent !== "" && text === delta ? `\n\n${delta}` : delta);
    },
    end(whole: string | undefined): void {
      if (isOver) return;
      isOver = true;
      if (whole !== undefined && whole.startsWith(sent)) give(whole.slice(sent.length));
      wake();
    },
    async *pieces(): AsyncGenerator<string> {
      for (;;) {
        const piece = waiting;
        waiting = "";
        if (piece !== "") yield piece;
        else if (isOver) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
