import { randomUUID } from "node:crypto";
import { type CommandContext, isRclawError } from "@rclaw/plugin-sdk";
import { didYouMean } from "@rclaw/plugin-sdk/services/nearest";
import { answerView } from "../answer-view.ts";
import { named, parse, sentence, UsageError } from "../parse.ts";
import { painter, printable, printJson } from "../print.ts";
import { type Fields, fields, rows, text } from "../shape.ts";

interface Place {
  readonly session: string;
  readonly thinking: string | undefined;
}

const levels = ["off", "minimal", "low", "medium", "high", "xhigh"];

async function readAll(context: CommandContext): Promise<string> {
  const lines: string[] = [];
  for await (const line of context.lines()) lines.push(line);
  return lines.join("\n");
}

/** Asks once and follows the answer. Resolves with its result; a stopped one has status "aborted". */
async function ask(
  context: CommandContext,
  message: string,
  { session, thinking }: Place,
  onEvent: (event: string, payload: Fields) => void,
  stop: AbortSignal,
): Promise<Fields> {
  const runId = randomUUID();
  const halt = (): void => {
    // When it cannot be stopped any more, it has ended; its result says so.
    context.call("chat.abort", { sessionKey: session, runId }).catch(() => undefined);
  };
  stop.addEventListener("abort", halt, { once: true });
  try {
    const params = {
      message,
      sessionKey: session,
      idempotencyKey: runId,
      ...(thinking !== undefined && { thinking }),
    };
    const result = await context.call("agent", params, {
      onAccepted() {
        // Before this, there was nothing yet that could have been stopped.
        if (stop.aborted) halt();
      },
      onEvent(event, payload) {
        const data = fields(payload);
        if (data["runId"] === runId) onEvent(event, data);
      },
    });
    return fields(result);
  } finally {
    stop.removeEventListener("abort", halt);
  }
}

const textsOf = (result: Fields): readonly string[] =>
  rows(fields(result["result"])["payloads"])
    .map((payload) => text(payload["text"]))
    .filter((part) => part !== "");

async function once(context: CommandContext, message: string, place: Place): Promise<number> {
  const view = answerView(context, { live: context.interactive });
  const result = await ask(context, message, place, view.event, context.signal);
  const texts = textsOf(result);
  const aborted = result["status"] === "aborted";
  if (context.json) {
    const { runId, status } = result;
    printJson(context, {
      runId,
      sessionKey: place.session,
      status,
      text: texts.join("\n\n"),
      result: result["result"],
    });
  } else {
    view.end(texts);
    if (aborted) context.note("Stopped.");
  }
  return aborted ? 130 : 0;
}

const chatHelp = `/new    start afresh; what was said is archived
/help   this list
/exit   leave; so does end of input (Ctrl-D)
Ctrl-C stops a running answer; when nothing runs it leaves.`;

/** Undefined when the line is not for the chat itself but for the assistant. */
async function chatCommand(
  context: CommandContext,
  line: string,
  { session }: Place,
): Promise<"stay" | "leave" | undefined> {
  const word = /^\/[a-z]+$/.exec(line)?.[0];
  if (word === "/exit" || word === "/quit") return "leave";
  if (word === "/help") context.note(chatHelp);
  else if (word === "/new") {
    await context.call("sessions.reset", { key: session, reason: "new" });
    context.note("A new conversation.");
  } else if (word === undefined || word === "/status" || word === "/stop") return undefined;
  else {
    const near = didYouMean(word, ["/new", "/help", "/exit", "/status"]);
    context.note(`${sentence(`There is no ${word} here${near}`)} /help lists what there is.`);
  }
  return "stay";
}

async function answer(context: CommandContext, line: string, place: Place, stop: AbortSignal): Promise<void> {
  const view = answerView(context, { live: true });
  try {
    const result = await ask(context, line, place, view.event, stop);
    view.end(textsOf(result));
    if (result["status"] === "aborted") context.note("Stopped.");
  } catch (error) {
    if (isRclawError(error) && error.code === "GATEWAY_UNREACHABLE") throw error;
    view.end([]);
    const message = error instanceof Error ? error.message : String(error);
    context.note(painter(context)("red", printable(message)));
  }
}

const interrupted = Symbol("interrupted");

async function chat(context: CommandContext, place: Place): Promise<number> {
  const paint = painter(context);
  const model = fields(await context.call("models.default", {}).catch(() => undefined));
  const name = [text(model["provider"]), text(model["model"])].filter(Boolean).join("/");
  context.note(
    paint(
      "dim",
      printable(
        `${name ? `Talking to ${name} in` : "In"} ${place.session}. /help lists commands, /exit leaves.`,
      ),
    ),
  );
  const lines = context.lines()[Symbol.asyncIterator]();
  // What Ctrl-C means just now: the end of an answer, or of the chat.
  let interrupt: () => void = () => undefined;
  using _taken = context.onInterrupt(() => interrupt());
  for (;;) {
    context.out(paint("cyan", "> "));
    const leaves = new Promise<typeof interrupted>((resolve) => {
      interrupt = () => resolve(interrupted);
    });
    const next = await Promise.race([lines.next(), leaves]);
    if (next === interrupted) {
      context.out("\n");
      // The line that was being read will never be asked for again, and must not keep the program alive.
      process.stdin.pause();
      return 130;
    }
    if (next.done) break;
    const line = next.value.trim();
    if (line === "") continue;
    const then = await chatCommand(context, line, place);
    if (then === "leave") break;
    if (then !== undefined) continue;
    const stop = new AbortController();
    interrupt = () => stop.abort();
    await answer(context, line, place, stop.signal);
  }
  await lines.return?.();
  return 0;
}

export async function run(context: CommandContext): Promise<number> {
  const flags = parse(context.args, {
    message: { type: "string", short: "m" },
    session: { type: "string" },
    thinking: { type: "string" },
  });
  if (flags.words.length > 0)
    throw new UsageError(
      `"${flags.words.join(" ")}" is not understood; to say it, add -m before it, in quotes`,
    );
  named(flags.words, [], "agent");
  const thinking = flags.value("thinking");
  if (thinking !== undefined && !levels.includes(thinking)) {
    throw new UsageError(`--thinking is one of ${levels.join(", ")}${didYouMean(thinking, levels)}`);
  }
  const place: Place = { session: flags.value("session") ?? "main", thinking };
  const given = flags.value("message");
  if (given === undefined && context.interactive) return chat(context, place);
  const message = given ?? (await readAll(context));
  if (message.trim() === "") throw new UsageError("there is nothing to say; add -m <text>, or pipe text in");
  return once(context, message, place);
}
