import type { CommandContext } from "@rclaw/plugin-sdk";
import { hint } from "../hint.ts";
import { named, parse, subcommand, UsageError } from "../parse.ts";
import { ago, printable, printJson, table } from "../print.ts";
import { type Fields, fields, rows, text } from "../shape.ts";

const subcommands = ["list", "approve", "revoke"] as const;

const personOf = (row: Fields): string => text(fields(row["meta"])["name"]);

async function list(context: CommandContext, args: readonly string[]): Promise<number> {
  const { words } = parse(args, {});
  if (words.length > 1)
    throw new UsageError(`pairing list takes one channel at most, and "${words[1]}" is a second word`);
  const result = fields(
    await context.call("pairing.list", words[0] === undefined ? {} : { channel: words[0] }),
  );
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const waiting = rows(result["requests"]);
  if (waiting.length === 0) context.note("Nobody is waiting for an answer.");
  else {
    const body = waiting.map((row) => [
      text(row["channel"]),
      text(row["code"]),
      text(row["id"]),
      personOf(row),
      ago(Date.parse(text(row["createdAt"])) || undefined),
    ]);
    context.out(table(context, ["CHANNEL", "CODE", "ID", "NAME", "ASKED"], body));
    const first = waiting[0] ?? {};
    context.note(
      hint(`Next: rclaw pairing approve ${printable(`${text(first["channel"])} ${text(first["code"])}`)}`),
    );
  }
  const allowed = rows(result["allowed"]).map((row) => [
    text(row["channel"]),
    text(row["accountId"]),
    text(row["id"]),
  ]);
  if (allowed.length > 0) {
    context.out(
      `${waiting.length > 0 ? "\n" : ""}${table(context, ["CHANNEL", "ACCOUNT", "MAY TALK"], allowed)}`,
    );
  }
  return 0;
}

async function approve(context: CommandContext, args: readonly string[]): Promise<number> {
  const { channel, code } = named(parse(args, {}).words, ["channel", "code"], "pairing approve");
  const result = fields(await context.call("pairing.approve", { channel, code, notify: true }));
  if (context.json) printJson(context, result);
  else {
    context.note(
      printable(`${text(result["id"], "This person")} may now talk to the assistant on ${channel}.`),
    );
    if (result["notified"] === false) context.note("They could not be told; ask them to write again.");
  }
  return 0;
}

async function revoke(context: CommandContext, args: readonly string[]): Promise<number> {
  const { channel, id } = named(parse(args, {}).words, ["channel", "id"], "pairing revoke");
  const result = fields(await context.call("pairing.revoke", { channel, id }));
  if (context.json) printJson(context, result);
  else if (result["revoked"] === false)
    context.note(printable(`${id} was not allowed on ${channel} anyway.`));
  else context.note(printable(`${id} may no longer talk to the assistant on ${channel}.`));
  return 0;
}

export async function run(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "list");
  return { list, approve, revoke }[name](context, rest);
}
