import type { CommandContext } from "@rclaw/plugin-sdk";
import { count, named, parse } from "../parse.ts";
import { type Colour, painter, printable, printJson } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";
import { pause } from "../pause.ts";

const everyMs = 500;
const words: Readonly<Record<number, readonly [string, Colour | undefined]>> = {
  10: ["trace", "dim"],
  20: ["debug", "dim"],
  30: ["info", undefined],
  40: ["warn", "yellow"],
  50: ["error", "red"],
  60: ["fatal", "red"],
};
const usual = new Set(["level", "time", "plugin", "msg", "err"]);

/** A line of the log for people: when, how bad, what, and what came with it. */
export function logLine(context: CommandContext, line: Fields): string {
  const paint = painter(context);
  const [word, tint] = words[number(line["level"]) ?? 30] ?? ["info", undefined];
  const error = text(fields(line["err"])["message"]);
  const extra = Object.entries(line)
    .filter(([key]) => !usual.has(key))
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const time = paint("dim", text(line["time"]).slice(11, 19));
  const level = word.padEnd(5);
  const rest = [text(line["msg"]), error, ...extra].filter(Boolean).join("  ");
  return `${time} ${tint ? paint(tint, level) : level} ${printable(rest)}`;
}

/** Asks for what came since the cursor. */
export async function newLines(
  context: CommandContext,
  id: string,
  cursor: string | undefined,
  limit = 500,
): Promise<{ lines: readonly Fields[]; cursor: string }> {
  const params = { id, limit, ...(cursor !== undefined && { cursor }) };
  const answer = fields(await context.call("plugins.logs", params));
  return { lines: rows(answer["lines"]), cursor: text(answer["cursor"]) };
}

/** `plugin logs`: what a plugin wrote to the gateway's log. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { follow: { type: "boolean", short: "f" }, limit: { type: "string" } });
  const { id } = named(flags.words, ["id"], "plugin logs");
  const follows = flags.flag("follow");
  let { lines, cursor } = await newLines(context, id, undefined, Math.min(500, count(flags, "limit", 50)));
  if (context.json && !follows) {
    printJson(context, { id, lines });
    return 0;
  }
  if (lines.length === 0 && !follows)
    context.note(printable(`${id} wrote nothing that the gateway's log still has.`));
  for (;;) {
    // With --follow there is no end, so it is one document a line.
    for (const line of lines)
      context.out(`${context.json ? JSON.stringify(line) : logLine(context, line)}\n`);
    if (!follows || !(await pause(everyMs, context.signal))) return 0;
    try {
      ({ lines, cursor } = await newLines(context, id, cursor));
    } catch (error) {
      if (context.signal.aborted) return 0;
      throw error;
    }
  }
}
