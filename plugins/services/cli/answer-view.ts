import type { CommandContext } from "@rclaw/plugin-sdk";
import { oneLine, painter, printable } from "./print.ts";
import { fields, text } from "./shape.ts";

export interface AnswerView {
  event(event: string, payload: Readonly<Record<string, unknown>>): void;
  /** Prints what has not been seen yet; the last text is the answer's own. */
  end(texts: readonly string[]): void;
}

/** The one argument that tells a reader most, or all of them. */
function summary(args: unknown): string {
  const given = fields(args);
  const main = ["command", "path", "url", "query"]
    .map((name) => given[name])
    .find((value) => typeof value === "string");
  if (typeof main === "string") return main;
  return Object.keys(given).length === 0 ? "" : JSON.stringify(given);
}

/**
 * An answer on a terminal as it comes: its text on stdout, the tools it runs on stderr.
 * Without `live` nothing shows before the end, so that a pipe gets the answer alone.
 */
export function answerView(context: CommandContext, { live }: { live: boolean }): AnswerView {
  const paint = painter(context);
  let current = "";
  let lineOpen = false;
  let wrote = false;

  function write(part: string): void {
    if (part === "") return;
    context.out(printable(part));
    wrote = true;
    lineOpen = !part.endsWith("\n");
  }

  function closeLine(): void {
    if (lineOpen) context.out("\n");
    lineOpen = false;
  }

  function tool(data: Readonly<Record<string, unknown>>): void {
    const name = printable(text(data["name"], "tool"));
    if (data["phase"] === "start") {
      closeLine();
      current = "";
      context.note(`${paint("cyan", `[${name}]`)} ${paint("dim", oneLine(summary(data["args"]), 200))}`);
    } else if (data["phase"] === "result" && data["isError"] === true) {
      closeLine();
      context.note(`${paint("cyan", `[${name}]`)} ${paint("red", "failed")}`);
    }
  }

  return {
    event(event, payload) {
      if (!live || event !== "agent") return;
      const data = fields(payload["data"]);
      if (payload["stream"] === "tool") tool(data);
      if (payload["stream"] !== "assistant") return;
      // A text that does not go on from the one before is a new one, after a tool or a second try.
      const whole = text(data["text"]);
      const goesOn = whole.startsWith(current);
      if (!goesOn) closeLine();
      write(goesOn ? whole.slice(current.length) : whole);
      current = whole;
    },
    end(texts) {
      const last = texts.at(-1) ?? "";
      if (!wrote) write(texts.join("\n\n"));
      else if (last.startsWith(current)) write(last.slice(current.length));
      closeLine();
    },
  };
}
