import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { hint } from "../hint.ts";
import { child, type Key, parsePath, patchFor, valueAt } from "../keypath.ts";
import { didYouMean } from "@rclaw/plugin-sdk/services/nearest";
import { named, parse, sentence, subcommand } from "../parse.ts";
import { printable, printJson } from "../print.ts";
import { type Fields, fields, isFields, rows, text } from "../shape.ts";

const subcommands = ["show", "get", "set", "unset"] as const;
const secretKey = /(?:token|password|secret|api_?key)$/i;

async function load(context: CommandContext): Promise<Fields> {
  return fields(await context.call("config.get", {}));
}

function noteProblems(context: CommandContext, loaded: Fields): void {
  for (const issue of rows(loaded["issues"])) {
    context.note(`error: ${printable(`${text(issue["path"], "(root)")}: ${text(issue["message"])}`)}`);
  }
  for (const warning of rows(loaded["warnings"])) {
    context.note(`warning: ${printable(`${text(warning["path"], "(root)")}: ${text(warning["message"])}`)}`);
  }
}

async function show(context: CommandContext, args: readonly string[]): Promise<number> {
  named(parse(args, {}).words, [], "config show");
  const loaded = await load(context);
  if (context.json) {
    const { path, exists, valid, config, issues, warnings } = loaded;
    printJson(context, { path, exists, valid, config, issues, warnings });
    return 0;
  }
  context.note(printable(text(loaded["path"])));
  const raw = text(loaded["raw"]) || `${JSON.stringify(loaded["config"], null, 2)}\n`;
  context.out(printable(raw.endsWith("\n") ? raw : `${raw}\n`));
  noteProblems(context, loaded);
  return loaded["valid"] === false ? 1 : 0;
}

function missing(config: unknown, keys: readonly Key[], path: string): RclawError {
  const depth = keys.findIndex((_, index) => valueAt(config, keys.slice(0, index + 1)) === undefined);
  const parent = valueAt(config, keys.slice(0, depth));
  const near = isFields(parent) ? didYouMean(String(keys[depth]), Object.keys(parent)) : "";
  return new RclawError(
    "NOT_FOUND",
    `${sentence(`nothing is set at ${path}${near}`)} See: rclaw config show`,
  );
}

async function get(context: CommandContext, args: readonly string[]): Promise<number> {
  const { path } = named(parse(args, {}).words, ["path"], "config get");
  const keys = parsePath(path);
  const { config } = await load(context);
  const value = valueAt(config, keys);
  if (value === undefined) throw missing(config, keys, path);
  if (context.json || typeof value !== "string") printJson(context, value);
  else context.out(`${printable(value)}\n`);
  return 0;
}

async function readAll(context: CommandContext): Promise<string> {
  const lines: string[] = [];
  for await (const line of context.lines()) lines.push(line);
  return lines.join("\n");
}

async function valueOf(context: CommandContext, path: string, given: string): Promise<unknown> {
  if (given === "-")
    return context.interactive ? context.ask(`Value of ${path}`, { hidden: true }) : readAll(context);
  if (secretKey.test(path)) {
    context.note(
      hint(`The shell's history now holds this value. Next time: rclaw config set ${printable(path)} -`),
    );
  }
  const json5 = await import("json5");
  try {
    return json5.default.parse<unknown>(given);
  } catch {
    return given;
  }
}

async function write(context: CommandContext, path: string, value: unknown): Promise<number> {
  const keys = parsePath(path);
  const loaded = await load(context);
  const patch = patchFor(loaded["parsed"], keys, value);
  const hash = text(loaded["hash"]);
  const answer = fields(
    await context.call("config.patch", {
      raw: JSON.stringify(patch),
      ...(hash !== "" && { baseHash: hash }),
    }),
  );
  const now = valueAt(answer["config"], keys);
  if (context.json) {
    printJson(context, {
      ok: true,
      path: answer["path"] ?? loaded["path"],
      key: path,
      ...(now !== undefined && { value: now }),
    });
    return 0;
  }
  const said = value === undefined ? `${path} is removed` : `${path} = ${JSON.stringify(now ?? value)}`;
  context.note(printable(`${said} in ${text(answer["path"], text(loaded["path"]))}`));
  const running = await context.gateway();
  if (running && /^gateway\.(?:port|bind|tls)/.test(path))
    context.note("This takes effect when the gateway is restarted.");
  return 0;
}

async function set(context: CommandContext, args: readonly string[]): Promise<number> {
  // A value may begin with a dash, as negative numbers do; flags stand before the path.
  const [first = "", second, ...more] = args;
  const words = second === undefined ? parse(args, {}).words : [...parse([first], {}).words, second, ...more];
  const { path, value } = named(words, ["path", "value"], "config set");
  parsePath(path);
  return write(context, path, await valueOf(context, path, value));
}

async function unset(context: CommandContext, args: readonly string[]): Promise<number> {
  const { path } = named(parse(args, {}).words, ["path"], "config unset");
  const keys = parsePath(path);
  const { parsed } = await load(context);
  const last = keys.at(-1);
  if (last === undefined || child(valueAt(parsed, keys.slice(0, -1)), last) === undefined)
    throw missing(parsed, keys, path);
  return write(context, path, undefined);
}

export async function run(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "show");
  return { show, get, set, unset }[name](context, rest);
}
