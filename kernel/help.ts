import { homedir } from "node:os";
import path from "node:path";
import type { GlobalOptions } from "./options.ts";
import { discoverBuiltIns, discoverInstalled } from "./plugins/discover.ts";
import { createServices } from "./services.ts";

/** Command summaries from the manifests alone: no plugin is loaded to print help. */
export async function commandSummaries(
  { root }: Pick<GlobalOptions, "root">,
  builtIns = discoverBuiltIns(root),
): Promise<ReadonlyMap<string, string>> {
  const summaries = new Map<string, string>();
  const stateDir = process.env["RUSTY_CLAW_STATE_DIR"] ?? path.join(homedir(), ".rusty_claw");
  const installed = await discoverInstalled(path.join(stateDir, "plugins"));
  for (const { manifest } of [...(await builtIns).found, ...installed.found]) {
    for (const [name, summary] of Object.entries(manifest.contributes.commands ?? {}))
      if (!summaries.has(name)) summaries.set(name, summary);
  }
  return summaries;
}

export async function printHelp(options: GlobalOptions): Promise<number> {
  const { version, json, root } = options;
  const builtIns = discoverBuiltIns(root);
  const commands = await commandSummaries(options, builtIns);
  const { showHelp } = await createServices((await builtIns).found).get("terminal");
  await showHelp({ version, commands, json });
  return 0;
}
