import type { CommandContext } from "@rclaw/plugin-sdk";
import { UsageError } from "./parse.ts";
import { printable } from "./print.ts";

/** Asks before something that cannot be taken back. Where nobody can answer, `--yes` has to. */
export async function agrees(context: CommandContext, what: string): Promise<boolean> {
  if (!context.interactive)
    throw new UsageError(`"${what}" wants a yes, and nobody is there to give it; add --yes`);
  const answer = await context.ask(`${printable(what)}? (y/N)`);
  if (/^y(?:es)?$/i.test(answer.trim())) return true;
  context.note("Nothing was changed.");
  return false;
}
