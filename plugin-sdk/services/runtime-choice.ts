import { RclawError } from "../errors.ts";
import type { Manifest } from "../manifest.ts";
import type { Runtime } from "./lanes.ts";
import type { FoundManifest } from "./plugin-admin.ts";

/** From least to most freedom. */
export const runtimes: readonly Runtime[] = ["wasm", "worker", "in-process"];
const freedom = (runtime: Runtime): number => runtimes.indexOf(runtime);

/** The files a plugin runs from: its script, its WASM artefact, or both. */
export function entriesOf({ entry }: Manifest): { readonly entry: string; readonly wasm?: string } {
  if (typeof entry !== "string") return { entry: entry.js, wasm: entry.wasm };
  return entry.endsWith(".wasm") ? { entry, wasm: entry } : { entry };
}

/**
 * Where a plugin runs. A manifest may ask for less freedom than it could have, never for more; what did not
 * come with rclaw runs as WASM unless the operator said otherwise for this very plugin. Throws UNAVAILABLE
 * with the command that helps.
 */
export function runtimeOf(found: FoundManifest, operator: unknown): Runtime {
  const { manifest, builtIn, wasm, entry } = found;
  const { id, runtime: wish } = manifest;
  const said = runtimes.find((runtime) => runtime === operator);
  const hasScript = wasm === undefined || entry !== wasm;
  const refuse = (reason: string): never => {
    throw new RclawError("UNAVAILABLE", `plugin "${id}" ${reason}`, { details: { plugin: id } });
  };
  if (said === "wasm" && wasm === undefined)
    return refuse(`has no WASM artefact, so it cannot run as wasm; to build one: rclaw plugin build`);
  if (said && said !== "wasm" && !hasScript) return refuse(`is a WASM artefact and runs as wasm only`);
  if (said) return said;
  if (builtIn || wish === "wasm") return wish;
  if (wasm !== undefined) return "wasm";
  return refuse(
    `is a script that did not come with rclaw, and would run as "${wish}" with the rights of the gateway. If you trust it as much as rclaw itself: rclaw plugin trust ${id} --runtime ${wish}`,
  );
}

/** Is the operator about to give more freedom than the plugin would have without being told? */
export const isWider = (to: Runtime, from: Runtime): boolean => freedom(to) > freedom(from);
