import type { CommandContext } from "@rclaw/plugin-sdk";
import { named, parse } from "../parse.ts";
import { printJson, table } from "../print.ts";
import { fields, rows, text } from "../shape.ts";

/** `rclaw methods`: everything that a client may ask the gateway. */
export async function run(context: CommandContext): Promise<number> {
  named(parse(context.args, {}).words, [], "methods");
  const methods = rows(fields(await context.call("methods.list", {}))["methods"]);
  if (context.json) {
    printJson(context, { methods });
    return 0;
  }
  const body = methods.map((method) => [
    text(method["name"]),
    text(method["role"]),
    text(method["scope"], "-"),
    text(method["owner"]).replace(/^kernel /, ""),
    text(method["since"], "-"),
  ]);
  context.out(table(context, ["METHOD", "ROLE", "SCOPE", "OWNER", "SINCE"], body));
  return 0;
}
