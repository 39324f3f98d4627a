import { execFile } from "node:child_process";
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
  try {
    const { stdout } = await promisify(execFile)("npm", ["config", "get", "registry"], {
      signal,
      timeout: 20_000,
      // npm reads a project's settings from where it runs, and that folder may be a stranger's.
      cwd: process.env["HOME"] ?? "/",
    });
    const answer = stdout.trim();
    return URL.canParse(answer) ? answer : undefined;
  } catch {
    return undefined;
  }
}
