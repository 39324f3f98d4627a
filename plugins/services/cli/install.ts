import { type CommandContext, isRclawError } from "@rclaw/plugin-sdk";
import { collect, questionOf } from "./answers.ts";
import { hint } from "./hint.ts";
import type { Parsed } from "./parse.ts";
import { painter, printable, printJson } from "./print.ts";
import { type Fields, fields, rows, text, texts } from "./shape.ts";

const attempts = 3;

/** What the plugin may do, for a person to judge before a secret is typed. */
function describePlan(context: CommandContext, plan: Fields): void {
  const paint = painter(context);
  const manifest = fields(plan["manifest"]);
  const version = text(plan["version"], text(manifest["version"]));
  const title = paint("bold", printable(`${text(manifest["name"])}${version && ` ${version}`}`));
  context.note(`${title} - ${printable(text(manifest["description"]))}`);
  const lines: readonly (readonly [string, string])[] = [
    ["runs", text(plan["trust"])],
    ["adds", texts(plan["adds"]).join(", ")],
    ["may reach", texts(plan["mayReach"]).join(", ")],
    ["may read", texts(plan["mayRead"]).join(", ")],
    ["may use", texts(plan["mayUse"]).join(", ")],
  ];
  for (const [label, value] of lines) {
    if (value !== "") context.note(`  ${paint("dim", label.padEnd(11))} ${printable(value)}`);
  }
}

async function tryAdd(context: CommandContext, params: Fields, tests: boolean): Promise<Fields> {
  if (tests) context.note("Testing ...");
  const result = fields(await context.call("plugins.add", params));
  const probe = fields(result["probe"]);
  if (probe["ok"] === true)
    context.note(`Testing ... ok${text(probe["name"]) && `, this is ${printable(text(probe["name"]))}`}`);
  return result;
}

/** Only a refusal by the platform is worth another try with another token. */
const mayRetry = (error: unknown): boolean => isRclawError(error) && error.details?.["plugin"] !== undefined;

/** The conversation of `plugin add` and `channels login`. */
export async function addPlugin(
  context: CommandContext,
  id: string,
  flags: Parsed,
  again: boolean,
  known?: Fields,
): Promise<number> {
  const plan = known ?? fields(await context.call("plugins.plan", { id }));
  describePlan(context, plan);
  const questions = rows(plan["questions"]).map(questionOf);
  const account = flags.value("account");
  // Another account's answers are other answers, whatever is stored for the first one.
  const asked =
    account === undefined ? questions : questions.map((question) => ({ ...question, isSet: false }));
  for (let attempt = 1; ; attempt += 1) {
    const values = await collect(context, flags, asked, again || attempt > 1);
    const params = { id, ...(account !== undefined && { account }), values };
    try {
      const result = await tryAdd(context, params, Object.keys(values).length > 0);
      finish(context, text(fields(plan["manifest"])["name"], id), result);
      return 0;
    } catch (error) {
      const flagged = flags.values("token-env").length > 0;
      if (!context.interactive || flagged || attempt === attempts || !mayRetry(error)) throw error;
      context.note(printable(`${error instanceof Error ? error.message : String(error)}. Try again.`));
    }
  }
}

function finish(context: CommandContext, name: string, result: Fields): void {
  if (context.json) {
    printJson(context, result);
    return;
  }
  const state = result["started"] === true ? "It runs now." : "It starts with the gateway.";
  context.note(printable(`Added ${name}. ${state}`));
  const next = text(result["next"]);
  if (next !== "") context.note(hint(`Next: ${printable(next)}`));
}
