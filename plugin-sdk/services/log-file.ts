import { appendFileSync, mkdirSync, renameSync, statSync } from "node:fs";
import path from "node:path";
import { valueAt } from "./value-at.ts";

/** The file that is written to, and as much again in the one before it. */
const maxBytes = 10_485_760;

/** Where the gateway's log goes by `logging.file`, or undefined when it has no file. */
export function logFileOf(config: unknown, stateDir: string): string | undefined {
  const given = valueAt(config, "logging.file");
  if (given === false) return undefined;
  const name = typeof given === "string" && given !== "" ? given : "logs/gateway.log";
  return path.resolve(stateDir, name.replace(/^~(?=$|[\\/])/, process.env["HOME"] ?? "~"));
}

export interface LogFile {
  /** Takes whole lines. */
  write(line: string): void;
  /** Goes on there with the next line; without a file, on stderr. */
  moveTo(file: string | undefined): void;
}

/** One file and the one before it: a log that fills the disk would take the transcripts down with it. */
export function openLogFile(first: string): LogFile {
  let file: string | undefined = first;
  let size = -1;

  function append(to: string, line: string): void {
    if (size < 0) {
      mkdirSync(path.dirname(to), { recursive: true, mode: 0o700 });
      size = statSync(to, { throwIfNoEntry: false })?.size ?? 0;
    }
    if (size > maxBytes) {
      renameSync(to, `${to}.1`);
      size = 0;
    }
    // Opened for each line: whoever moves the file away gets a new one, and no descriptor is kept.
    appendFileSync(to, line, { mode: 0o600 });
    size += Buffer.byteLength(line);
  }

  return {
    write(line) {
      try {
        if (file === undefined) process.stderr.write(line);
        else append(file, line);
      } catch {
        // A log that cannot be written must not stop what it reports on.
        process.stderr.write(line);
        size = -1;
      }
    },
    moveTo(next) {
      if (next === file) return;
      file = next;
      size = -1;
    },
  };
}
