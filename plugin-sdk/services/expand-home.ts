import path from "node:path";

/** An absolute folder, where `~/` is the person's home. */
export function expandHome(folder: string, env: NodeJS.ProcessEnv): string {
  return folder.startsWith("~/") && env["HOME"]
    ? path.join(env["HOME"], folder.slice(2))
    : path.resolve(folder);
}
