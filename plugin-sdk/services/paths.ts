import path from "node:path";
import type { ConfigPaths } from "./config.ts";

/** Where state and configuration are, by `RUSTY_CLAW_STATE_DIR` and `RUSTY_CLAW_CONFIG` or in the home folder. */
export function configPaths(env: NodeJS.ProcessEnv, home: string): ConfigPaths {
  const absolute = (value: string): string => path.resolve(value.replace(/^~(?=$|[\\/])/, home));
  const stateDir = absolute(env["RUSTY_CLAW_STATE_DIR"] || path.join(home, ".rusty_claw"));
  return { stateDir, configFile: absolute(env["RUSTY_CLAW_CONFIG"] || path.join(stateDir, "config.json")) };
}
