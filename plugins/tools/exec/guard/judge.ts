import { Reading, type ReadingOptions } from "./reading.ts";

export interface Verdict {
  /** Why the command must not run. */
  readonly denied?: string;
  /** Every simple command found in it, quotes and wrappers taken off. */
  readonly commands: readonly string[];
}

/**
 * Reads a command as a shell would, without running anything, and says whether the hard-deny
 * list forbids it. In a sandbox this only spares people accidents: the sandbox is the boundary.
 */
export function judge(command: string, options: ReadingOptions): Verdict {
  const reading = new Reading(options);
  try {
    readAll(reading, command, options);
  } catch {
    // Whatever the parser trips over, nobody has read the command.
    reading.deny("it cannot be read");
  }
  const denied = reading.denied ?? (options.strict ? reading.unclearReason : undefined);
  return { ...(denied !== undefined && { denied }), commands: reading.commands };
}

function readAll(reading: Reading, command: string, { given }: ReadingOptions): void {
  for (const [name, value] of Object.entries(given)) reading.prefixVariable(name, value);
  reading.script(command, undefined);
  // Letters that only look like others, or are not seen at all, must not hide a name.
  const plain = command.normalize("NFKC").replaceAll(/\p{Cf}/gu, "");
  if (plain === command) return;
  reading.script(plain, undefined);
  reading.unclear("it has invisible or look-alike characters");
}
