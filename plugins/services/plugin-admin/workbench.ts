import { randomUUID } from "node:crypto";
import { readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { type Caller, defineMethod, type Manifest, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { checkManifest, strangersMistake } from "@rclaw/plugin-sdk/services/manifest-check";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { FoundManifest, PluginAdminPorts } from "@rclaw/plugin-sdk/services/plugin-admin";
import { entriesOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import type { Check, ToolCase } from "@rclaw/plugin-sdk/testing/conformance";
import JSON5 from "json5";
import { forPeople, placeOf } from "./cages.ts";
import { casesSchema, checkParams, idParams, linkParams } from "./methods.schema.ts";

type WorkbenchPorts = Omit<PluginAdminPorts, "rescan"> & { rescan(): Promise<unknown> };

const manifestName = "rclaw.plugin.json5";
/** Marks a folder of the state as a copy of somebody's work, which may be replaced and removed. */
const markName = ".linked-from";
const maxManifest = 262_144;

/** For authors: a folder is tried out, or lent to the running gateway. */
export function workbenchMethods(options: WorkbenchPorts): KernelMethod[] {
  return [
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.check",
        since: "rclaw",
        params: checkParams,
        handle({ params: { folder, runtime }, caller, signal }) {
          forPeople(caller, "plugins.check");
          return check(options, folder, runtime, caller, signal);
        },
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.link",
        since: "rclaw",
        params: linkParams,
        handle({ params: { folder }, caller }) {
          forPeople(caller, "plugins.link");
          return link(options, folder);
        },
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.unlink",
        since: "rclaw",
        params: idParams,
        handle({ params: { id }, caller }) {
          forPeople(caller, "plugins.unlink");
          return unlink(options, id);
        },
      }),
    },
  ];
}

async function readFolder(folder: string): Promise<FoundManifest> {
  const file = path.join(folder, manifestName);
  const refuse = (reason: string): never => {
    throw new RclawError("MANIFEST_INVALID", `${file}: ${reason}`);
  };
  const size = (await stat(file).catch(() => undefined))?.size;
  if (size === undefined)
    throw new RclawError("NOT_FOUND", `there is no plugin in ${folder}: no ${manifestName}`);
  if (size > maxManifest) refuse(`it is larger than ${maxManifest} bytes`);
  let raw: unknown;
  try {
    raw = JSON5.parse(await readFile(file, "utf8"));
  } catch (error) {
    return refuse((error as Error).message);
  }
  const manifest = checkManifest(raw, file);
  const mistake = strangersMistake(manifest);
  if (mistake) refuse(mistake);
  const { entry, wasm } = entriesOf(manifest);
  const at = (name: string): string => {
    const full = path.resolve(folder, name);
    if (!full.startsWith(folder + path.sep)) refuse(`entry "${name}" leaves the plugin's folder`);
    return full;
  };
  return { manifest, entry: at(entry), ...(wasm !== undefined && { wasm: at(wasm) }), file, builtIn: false };
}

async function readCases(folder: string): Promise<readonly ToolCase[]> {
  const file = path.join(folder, "cases.json");
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return [];
  const refuse = (reason: string): never => {
    throw new RclawError("INVALID_REQUEST", `${file}: ${reason}`);
  };
  try {
    const cases: unknown = JSON.parse(text);
    const issues = compile(casesSchema).issues(cases);
    return issues.length > 0 ? refuse(describeIssues(issues)) : (cases as readonly ToolCase[]);
  } catch (error) {
    return refuse((error as Error).message);
  }
}

/** Tries a folder's artefact in a cage of its own: what it breaks there, breaks nothing else. */
async function check(
  options: WorkbenchPorts,
  folder: string,
  wish: "wasm" | "worker" | undefined,
  { connId }: Caller,
  signal: AbortSignal,
): Promise<unknown> {
  const began = performance.now();
  const found = await readFolder(folder);
  const { id } = found.manifest;
  const runtime = wish ?? (found.wasm === undefined ? "worker" : "wasm");
  const file = runtime === "wasm" ? found.wasm : found.entry;
  if (file === undefined || (runtime === "worker" && file === found.wasm))
    throw new RclawError("INVALID_REQUEST", `plugin "${id}" has no file to run as ${runtime}`);
  if (!(await stat(file).catch(() => undefined)))
    throw new RclawError("NOT_FOUND", `${file} is not there; build the plugin first: rclaw plugin build`);
  const cases = await readCases(folder);
  // Results of an earlier check would be believed without running anything; nothing of this one stays.
  const stateDir = path.join(options.stateDir, `cache/check-${randomUUID()}`);
  const lanes = (await options.lanes()).createLanes({
    log: options.log,
    stateDir,
    limits: () => (valueAt(options.config(), `plugins.entries.${id}.limits`) as object | undefined) ?? {},
    report: () => undefined,
  });
  const { conformance } = await import("@rclaw/plugin-sdk/testing/conformance");
  const checks: Check[] = [{ name: "its manifest is valid", ok: true }];
  const tell = (item: Check): void =>
    void (connId !== undefined && options.tell(connId, "plugins.check", { folder, check: item }));
  try {
    checks.forEach(tell);
    const load = () => lanes.load(found, runtime);
    for await (const item of conformance({ manifest: found.manifest, load, cases, signal })) {
      signal.throwIfAborted();
      checks.push(item);
      tell(item);
    }
  } finally {
    await lanes.close();
    await rm(stateDir, { recursive: true, force: true });
  }
  return { id, runtime, ok: checks.every(({ ok }) => ok), ms: Math.round(performance.now() - began), checks };
}

/** Copies a folder's built files into the state and lets them run, in place of an earlier copy. */
async function link(options: WorkbenchPorts, folder: string): Promise<unknown> {
  const found = await readFolder(folder);
  const { manifest } = found;
  const { id } = manifest;
  const home = path.join(options.stateDir, "plugins", id);
  await refuseOthers(options, id, home, folder);
  const files = [...new Set([found.entry, found.wasm ?? found.entry])];
  // Read before anything is written: a folder with half a build changes nothing.
  const contents = await Promise.all(files.map((file) => readBuilt(file)));
  await writeAtomic(path.join(home, markName), `${folder}\n`);
  for (const [index, file] of files.entries())
    await writeAtomic(path.join(home, path.relative(folder, file)), contents[index] ?? "");
  await writeAtomic(path.join(home, manifestName), await readFile(found.file));
  await options.rescan();
  const refused = options.refused().find((other) => other.id === id);
  if (refused) throw new RclawError("CONFLICT", refused.reason, { details: { plugin: id } });
  const { refusal } = placeOf({ ...found, file: path.join(home, manifestName) }, options.config());
  if (refusal !== undefined) throw new RclawError("UNAVAILABLE", refusal, { details: { plugin: id } });
  if (!options.status(id).enabled)
    await options.configure([{ path: `plugins.entries.${id}.enabled`, value: true }]);
  const swapped = await options.swap(id);
  if (!swapped) {
    await options.deactivate(id);
    await options.activate(id);
  }
  const { state, error } = options.status(id);
  return { id, state, swapped, adds: addsOf(manifest), ...(error !== undefined && { error }) };
}

const addsOf = ({ contributes }: Manifest): readonly string[] =>
  (["tools", "channels", "providers"] as const).flatMap((kind) =>
    (contributes[kind] ?? []).map((name) => `${kind.replace(/s$/, "")} ${name}`),
  );

async function readBuilt(file: string): Promise<Uint8Array> {
  return readFile(file).catch((error: unknown) => {
    throw new RclawError("NOT_FOUND", `${file} is not there; build the plugin first: rclaw plugin build`, {
      cause: error,
    });
  });
}

async function refuseOthers(
  options: WorkbenchPorts,
  id: string,
  home: string,
  folder: string,
): Promise<void> {
  const there = options.plugins().get(id);
  if (there?.builtIn)
    throw new RclawError("CONFLICT", `a plugin "${id}" comes with rclaw; give yours another id`);
  const isInstalled =
    there !== undefined || (await stat(path.join(home, manifestName)).catch(() => undefined));
  if (!isInstalled) return;
  const refuse = (what: string, next: string): never => {
    throw new RclawError("CONFLICT", `plugin "${id}" ${what}: ${next}`, { details: { plugin: id } });
  };
  const remove = `rclaw plugin remove ${id}`;
  const source = there?.installed?.source;
  if (source !== undefined)
    return refuse(
      `was installed from ${source}; to work on the one in ${folder}, install that in its place`,
      `rclaw plugin add ${folder}, or take the other away: ${remove}`,
    );
  const mark = await readMark(home);
  if (mark === undefined) return refuse("was put there by hand; to work on yours", remove);
  if (mark !== folder) refuse(`is worked on in ${mark}; end that first`, remove);
}

const readMark = (home: string): Promise<string | undefined> =>
  readFile(path.join(home, markName), "utf8").then(
    (text) => text.trimEnd(),
    () => undefined,
  );

/** Is what stands there a copy of a folder that somebody works on? */
export const isLinked = async (stateDir: string, id: string): Promise<boolean> =>
  (await readMark(path.join(stateDir, "plugins", id))) !== undefined;

/** Takes back what `link` did. What was not linked stays. */
export async function unlink(options: WorkbenchPorts, id: string): Promise<unknown> {
  const home = path.join(options.stateDir, "plugins", id);
  if ((await readMark(home)) === undefined)
    throw new RclawError("NOT_FOUND", `plugin "${id}" is no copy of a folder that somebody works on`);
  const there = options.plugins().get(id);
  await options.deactivate(id);
  if (there) await options.forget(there);
  await rm(home, { recursive: true, force: true });
  const entry = `plugins.entries.${id}`;
  const said = Object.keys((valueAt(options.config(), entry) as object | undefined) ?? {});
  const isAll = said.every((key) => key === "enabled");
  await options.configure([{ path: isAll ? entry : `${entry}.enabled`, value: undefined }]);
  await options.rescan();
  return { id, state: "removed" };
}
