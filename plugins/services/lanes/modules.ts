import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import { RclawError } from "@rclaw/plugin-sdk";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";
import { boundModule, boundModules } from "./limits.ts";

// Runs in the sandbox thread: megabytes are rewritten and compiled here, and what that leaves behind goes with the
// thread. V8 compiles the same bytes once for all threads.

// Engines before V8 12 compile what QuickJS guests are made of only when told to.
if (Number(process.versions.node.split(".")[0]) < 22)
  setFlagsFromString("--experimental-wasm-extended-const");

/** The core module of a file, with the limits written into it. */
export async function coreModule(file: string, limits: LaneLimits): Promise<WebAssembly.Module> {
  return compile(boundModule(await read(file), limits));
}

/** The core modules of a transpiled component, by the names that its script asks for. */
export async function modulesOf(
  folder: string,
  limits: LaneLimits,
): Promise<Readonly<Record<string, WebAssembly.Module>>> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".wasm"));
  const bytes = await Promise.all(names.map((name) => read(path.join(folder, name))));
  const bounded = boundModules(bytes, { ...limits, internal: true });
  const modules: Record<string, WebAssembly.Module> = {};
  for (const [index, name] of names.entries())
    modules[name] = await compile(bounded[index] ?? new Uint8Array());
  return modules;
}

async function read(file: string): Promise<Uint8Array> {
  return readFile(file).catch((error: unknown) => {
    throw new RclawError("UNAVAILABLE", `${file} cannot be read; install it again`, { cause: error });
  });
}

async function compile(bytes: Uint8Array): Promise<WebAssembly.Module> {
  return WebAssembly.compile(bytes).catch((error: unknown) => {
    throw new RclawError("ARTEFACT_REFUSED", `it is no valid WebAssembly: ${(error as Error).message}`, {
      cause: error,
    });
  });
}
