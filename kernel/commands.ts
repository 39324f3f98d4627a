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
    const near = [...summaries.keys(), "gateway"].find((known) => distance(known, name) <= 2);
    const hint = near ? `; did you mean "${near}"?` : ".";
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

/** Edits between two words, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_unused, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swap));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
