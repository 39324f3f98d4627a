import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import type { Manifest } from "@rclaw/plugin-sdk";
import type { GlobalOptions } from "./options.ts";

/** Command summaries from the manifests alone: no plugin is loaded to print help. */
export async function commandSummaries({
  root,
}: Pick<GlobalOptions, "root">): Promise<ReadonlyMap<string, string>> {
  const summaries = new Map<string, string>();
  const stateDir = process.env["RUSTY_CLAW_STATE_DIR"] ?? path.join(homedir(), ".rusty_claw");
  for (const { contributes } of [
    ...(await builtIns(root)),
    ...(await installed(path.join(stateDir, "plugins"))),
  ]) {
    for (const [name, summary] of Object.entries(contributes.commands ?? {}))
      if (!summaries.has(name)) summaries.set(name, summary);
  }
  return summaries;
}

async function builtIns(root: string): Promise<readonly Manifest[]> {
  const index = await readFile(path.join(root, "manifests.json"), "utf8").catch(() => undefined);
  if (index !== undefined) return JSON.parse(index) as Manifest[];
  const { discoverBuiltIns } = await import("./plugins/discover.ts");
  return (await discoverBuiltIns(root)).found.map(({ manifest }) => manifest);
}

async function installed(folder: string): Promise<readonly Manifest[]> {
  const { readdir } = process.getBuiltinModule("node:fs/promises");
  const names = await readdir(folder).catch(() => []);
  if (names.length === 0) return [];
  const { discoverInstalled } = await import("./plugins/discover.ts");
  const { found } = await discoverInstalled(folder);
  return found.map(({ manifest }) => manifest);
}

export async function printHelp(options: GlobalOptions): Promise<number> {
  const commands = await commandSummaries(options);
  if (options.json) {
    const list = [["gateway", "Run the gateway"], ...commands].map(([name, summary]) => ({ name, summary }));
    process.stdout.write(`${JSON.stringify({ version: options.version, commands: list })}\n`);
    return 0;
  }
  const rows: [string, string][] = [
    ["gateway", "Run the gateway in this terminal"],
    ...[...commands].sort(([a], [b]) => (a < b ? -1 : 1)),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  const lines = [
    `rclaw ${options.version} - a personal AI assistant gateway`,
    "",
    "Usage: rclaw <command> [options]",
    "",
    "Commands:",
    ...rows.map(([name, summary]) => `  ${name.padEnd(width)}${summary}`),
    "",
    "Options:",
    "  -c, --config <file>  Use this configuration file",
    "      --port <number>  Port of the gateway (0 takes any free one)",
    "      --ui             Open the web page when the gateway is ready",
    "      --json           Machine-readable output",
    "  -v, --verbose        Say more",
    "  -V, --version        Print the version",
    "  -h, --help           Help; also: rclaw <command> --help",
    "",
    "Environment: RUSTY_CLAW_STATE_DIR, RUSTY_CLAW_CONFIG, RUSTY_CLAW_GATEWAY_TOKEN",
    "",
  ];
  process.stdout.write(lines.join("\n"));
  return 0;
}
