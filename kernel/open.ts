import { appendFileSync, mkdirSync, renameSync, statSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { configPaths } from "@rclaw/plugin-sdk/services/paths";
import { createKernel, type Kernel } from "./kernel.ts";
import type { GlobalOptions } from "./options.ts";

const maxLogBytes = 10_485_760;

/** A kernel on this person's state folder, from flags and environment. It serves no port until told to. */
export async function openKernel(
  { version, root, configFile, verbose }: GlobalOptions,
  logTo: "file" | "stderr" = "stderr",
): Promise<Kernel> {
  const env = configFile === undefined ? process.env : { ...process.env, RUSTY_CLAW_CONFIG: configFile };
  const paths = configPaths(env, homedir());
  const write =
    logTo === "file"
      ? fileLog(path.join(paths.stateDir, "logs"))
      : (line: string) => void process.stderr.write(line);
  return createKernel({
    paths,
    env,
    root,
    version,
    write,
    ...(verbose ? { level: "debug" } : logTo === "stderr" && { level: "error" }),
  });
}

/** One file and the one before it: a log that fills the disk would take the transcripts down with it. */
function fileLog(folder: string): (line: string) => void {
  const file = path.join(folder, "gateway.log");
  let size = -1;
  return (line) => {
    try {
      if (size < 0) {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
      }
      if (size > maxLogBytes) {
        renameSync(file, `${file}.1`);
        size = 0;
      }
      appendFileSync(file, line, { mode: 0o600 });
      size += line.length;
    } catch {
      // A log that cannot be written must not stop what it reports on.
      process.stderr.write(line);
    }
  };
}
