import { didYouMean } from "@rclaw/plugin-sdk/services/nearest";
import { commandSummaries } from "./help.ts";
import type { GlobalOptions } from "./options.ts";

/** Runs a command that a plugin contributes. Only that plugin is loaded. */
export async function runCommand(
  name: string,
  args: readonly string[],
  options: GlobalOptions,
): Promise<number> {
  const summaries = await commandSummaries(options);
  if (!summaries.has(name)) {
    const hint = didYouMean(name, [...summaries.keys(), "gateway"]) || ".";
    process.stderr.write(`rclaw: there is no command "${name}"${hint} See: rclaw --help\n`);
    return 2;
  }
  const { openKernel } = await import("./open.ts");
  const kernel = await openKernel(options);
  try {
    const { runCommand: run } = await kernel.service("terminal");
    return await run(() => kernel.command(name), args, options.help, { ...options, ...kernel });
  } finally {
    await kernel.stop("the command ended");
  }
}
