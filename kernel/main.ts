import path from "node:path";
import { parseArgs } from "node:util";
import type { GlobalOptions } from "./options.ts";

/**
 * The process's entry. It knows one word, `gateway`; every other command belongs
 * to a plugin. Nothing but the manifest index is read before it is known what to
 * load, so that `--help` is instant and a command never pays for the gateway.
 */
const version = process.env["RCLAW_VERSION"] ?? "0.0.0-source";

const flags = {
  config: { type: "string", short: "c" },
  port: { type: "string" },
  ui: { type: "boolean" },
  json: { type: "boolean" },
  verbose: { type: "boolean", short: "v" },
  version: { type: "boolean", short: "V" },
  help: { type: "boolean", short: "h" },
} as const;

/** Global flags may stand before or after the command; what is not ours is the command's. */
function splitArguments(argv: readonly string[]) {
  const own: string[] = [];
  const rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") {
      rest.push(...argv.slice(i));
      break;
    }
    const name = word.startsWith("--") ? word.slice(2).split("=")[0] : undefined;
    const flag = Object.entries(flags).find(
      ([long, flag]) => name === long || ("short" in flag && word === `-${flag.short}`),
    )?.[1];
    if (!flag) {
      rest.push(word);
      continue;
    }
    own.push(word);
    const next = argv[i + 1];
    if (flag.type === "string" && !word.includes("=") && next !== undefined) {
      own.push(next);
      i++;
    }
  }
  return { own, rest };
}

async function main(argv: readonly string[]): Promise<number> {
  // Node 22 and later; nothing to call on 20.
  (process.getBuiltinModule("node:module") as { enableCompileCache?(): void }).enableCompileCache?.();
  const { own, rest } = splitArguments(argv);
  let values;
  try {
    ({ values } = parseArgs({ args: own, options: flags, strict: true }));
  } catch (error) {
    process.stderr.write(`rclaw: ${(error as Error).message}. See: rclaw --help\n`);
    return 2;
  }
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && (!Number.isInteger(port) || port < 0 || port > 65_535)) {
    process.stderr.write(
      `rclaw: --port wants a number from 0 to 65535, not "${values.port}" (0 takes any free port)\n`,
    );
    return 2;
  }
  if (values.version) {
    process.stdout.write(values.json ? `${JSON.stringify({ version })}\n` : `${version}\n`);
    return 0;
  }
  const options: GlobalOptions = {
    version,
    root: path.resolve(import.meta.dirname, version === "0.0.0-source" ? ".." : "."),
    json: values.json ?? false,
    verbose: values.verbose ?? false,
    openUi: values.ui ?? false,
    help: values.help ?? false,
    ...(values.config !== undefined && { configFile: path.resolve(values.config) }),
    ...(port !== undefined && { port }),
  };
  const [command = values.ui ? "gateway" : undefined, ...args] = rest;
  if (command === undefined || (command === "gateway" && options.help) || command === "help") {
    const { printHelp } = await import("./help.ts");
    return printHelp(options);
  }
  if (command === "gateway") {
    const { serve } = await import("./serve.ts");
    return serve(options, args);
  }
  const { runCommand } = await import("./commands.ts");
  return runCommand(command, args, options);
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const { message, code } = error as Error & { code?: string };
    process.stderr.write(`rclaw: ${message}${code ? ` [${code}]` : ""}\n`);
    process.exitCode = code === "GATEWAY_UNREACHABLE" ? 3 : 1;
  },
);
