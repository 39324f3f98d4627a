import type { CommandContext } from "@rclaw/plugin-sdk";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { count, named, parse, subcommand } from "../parse.ts";
import { ago, oneLine, painter, printable, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";

const subcommands = ["list", "show", "reset", "delete"] as const;
const limit = { limit: { type: "string" } } as const;

/** A title taken from a message starts with the time the gateway wrote in front of that for the model. */
const stamp = /^\[[A-Z][a-z]{2} \d{4}-\d{2}-\d{2} [^\]]{1,30}\] /;

const titleOf = (row: Fields): string =>
  text(row["label"]) || text(row["derivedTitle"]).replace(stamp, "") || text(row["displayName"]);

const modelOf = (row: Fields): string =>
  [text(row["modelProvider"]), text(row["model"])].filter(Boolean).join("/");

async function list(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, limit);
  named(flags.words, [], "sessions list");
  const result = fields(
    await context.call("sessions.list", { limit: count(flags, "limit", 30), includeDerivedTitles: true }),
  );
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const sessions = rows(result["sessions"]);
  if (sessions.length === 0) {
    context.note("There are no conversations yet.");
    context.note(hint('Next: rclaw agent -m "hello"'));
    return 0;
  }
  const body = sessions.map((row) => [
    text(row["key"]),
    oneLine(titleOf(row), 40),
    modelOf(row),
    String(number(row["totalTokens"]) ?? ""),
    ago(number(row["updatedAt"])),
  ]);
  context.out(table(context, ["KEY", "TITLE", "MODEL", "TOKENS", "LAST"], body));
  return 0;
}

const blocksOf = (message: Fields): readonly Fields[] =>
  typeof message["content"] === "string"
    ? [{ type: "text", text: message["content"] }]
    : rows(message["content"]);

const indent = (value: string): string =>
  printable(value.trimEnd())
    .split("\n")
    .map((line) => (line === "" ? "" : `  ${line}`))
    .join("\n");

function shownMessage(context: CommandContext, message: Fields): string {
  const paint = painter(context);
  const at = number(message["timestamp"]);
  const time =
    at === undefined ? "" : ` ${paint("dim", new Date(at).toISOString().slice(0, 16).replace("T", " "))}`;
  if (message["role"] === "toolResult") {
    const failed = message["isError"] === true;
    const output = blocksOf(message)
      .map((block) => text(block["text"]))
      .join("\n");
    const state = failed ? paint("red", "failed") : paint("green", "done");
    return `${paint("cyan", `  ${printable(text(message["toolName"], "tool"))}`)} ${state}\n${indent(indent(output))}\n`;
  }
  const who = message["role"] === "user" ? "You" : "Assistant";
  const parts = blocksOf(message).flatMap((block) => {
    if (block["type"] === "text") return [indent(text(block["text"]))];
    if (block["type"] !== "toolCall") return [];
    const asked = printable(JSON.stringify(block["arguments"] ?? {}));
    return [`  ${paint("cyan", `runs ${printable(text(block["name"]))}`)} ${asked}`];
  });
  const ending =
    message["stopReason"] === "error"
      ? [`  ${paint("red", printable(text(message["errorMessage"], "failed")))}`]
      : [];
  return `${paint("bold", who)}${time}\n${[...parts, ...ending].join("\n")}\n`;
}

async function show(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, limit);
  const { key } = named(flags.words, ["key"], "sessions show");
  const result = fields(
    await context.call("chat.history", { sessionKey: key, limit: Math.min(1000, count(flags, "limit", 30)) }),
  );
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const messages = rows(result["messages"]);
  if (messages.length === 0)
    context.note(hint(`Nothing has been said in ${printable(key)}. See: rclaw sessions list`));
  else context.out(messages.map((message) => shownMessage(context, message)).join("\n"));
  return 0;
}

async function reset(context: CommandContext, args: readonly string[]): Promise<number> {
  const { key } = named(parse(args, {}).words, ["key"], "sessions reset");
  const result = fields(await context.call("sessions.reset", { key, reason: "reset" }));
  if (context.json) printJson(context, result);
  else
    context.note(printable(`${text(result["key"], key)} starts afresh; what was said before is archived.`));
  return 0;
}

async function remove(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { yes: { type: "boolean" } });
  const { key } = named(flags.words, ["key"], "sessions delete");
  if (!flags.flag("yes") && !(await agrees(context, `Delete ${key}`))) return 1;
  const result = fields(await context.call("sessions.delete", { key }));
  if (context.json) printJson(context, result);
  else if (result["deleted"] === false) {
    context.note(hint(printable(`There is no conversation ${key}. See: rclaw sessions list`)));
    return 1;
  } else context.note(printable(`${text(result["key"], key)} is deleted; its transcript is archived.`));
  return 0;
}

export async function run(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "list");
  return { list, show, reset, delete: remove }[name](context, rest);
}
