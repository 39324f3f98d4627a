import type { PluginContext, ToolResult } from "@rclaw/plugin-sdk";
import { isSilent, maySilence } from "./text.ts";

export interface RunEventsOptions {
  readonly gateway: PluginContext["gateway"];
  readonly runId: string;
  readonly sessionKey: string;
  /** Connections that started the run or joined it and asked for tool events; more may join while it runs. */
  readonly watchers: ReadonlySet<string>;
  /** Tool results go out only in a session whose verbose level is "full". */
  readonly fullTools: boolean;
  readonly now: () => number;
}

export type StopReason = "rpc" | "stop" | "timeout";

const chatDeltaMs = 150;
/**
 * Every delta carries the whole text so far, so what an answer costs grows with its square.
 * From here on its events come the less often the longer it is: about 4 MB of them a second.
 */
const longText = 65_536;
const charsPerMs = 4_096;

/**
 * The events of one run, in the order clients were built against. Text is gathered
 * until the event loop turns, so a model that answers at once costs one event and not
 * one a word; `chat` deltas are rarer still, and the last one always goes out before the end.
 */
export class RunEvents {
  readonly #options: RunEventsOptions;
  #seq = 0;
  #text = "";
  /** Of the current text: how much went out as `agent` deltas, and as `chat` deltas. */
  #sent = 0;
  #chatSent = 0;
  #chatAt = 0;
  #agentAt = 0;
  #replace = false;
  #flush: NodeJS.Immediate | undefined;
  #later: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(options: RunEventsOptions) {
    this.#options = options;
  }

  /** What the model has said in its current answer. */
  get text(): string {
    return this.#text;
  }

  /** The last event is out, though the run may still be busy writing that down. */
  get ended(): boolean {
    return this.#ended;
  }

  start(startedAt: number): void {
    this.#agent("lifecycle", { phase: "start", startedAt });
  }

  add(delta: string): void {
    this.#text += delta;
    this.#flush ??= setImmediate(() => this.#emit(false));
  }

  /** The model begins another answer after its tools; the text starts anew, as it does in the transcript. */
  nextAnswer(): void {
    this.#emit(true);
    this.#replace ||= this.#chatSent > 0;
    this.#text = "";
    this.#sent = 0;
    this.#chatSent = 0;
  }

  toolStart(toolCallId: string, name: string, args: unknown): void {
    this.#emit(true);
    this.#tool({ phase: "start", name, toolCallId, args });
  }

  toolUpdate(toolCallId: string, name: string, text: string): void {
    this.#tool({
      phase: "update",
      name,
      toolCallId,
      ...(this.#options.fullTools && { partialResult: text }),
    });
  }

  toolResult(toolCallId: string, name: string, result: ToolResult): void {
    const { content, isError = false, details } = result;
    const body = { content: [{ type: "text", text: content }], ...(details !== undefined && { details }) };
    this.#tool({
      phase: "result",
      name,
      toolCallId,
      isError,
      ...(this.#options.fullTools && { result: body }),
    });
  }

  end(): void {
    this.#emit(true);
    this.#close();
    this.#agent("lifecycle", { phase: "end", endedAt: this.#options.now() });
    const text = this.#text.trim();
    this.#chat(this.#seq, "final", text === "" || isSilent(text) ? {} : { message: this.#message(text) });
  }

  /** Without a model: no agent events, and the message as the transcript has it. */
  reply(message: Readonly<Record<string, unknown>>): void {
    this.#close();
    this.#chat(++this.#seq, "final", { message });
  }

  fail(errorMessage: string, errorKind?: unknown): void {
    this.#emit(true);
    this.#close();
    this.#agent("lifecycle", { phase: "error", error: errorMessage, endedAt: this.#options.now() });
    const text = this.#text.trim();
    this.#chat(this.#seq, "error", {
      errorMessage,
      ...(typeof errorKind === "string" && { errorKind }),
      ...(text !== "" && { message: this.#message(text) }),
    });
  }

  /** At once, so that the person sees the stop; the end of the run's life follows when it has let go. */
  abort(stopReason: StopReason): void {
    this.#emit(true);
    this.#close();
    const text = this.#text.trim();
    this.#chat(this.#seq + 1, "aborted", {
      stopReason,
      ...(text !== "" && { message: this.#message(text) }),
    });
    this.#agent("lifecycle", { phase: "end", endedAt: this.#options.now(), aborted: true });
  }

  /** Nothing more goes out: the run ended, or it will go on after a restart. */
  #close(): void {
    this.#ended = true;
    clearTimeout(this.#later);
    clearImmediate(this.#flush);
    this.#flush = undefined;
  }

  silence(): void {
    this.#close();
  }

  #emit(last: boolean): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    if (this.#ended) return;
    if (!last && this.#text.length > longText && this.#isTooSoon(this.#text.length)) return;
    // Trailing white space waits for what follows it; a lone line end is no news.
    const text = this.#text.trimEnd();
    if (text.length <= this.#sent && text.length <= this.#chatSent) return;
    if (last ? isSilent(text) : maySilence(text)) return;
    if (text.length > this.#sent) {
      this.#agent("assistant", { text, delta: text.slice(this.#sent) });
      this.#sent = text.length;
    }
    this.#chatDelta(text, last);
  }

  #isTooSoon(length: number): boolean {
    const now = this.#options.now();
    const wait = this.#agentAt + length / charsPerMs - now;
    if (wait > 0) this.#emitIn(wait);
    else this.#agentAt = now;
    return wait > 0;
  }

  #emitIn(ms: number): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.#emit(false);
    }, ms).unref();
  }

  #chatDelta(text: string, last: boolean): void {
    if (text.length <= this.#chatSent) return;
    const now = this.#options.now();
    const wait = this.#chatAt + chatDeltaMs - now;
    if (wait > 0 && !last) {
      this.#emitIn(wait);
      return;
    }
    clearTimeout(this.#later);
    this.#later = undefined;
    this.#chatAt = now;
    const deltaText = text.slice(this.#chatSent);
    this.#chatSent = text.length;
    const replace = this.#replace;
    this.#replace = false;
    this.#chat(
      this.#seq,
      "delta",
      { message: this.#message(text), deltaText, ...(replace && { replace }) },
      true,
    );
  }

  #message(text: string): object {
    return { role: "assistant", content: [{ type: "text", text }], timestamp: this.#options.now() };
  }

  #agentPayload(stream: string, data: object): object {
    const { runId, sessionKey, now } = this.#options;
    return { runId, stream, data, sessionKey, seq: ++this.#seq, ts: now() };
  }

  #agent(stream: string, data: object): void {
    this.#options.gateway.broadcast("agent", this.#agentPayload(stream, data));
  }

  #tool(data: object): void {
    if (this.#ended) return;
    // The sequence goes on even when nobody watches: the recorded gateway leaves the same gap.
    const payload = this.#agentPayload("tool", data);
    for (const connId of this.#options.watchers) this.#options.gateway.send(connId, "agent", payload);
  }

  #chat(seq: number, state: string, fields: object, dropIfSlow = false): void {
    const { runId, sessionKey, gateway } = this.#options;
    const payload = { runId, sessionKey, seq, state, ...fields };
    if (dropIfSlow) gateway.broadcast("chat", payload, { dropIfSlow });
    else gateway.broadcast("chat", payload);
  }
}
