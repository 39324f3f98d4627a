import { existsSync } from "node:fs";
import path from "node:path";

/** A file that starts a thread or a program: beside this one in the product; from source, the one that was built. */
export function builtFile(name: string): string {
  const beside = path.join(import.meta.dirname, name);
  if (existsSync(beside)) return beside;
  return path.resolve(import.meta.dirname, "../../../dist/plugins/services/lanes", name);
}

/** What the build made of the components that ship with rclaw; laid out like a gateway's own cache. */
export const shippedFolder = (): string =>
  path.resolve(path.dirname(builtFile("sandbox.worker.cjs")), "../../../components");

/** A built-in's entry as the build made it, also when the gateway itself runs from source. */
export function builtEntry(file: string): string {
  const dist = path.dirname(shippedFolder());
  if (file.startsWith(dist + path.sep)) return file;
  const own = path.relative(path.dirname(dist), file).replace(/\.[jt]s$/, ".cjs");
  return own.startsWith("..") ? file : path.join(dist, own);
}
