import type { CommandContext } from "@rclaw/plugin-sdk";
import { hint } from "../hint.ts";
import { parse } from "../parse.ts";
import { painter, printable, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";

const nameOf = (row: Fields): string => `${text(row["provider"])}/${text(row["id"])}`;

function tokens(count: number | undefined): string {
  if (count === undefined) return "-";
  return count < 1_000_000 ? `${Math.round(count / 1_000)}k` : `${Math.round(count / 100_000) / 10}M`;
}

export async function run(context: CommandContext): Promise<number> {
  const { words } = parse(context.args, {});
  const [list, chosen] = await Promise.all([
    context.call("models.list", {}),
    // Without any model there is nothing that answers, and still a list.
    context.call("models.default", {}).catch(() => undefined),
  ]);
  const wanted = words.map((word) => word.toLowerCase());
  const models = rows(fields(list)["models"]).filter((row) =>
    wanted.every((word) => `${nameOf(row)} ${text(row["name"])}`.toLowerCase().includes(word)),
  );
  const { provider, model, reason } = fields(chosen);
  const answering = chosen === undefined ? undefined : `${text(provider)}/${text(model)}`;
  if (context.json) {
    printJson(context, { default: chosen ?? null, models });
    return 0;
  }
  const paint = painter(context);
  const body = models.map((row) => {
    const isAnswering = nameOf(row) === answering;
    return [
      isAnswering ? ({ text: nameOf(row), tint: "green" } as const) : nameOf(row),
      tokens(number(row["contextWindow"])),
      isAnswering ? "answers" : "",
    ];
  });
  if (body.length > 0) context.out(table(context, ["MODEL", "CONTEXT", ""], body));
  else context.note(words.length > 0 ? "No model has such a name." : "No provider lists a model.");
  context.note(
    answering === undefined
      ? "\nNo model answers yet. Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or start Ollama."
      : printable(`\n${answering} answers: ${text(reason, "chosen")}.`),
  );
  context.note(
    hint(paint("dim", "To choose another: rclaw config set agents.defaults.model <provider>/<model>")),
  );
  return 0;
}
