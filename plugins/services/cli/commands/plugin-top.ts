import type { CommandContext } from "@rclaw/plugin-sdk";
import { pause } from "../pause.ts";
import { named, parse } from "../parse.ts";
import { type Cell, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";

const everyMs = 1_000;
const headings = ["ID", "RUNS", "CALLS", "FAILED", "CPU ms", "PEAK MB", "EGRESS", "DENIED", "KILLS"];

const count = (row: Fields, key: string): number => Math.round(number(row[key]) ?? 0);

function bytes(value: number): string {
  if (value < 10_240) return `${value} B`;
  return value < 10_485_760 ? `${Math.round(value / 1_024)} KB` : `${(value / 1_048_576).toFixed(1)} MB`;
}

const alarming = (value: number): Cell => ({
  text: String(value),
  ...(value > 0 && { tint: "red" as const }),
});

function body(plugins: readonly Fields[]): readonly (readonly (string | Cell)[])[] {
  return plugins
    .toSorted((a, b) => count(b, "cpuMs") - count(a, "cpuMs"))
    .map((row) => [
      text(row["id"]),
      `${text(row["runtime"])}${row["loaded"] === true ? "" : ", asleep"}`,
      String(count(row, "calls")),
      alarming(count(row, "failures")),
      String(count(row, "cpuMs")),
      ((number(row["peakBytes"]) ?? 0) / 1_048_576).toFixed(1),
      bytes(count(row, "egressBytes")),
      alarming(count(row, "denials")),
      alarming(count(row, "kills")),
    ]);
}

/** `plugin top`: what caged plugins use. Those in-process are the gateway's own, and cannot be measured apart. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { once: { type: "boolean" } });
  named(flags.words, [], "plugin top");
  const isLive = context.interactive && !context.json && !flags.flag("once");
  for (let drawn = 0; ;) {
    const result = fields(await context.call("plugins.top", {}));
    if (context.json) {
      printJson(context, result);
      return 0;
    }
    const plugins = rows(result["plugins"]);
    const shown =
      plugins.length > 0
        ? table(context, headings, body(plugins))
        : "No caged plugin has run since the gateway started.\n";
    // Up to where the last table began, and clear what is left of it.
    context.out(`${drawn > 0 ? `\u001b[${drawn}A\u001b[J` : ""}${shown}`);
    drawn = shown.split("\n").length - 1;
    if (isLive && (await pause(everyMs, context.signal))) continue;
    // After the ^C that the terminal shows.
    if (isLive) context.note("");
    return 0;
  }
}
