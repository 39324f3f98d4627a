import { execFile } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";

/**
 * Where packages are looked up: `plugins.registry` of the configuration, else the registry that npm uses on this
 * machine. Undefined when there is neither, and package names are then refused.
 */
export async function registryOf(config: unknown, signal: AbortSignal): Promise<string | undefined> {
  const own = valueAt(config, "plugins.registry");
  if (typeof own === "string" && own !== "") return own;
  const given = process.env["npm_config_registry"];
  if (given) return given;
  // Asked once: npm does not change its mind while this runs, and to ask is to start a program.
  asked ??= askNpm(signal);
  return asked;
}

let asked: Promise<string | undefined> | undefined;

async function askNpm(signal: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("npm", ["config", "get", "registry"], {
      signal,
      timeout: 20_000,
      // It would write a log of every question into the person's home.
      env: {
        ...process.env,
        npm_config_logs_max: "0",
        npm_config_update_notifier: "false",
        npm_config_cache: path.join(os.tmpdir(), "rclaw-npm-cache"),
      },
      // npm reads a project's settings from where it runs, and that folder may be a stranger's.
      cwd: process.env["HOME"] ?? "/",
    });
    const answer = stdout.trim();
    return URL.canParse(answer) ? answer : undefined;
  } catch {
    asked = undefined;
    return undefined;
  }
}
