import { existsSync } from "node:fs";
import path from "node:path";

/** A file that starts a thread or a program: beside this one in the product; from source, the one that was built. */
export function builtFile(name: string): string {
  const beside = path.join(import.meta.dirname, name);
  if (existsSync(beside)) return beside;
  return path.resolve(import.meta.dirname, "../../../dist/plugins/services/lanes", name);
}
