import { RclawError } from "@rclaw/plugin-sdk";

const shells = new Set(["ash", "bash", "dash", "fish", "ksh", "powershell", "pwsh", "sh", "zsh"]);

/** A command's words as one line, for people. It is what OpenClaw's nodes compare with, so its quoting is theirs. */
export const asLine = (argv: readonly string[]): string =>
  argv
    .map((word) => {
      if (word === "") return '""';
      return /[\s"]/.test(word) ? `"${word.replaceAll('"', String.raw`\"`)}"` : word;
    })
    .join(" ");

/**
 * The words that will run, after a look at the line that was shown for them: one that says
 * something else than the words do would have a person allow what they did not see.
 */
export function wordsOf({ command, rawCommand }: { command: unknown; rawCommand: unknown }): string[] {
  const raw = typeof rawCommand === "string" && rawCommand.trim() !== "" ? rawCommand.trim() : undefined;
  const argv = Array.isArray(command) ? command.map(String) : [];
  if (argv.length === 0) {
    if (raw === undefined) return [];
    throw refused("rawCommand requires params.command", { code: "MISSING_COMMAND" });
  }
  const inferred = inlineOf(argv)?.trim() ?? asLine(argv);
  if (raw === undefined || raw === inferred) return argv;
  throw refused("INVALID_REQUEST: rawCommand does not match command", {
    code: "RAW_COMMAND_MISMATCH",
    rawCommand: raw,
    inferred,
  });
}

/** What follows `sh -c`, when the words are that and nothing else. */
function inlineOf(argv: readonly string[]): string | undefined {
  const name = (argv[0] ?? "")
    .split(/[\\/]/)
    .pop()
    ?.toLowerCase()
    .replace(/\.exe$/, "");
  if (name === "cmd") {
    const at = argv.findIndex((word, index) => index > 0 && /^\/[ck]$/i.test(word.trim()));
    return at > 0 && at + 1 < argv.length ? argv.slice(at + 1).join(" ") : undefined;
  }
  if (name === undefined || !shells.has(name)) return undefined;
  const flags =
    name === "powershell" || name === "pwsh" ? /^(?:-c|-command|--command)$/i : /^(?:-l?c|--command)$/i;
  for (const [index, word] of argv.entries()) {
    if (index === 0) continue;
    if (word.trim() === "--") return undefined;
    if (!flags.test(word.trim())) continue;
    const rest = argv.slice(index + 2).some((extra) => extra.trim() !== "");
    return rest ? undefined : argv[index + 1];
  }
  return undefined;
}

export function refused(message: string, details?: Readonly<Record<string, unknown>>): RclawError {
  return new RclawError("INVALID_REQUEST", message, details && { details });
}
