import type { CommandContext } from "@rclaw/plugin-sdk";
import { openFolder } from "../author/folder.ts";
import { hint } from "../hint.ts";
import { parse, UsageError } from "../parse.ts";
import { painter, printable, printJson } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";
import { folderOf, wordFor } from "./plugin-build.ts";

function line(context: CommandContext, check: Fields): string {
  const paint = painter(context);
  const sign =
    check["skipped"] === true
      ? paint("yellow", "-")
      : check["ok"] === true
        ? paint("green", "✓")
        : paint("red", "✗");
  const detail = text(check["detail"]);
  const first = `${sign} ${printable(text(check["name"]))}`;
  return detail === "" ? `${first}\n` : `${first}\n    ${printable(detail).replaceAll("\n", "\n    ")}\n`;
}

/** A bare word would be a package to `plugin add`. */
function next(folder: string): string {
  const source = /^(?:\.|[\\/]|[A-Za-z]:)/.test(folder) ? folder : `./${folder}`;
  return `Next: rclaw plugin dev${wordFor(folder)}, or, to install it: rclaw plugin add ${source}`;
}

/** `plugin test`: is it what its manifest says, and does it survive misuse? In a cage, as it will live. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { runtime: { type: "string" } });
  const runtime = flags.value("runtime");
  if (runtime !== undefined && runtime !== "wasm" && runtime !== "worker")
    throw new UsageError(`--runtime is wasm or worker here, not "${runtime}"`);
  const given = folderOf(flags.words, "plugin test");
  const { folder } = await openFolder(given);
  let shown = 0;
  const result = fields(
    await context.call(
      "plugins.check",
      { folder, ...(runtime && { runtime }) },
      {
        onEvent(event, payload) {
          if (event !== "plugins.check" || context.json) return;
          const { folder: of, check } = fields(payload);
          if (of !== folder) return;
          shown++;
          context.out(line(context, fields(check)));
        },
      },
    ),
  );
  const checks = rows(result["checks"]);
  const bad = checks.filter((check) => check["ok"] !== true).length;
  if (context.json) printJson(context, result);
  else {
    for (const check of checks.slice(shown)) context.out(line(context, check));
    const skipped = checks.filter((check) => check["skipped"] === true).length;
    const parts = [
      `${checks.length - bad - skipped} passed`,
      bad > 0 ? `${bad} failed` : "",
      skipped > 0 ? `${skipped} left out` : "",
    ].filter(Boolean);
    const seconds = ((number(result["ms"]) ?? 0) / 1_000).toFixed(1);
    context.note(
      printable(`${text(result["id"])} as ${text(result["runtime"])}: ${parts.join(", ")}, in ${seconds} s.`),
    );
    if (bad === 0) context.note(hint(printable(next(given))));
  }
  return bad === 0 ? 0 : 1;
}
