import type { CommandContext } from "@rclaw/plugin-sdk";
import { hint } from "../hint.ts";
import { named, parse } from "../parse.ts";
import { type Colour, painter, printable, printJson } from "../print.ts";
import { type Fields, fields, number, rows, text, texts } from "../shape.ts";

interface Finding {
  readonly id: string;
  readonly level: "ok" | "off" | "warn" | "bad";
  readonly what: string;
  readonly next?: string;
}

const signs: Readonly<Record<Finding["level"], readonly [string, Colour]>> = {
  ok: ["✓", "green"],
  off: ["-", "dim"],
  warn: ["!", "yellow"],
  bad: ["✗", "red"],
};

/** Settings that it cannot do without and that nobody gave. */
async function missingSettings(context: CommandContext, id: string): Promise<readonly string[]> {
  const plan = fields(await context.call("plugins.plan", { id }).catch(() => undefined));
  return rows(plan["questions"])
    .filter((question) => question["required"] === true && question["isSet"] !== true)
    .map((question) => text(question["title"], text(question["key"])));
}

async function examine(context: CommandContext, row: Fields, use: Fields): Promise<Finding[]> {
  const id = text(row["id"]);
  const found: Finding[] = [];
  const say = (level: Finding["level"], what: string, next?: string): void =>
    void found.push({ id, level, what, ...(next !== undefined && { next }) });
  const error = text(row["error"]);
  const next = text(row["next"]) || undefined;
  const state = text(row["state"]);
  if (row["isConflict"] === true)
    say("bad", `is in conflict: ${error || "it claims what is another's"}`, next);
  else if (error !== "") say("bad", error, next ?? `rclaw plugin logs ${id}`);
  const trouble = fields(row["trouble"]);
  if ((number(trouble["count"]) ?? 0) > 0)
    say("warn", `${text(trouble["where"])} failed: ${text(trouble["error"])}`, `rclaw plugin logs ${id}`);
  const gaveWay = text(use["gaveWay"]);
  if (gaveWay !== "") say("warn", gaveWay, `rclaw plugin logs ${id}`);
  const kills = number(use["kills"]) ?? 0;
  if (kills > 0)
    say("warn", `was ended ${kills} ${kills === 1 ? "time" : "times"}`, `rclaw plugin logs ${id}`);
  const denials = number(use["denials"]) ?? 0;
  if (denials > 0)
    say("warn", `was refused ${denials} ${denials === 1 ? "request" : "requests"}`, "rclaw plugin approvals");
  // What came with rclaw and was never set up is not broken.
  if (row["enabled"] !== false && row["builtIn"] !== true) {
    const missing = await missingSettings(context, id);
    if (missing.length > 0) say("warn", `has no ${missing.join(", ")}`, `rclaw plugin add ${id}`);
  }
  if (found.length > 0) return found;
  if (row["enabled"] === false) say("off", "is off", `rclaw plugin enable ${id}`);
  else {
    const runtime = text(row["runtime"]);
    say("ok", state === "active" ? `runs as ${runtime}` : `starts as ${runtime} when it is needed`);
  }
  return found;
}

/** Reads the files of what was installed again; whoever changed one is found out. */
async function tampered(context: CommandContext): Promise<ReadonlyMap<string, string>> {
  const result = fields(await context.call("plugins.verify", {}).catch(() => undefined));
  return new Map(
    rows(result["plugins"])
      .filter((row) => row["ok"] === false)
      .map((row) => [
        text(row["id"]),
        [...texts(row["tampered"]), ...texts(row["missing"]), ...texts(row["extra"])].join(", "),
      ]),
  );
}

/** `plugin doctor`: how every plugin is, a line and a next step for each. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, {});
  const [only] = flags.words;
  if (flags.words.length > 1) named(flags.words, ["id"], "plugin doctor");
  // One that is not there is told like everywhere else.
  if (only !== undefined) await context.call("plugins.info", { id: only });
  const list = fields(await context.call("plugins.list", {}));
  const uses = rows(fields(await context.call("plugins.top", {}))["plugins"]);
  const changed = await tampered(context);
  const findings: Finding[] = [];
  for (const row of rows(list["plugins"]).toSorted((a, b) => text(a["id"]).localeCompare(text(b["id"])))) {
    const id = text(row["id"]);
    if (only !== undefined && id !== only) continue;
    const own = await examine(context, row, uses.find((use) => text(use["id"]) === id) ?? {});
    const files = changed.get(id);
    if (files !== undefined)
      own.push({
        id,
        level: "bad",
        what: `was changed on the disk: ${files}`,
        next: `rclaw plugin remove ${id}, then add it again`,
      });
    // Of what came with rclaw, only what is not well is worth a line.
    if (
      only !== undefined ||
      row["builtIn"] !== true ||
      own.some(({ level }) => level === "bad" || level === "warn")
    )
      findings.push(...own);
  }
  for (const row of only === undefined ? rows(list["refused"]) : []) {
    const what = `was not taken: ${text(row["reason"])}`;
    findings.push({ id: text(row["id"]), level: "bad", what, next: "correct it, then: rclaw plugin reload" });
  }
  const bad = findings.filter(({ level }) => level === "bad").length;
  if (context.json) printJson(context, { findings });
  else print(context, findings, bad);
  return bad > 0 ? 1 : 0;
}

function print(context: CommandContext, findings: readonly Finding[], bad: number): void {
  const paint = painter(context);
  for (const { id, level, what, next } of findings) {
    const [sign, tint] = signs[level];
    context.out(`${paint(tint, sign)} ${printable(`${id} ${what}`)}\n`);
    if (next !== undefined) context.out(`    ${paint("dim", `Next: ${printable(hint(next))}`)}\n`);
  }
  const warned = findings.filter(({ level }) => level === "warn").length;
  context.note(bad + warned === 0 ? "All plugins are well." : `${bad} broken, ${warned} to look at.`);
}
