import type { CommandContext } from "@rclaw/plugin-sdk";
import { hint } from "../hint.ts";
import { named, parse } from "../parse.ts";
import { ago, printable, printJson, table } from "../print.ts";
import { fields, number, rows, text } from "../shape.ts";

/** `plugin approvals`: hosts that plugins were refused, and that wait for an answer. */
export async function list(context: CommandContext, args: readonly string[]): Promise<number> {
  named(parse(args, {}).words, [], "plugin approvals");
  const result = fields(await context.call("egress.pending", {}));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const cards = rows(result["pending"]);
  if (cards.length === 0) {
    context.note("No plugin waits for a host.");
    return 0;
  }
  const body = cards.map((card) => [
    text(card["id"]),
    text(card["plugin"]),
    `${text(card["host"])}:${number(card["port"]) ?? ""}`,
    String(number(card["count"]) ?? 1),
    ago(number(card["firstAt"])),
    text(card["reason"]),
  ]);
  context.out(table(context, ["CARD", "PLUGIN", "WANTS TO REACH", "TRIED", "SINCE", "MIND THAT"], body));
  const [first] = cards;
  context.note(
    hint(
      printable(
        `Next: rclaw plugin allow ${text(first?.["id"])} [--always], or: rclaw plugin deny ${text(first?.["id"])}`,
      ),
    ),
  );
  return 0;
}

const done = {
  once: "once, within the next ten minutes",
  always: "from now on",
  deny: "",
} as const;

/** `plugin allow` and `plugin deny`: the answer. */
export async function answer(
  context: CommandContext,
  name: "allow" | "deny",
  args: readonly string[],
): Promise<number> {
  const flags = parse(args, name === "allow" ? { always: { type: "boolean" } } : {});
  const { card: id } = named(flags.words, ["card"], `plugin ${name}`);
  const given = name === "deny" ? "deny" : flags.flag("always") ? "always" : "once";
  const result = fields(await context.call("egress.resolve", { id, answer: given }));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const card = fields(result["card"]);
  const [plugin, host] = [text(card["plugin"]), text(card["host"])];
  context.note(
    printable(
      given === "deny"
        ? `${plugin} may not reach ${host}, and does not ask again until the gateway starts anew.`
        : `${plugin} may reach ${host}, ${done[given]}.`,
    ),
  );
  if (given === "always")
    context.note(hint(printable(`To undo: rclaw config unset plugins.entries.${plugin}.grants.net`)));
  return 0;
}
