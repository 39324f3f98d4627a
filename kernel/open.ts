import { homedir } from "node:os";
import { logFileOf, openLogFile } from "@rclaw/plugin-sdk/services/log-file";
import { configPaths } from "@rclaw/plugin-sdk/services/paths";
import { createKernel, type Kernel } from "./kernel.ts";
import type { GlobalOptions } from "./options.ts";

/** A kernel on this person's state folder, from flags and environment. It serves no port until told to. */
export async function openKernel(
  { version, root, configFile, verbose }: GlobalOptions,
  logTo: "file" | "stderr" = "stderr",
): Promise<Kernel> {
  const env = configFile === undefined ? process.env : { ...process.env, RUSTY_CLAW_CONFIG: configFile };
  const paths = configPaths(env, homedir());
  // Until the configuration is read, where it is by default.
  const file = logTo === "file" ? openLogFile(logFileOf({}, paths.stateDir) ?? "") : undefined;
  return createKernel({
    paths,
    env,
    root,
    version,
    write: file?.write ?? ((line) => void process.stderr.write(line)),
    logTo: (to) => file?.moveTo(to),
    ...(verbose ? { level: "debug" } : logTo === "stderr" && { level: "error" }),
  });
}
