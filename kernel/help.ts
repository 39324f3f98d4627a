import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import type { Manifest } from "@rclaw/plugin-sdk";
import { showHelp } from "@rclaw/plugin-sdk/services/help-screen";
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
  const { version, json } = options;
  showHelp({ version, commands: await commandSummaries(options), json });
  return 0;
}
