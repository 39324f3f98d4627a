import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { CommandContext } from "@rclaw/plugin-sdk";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { named, parse, type Parsed, UsageError } from "../parse.ts";
import { facts, painter, printable, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text, texts } from "../shape.ts";

const kinds = ["permissions", "widened", "confusable", "signer"] as const;
export const storeFlags = {
  yes: { type: "boolean" },
  accept: { type: "string", multiple: true },
} as const;

/** Is that something to bring here, or the id of a plugin that is here already? */
export const isSource = (word: string): boolean => /[./\\@:]/.test(word);

const size = (bytes: number): string =>
  bytes < 1_024
    ? `${bytes} B`
    : bytes < 1_048_576
      ? `${(bytes / 1_024).toFixed(0)} KB`
      : `${(bytes / 1_048_576).toFixed(1)} MB`;

const phases: Readonly<Record<string, string>> = {
  resolve: "Looking it up",
  download: "Downloading",
  unpack: "Unpacking",
  hash: "Checking",
  store: "Storing",
};

/** One line that grows; in a pipe there is none, since nobody watches it. */
function progressLine(context: CommandContext): (event: string, payload: unknown) => void {
  let last = "";
  return (event, payload) => {
    if (event !== "plugins.progress" || !context.interactive) return;
    const step = fields(payload);
    const phase = phases[text(step["phase"])] ?? "";
    const total = number(step["total"]);
    const done = number(step["done"]) ?? 0;
    const part = total ? Math.min(1, done / total) : 0;
    const bar = total ? ` [${"#".repeat(Math.round(part * 20)).padEnd(20)}] ${Math.round(part * 100)}%` : "";
    const line = `${phase}${bar}`;
    if (line === last) return;
    last = line;
    process.stderr.write(`\r\u001b[K${line}${part === 1 || !total ? "\n" : ""}`);
  };
}

/** What a version may more, and what less. */
export function describeDiff(context: CommandContext, diff: Fields): void {
  const paint = painter(context);
  for (const line of texts(diff["widened"])) context.note(`  ${paint("yellow", "+")} ${printable(line)}`);
  for (const line of texts(diff["narrowed"])) context.note(`  ${paint("green", "-")} ${printable(line)}`);
}

function describe(context: CommandContext, plan: Fields): void {
  const paint = painter(context);
  const manifest = fields(plan["manifest"]);
  const title = `${text(manifest["name"])} ${text(plan["version"])}`.trim();
  context.note(`${paint("bold", printable(title))} - ${printable(text(manifest["description"]))}`);
  const signer = fields(plan["signer"]);
  const who = fields(signer["signer"]);
  const signed: Readonly<Record<string, string>> = {
    unsigned: "by nobody",
    "first-use": `by ${text(who["fingerprint"])}, seen for the first time`,
    same: `by ${text(who["fingerprint"])}, as before`,
    rotated: `by ${text(who["fingerprint"])}, whom the known key vouches for`,
    dropped: "by nobody any more, though the installed version is signed",
    changed: `by ${text(who["fingerprint"])}, who is not the one that signed the installed version`,
  };
  const lines: readonly (readonly [string, string])[] = [
    ["from", text(plan["source"])],
    ["holds", `${number(plan["fileCount"]) ?? 0} files, ${size(number(plan["bytes"]) ?? 0)}`],
    ["signed", signed[text(signer["kind"])] ?? text(signer["kind"])],
  ];
  for (const [label, value] of lines) context.note(`  ${paint("dim", label.padEnd(8))} ${printable(value)}`);
  const installed = fields(plan["installed"]);
  if (text(installed["version"]) === "") {
    for (const line of texts(plan["capabilities"]))
      context.note(`  ${paint("cyan", "+")} ${printable(line)}`);
  } else {
    const diff = fields(plan["diff"]);
    context.note(`  ${paint("dim", "replaces")} ${printable(text(installed["version"]))}`);
    describeDiff(context, diff);
    if (diff["unchanged"] === true) context.note("  It may do what it could before.");
  }
  for (const finding of rows(plan["findings"])) {
    const mark = text(finding["level"]) === "warning" ? paint("yellow", "!") : paint("dim", "i");
    context.note(`  ${mark} ${printable(text(finding["message"]))}`);
  }
}

export const questions: Readonly<Record<string, string>> = {
  permissions: "Install it with these rights",
  widened: "It may do more than before (the lines with +). Agree",
  confusable: "Its name looks like another plugin's. Is it the one you mean",
  signer: "Its signature is not what it was. Install it all the same",
};

/** What the plan asks, answered by a person or by flags. Undefined when the answer was no. */
async function consent(
  context: CommandContext,
  asks: readonly string[],
  flags: Parsed,
): Promise<readonly string[] | undefined> {
  const given = new Set(flags.values("accept").flatMap((value) => value.split(",")));
  for (const kind of given)
    if (!(kinds as readonly string[]).includes(kind))
      throw new UsageError(`--accept takes ${kinds.join(", ")}, and "${kind}" is none of them`);
  if (flags.flag("yes")) given.add("permissions");
  for (const kind of asks) {
    if (given.has(kind)) continue;
    if (!context.interactive)
      throw new UsageError(
        `this wants a yes to "${kind}", and nobody is there to give it; add ${kind === "permissions" ? "--yes" : `--accept ${kind}`}`,
      );
    if (!(await agrees(context, questions[kind] ?? kind))) return undefined;
  }
  return asks;
}

/** Stages, shows, asks, commits. */
export async function bring(
  context: CommandContext,
  what: { readonly source: string } | { readonly update: string },
  flags: Parsed,
): Promise<number> {
  const onEvent = progressLine(context);
  const params = { ...what, baseDir: process.cwd() };
  const { token, plan: given } = fields(await context.call("plugins.stage", params, { onEvent }));
  const plan = fields(given);
  const id = text(plan["id"]);
  const installed = fields(plan["installed"]);
  if ("update" in what && text(installed["digest"]) === text(plan["digest"])) {
    await context.call("plugins.discard", { token });
    if (context.json) printJson(context, { id, changed: false, version: text(plan["version"]) });
    else context.note(printable(`${id} ${text(plan["version"])} is the newest.`));
    return 0;
  }
  if (!context.json) describe(context, plan);
  let accepts: readonly string[] | undefined;
  try {
    accepts = await consent(context, texts(plan["asks"]), flags);
  } catch (error) {
    await context.call("plugins.discard", { token });
    throw error;
  }
  if (accepts === undefined) {
    await context.call("plugins.discard", { token });
    return 1;
  }
  const done = fields(
    await context.call("plugins.commit", { token, digest: plan["digest"], accepts }, { onEvent }),
  );
  report(context, plan, done);
  return text(done["reason"]) === "" ? 0 : 1;
}

function report(context: CommandContext, plan: Fields, done: Fields): void {
  if (context.json) {
    printJson(context, { ...done, plan });
    return;
  }
  const id = text(done["id"]);
  const replaced = text(fields(done["replaced"])["version"]);
  const how = replaced === "" ? "is installed" : `replaced ${replaced}`;
  context.note(printable(`${id} ${text(done["version"])} ${how}.`));
  const reason = text(done["reason"]);
  if (reason !== "") context.note(printable(`It is not on: ${reason}`));
  const undo = replaced === "" ? `rclaw plugin remove ${id}` : `rclaw plugin rollback ${id}`;
  context.note(hint(printable(`See: rclaw plugin info ${id}. To undo: ${undo}`)));
}

export async function update(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, storeFlags);
  if (flags.words.length > 0) {
    const { id } = named(flags.words, ["id"], "plugin update");
    return bring(context, { update: id }, flags);
  }
  const list = rows(fields(await context.call("plugins.list", {}))["plugins"]);
  const ids = list.filter((row) => text(row["source"]) !== "").map((row) => text(row["id"]));
  if (ids.length === 0) {
    context.note(hint("Nothing is installed that could be updated. See: rclaw plugin search"));
    return 0;
  }
  let code = 0;
  for (const id of ids) code = Math.max(code, await bring(context, { update: id }, flags));
  return code;
}

export async function rollback(context: CommandContext, args: readonly string[]): Promise<number> {
  const { id } = named(parse(args, {}).words, ["id"], "plugin rollback");
  const done = fields(await context.call("plugins.rollback", { id }));
  if (context.json) {
    printJson(context, done);
    return 0;
  }
  context.note(
    hint(printable(`${id} is ${text(done["version"])} again. To undo: rclaw plugin rollback ${id}`)),
  );
  return 0;
}

export async function verify(context: CommandContext, args: readonly string[]): Promise<number> {
  const [id] = parse(args, {}).words;
  const result = fields(await context.call("plugins.verify", id === undefined ? {} : { id }));
  const list = rows(result["plugins"]);
  const isWhole = list.every((row) => row["ok"] === true);
  if (context.json) {
    printJson(context, result);
    return isWhole ? 0 : 1;
  }
  if (list.length === 0) context.note("No plugin was installed, so there is nothing to compare.");
  for (const row of list) {
    const paint = painter(context);
    const state = row["ok"] === true ? paint("green", "as installed") : paint("red", "not as installed");
    context.out(`${printable(text(row["id"]))}  ${state}\n`);
    for (const what of ["tampered", "missing", "extra"] as const)
      for (const file of texts(row[what])) context.out(`  ${what.padEnd(9)} ${printable(file)}\n`);
  }
  if (!isWhole) context.note(hint("To get them anew: rclaw plugin ci"));
  return isWhole ? 0 : 1;
}

export async function ci(context: CommandContext, args: readonly string[]): Promise<number> {
  const [lock] = parse(args, {}).words;
  const params = { ...(lock !== undefined && { lock }), baseDir: process.cwd() };
  const onEvent = progressLine(context);
  const result = fields(await context.call("plugins.ci", params, { onEvent }));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const said = (["fetched", "kept", "removed"] as const).flatMap((what) => {
    const ids = texts(result[what]);
    return ids.length > 0 ? [`${what}: ${ids.join(", ")}`] : [];
  });
  context.note(
    printable(said.length > 0 ? `As the lock says. ${said.join("; ")}.` : "The lock names nothing."),
  );
  return 0;
}

export async function search(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { index: { type: "string" } });
  const index = flags.value("index");
  const params = {
    query: flags.words.join(" "),
    baseDir: process.cwd(),
    ...(index !== undefined && { index }),
  };
  const result = fields(await context.call("plugins.search", params));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const found = rows(result["plugins"]);
  if (found.length === 0) {
    context.note(hint("Nothing fits. Without words, rclaw plugin search lists all."));
    return 0;
  }
  const body = found.map((row) => [
    text(row["id"]),
    text(row["version"]),
    texts(row["contributes"]).join(", "),
    text(row["description"]),
  ]);
  context.out(table(context, ["ID", "VERSION", "ADDS", "WHAT IT IS"], body));
  context.note(hint("Next: rclaw plugin add <id>"));
  return 0;
}

export async function pack(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { sign: { type: "boolean" }, out: { type: "string" } });
  const [folder = "."] = flags.words;
  const out = path.resolve(flags.value("out") ?? ".");
  await mkdir(out, { recursive: true });
  const params = { folder: path.resolve(folder), out, sign: flags.flag("sign") };
  const done = fields(await context.call("plugins.pack", params));
  if (context.json) {
    printJson(context, done);
    return 0;
  }
  const signer = text(fields(done["signer"])["fingerprint"]);
  context.out(
    facts(context, [
      ["Package", text(done["file"])],
      ["Size", size(number(done["bytes"]) ?? 0)],
      ["Files", String(Object.keys(fields(done["files"])).length)],
      ["Digest", text(done["digest"])],
      ["Signed by", signer === "" ? "nobody; --sign does it" : signer],
    ]),
  );
  context.note(hint(printable(`Next: rclaw plugin add ${text(done["file"])}`)));
  return 0;
}
