import type { CommandContext } from "@rclaw/plugin-sdk";
import { count, named, parse } from "../parse.ts";
import { pause } from "../pause.ts";
import { type Colour, painter, printable, printJson } from "../print.ts";
import { type Fields, fields, number, text, texts } from "../shape.ts";

const everyMs = 1_000;
const tints: Readonly<Record<string, Colour>> = {
  trace: "dim",
  debug: "dim",
  warn: "yellow",
  error: "red",
  fatal: "red",
};

/** A line as clients get it, or as it is when it is none of the gateway's own. */
function shown(context: CommandContext, line: string): string {
  const entry = parsed(line);
  const meta = fields(entry["_meta"]);
  const level = text(meta["logLevelName"]).toLowerCase();
  if (level === "") return printable(line);
  const paint = painter(context);
  const word = level.padEnd(5);
  const tint = tints[level];
  const from = text(parsed(text(meta["name"]))["subsystem"]);
  const time = paint("dim", text(entry["time"]).slice(11, 19));
  return `${time} ${tint ? paint(tint, word) : word} ${paint("dim", from)} ${printable(text(entry["1"]))}`;
}

function parsed(line: string): Fields {
  try {
    return fields(JSON.parse(line));
  } catch {
    return {};
  }
}

/** `rclaw logs`: the end of the gateway's log, and with --follow what comes. */
export async function run(context: CommandContext): Promise<number> {
  const flags = parse(context.args, {
    follow: { type: "boolean", short: "f" },
    limit: { type: "string", short: "n" },
  });
  named(flags.words, [], "logs");
  const limit = Math.min(5_000, count(flags, "limit", 100));
  const follows = flags.flag("follow");
  let answer = fields(await context.call("logs.tail", { limit, maxBytes: 1_000_000 }));
  if (context.json && !follows) {
    printJson(context, answer);
    return 0;
  }
  if (texts(answer["lines"]).length === 0 && !follows)
    context.note(printable(`The log is empty: ${text(answer["file"])}`));
  for (;;) {
    // With --follow there is no end, so it is one document a line.
    for (const line of texts(answer["lines"])) context.out(`${context.json ? line : shown(context, line)}\n`);
    if (!follows || !(await pause(everyMs, context.signal))) return 0;
    try {
      const cursor = number(answer["cursor"]) ?? 0;
      answer = fields(await context.call("logs.tail", { cursor, limit: 5_000, maxBytes: 1_000_000 }));
    } catch (error) {
      if (context.signal.aborted) return 0;
      throw error;
    }
    if (answer["reset"] === true && !context.json) context.note("(some lines are not shown)");
  }
}
