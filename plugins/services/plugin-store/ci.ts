import { readFile } from "node:fs/promises";
import { RclawError } from "@rclaw/plugin-sdk";
import type {
  CiResult,
  LockedPlugin,
  PluginLock,
  StageOptions,
  Staged,
  StorePorts,
} from "@rclaw/plugin-sdk/services/plugin-store";
import { keep, tidy } from "./commit.ts";
import { lockPath, versionFolder } from "./layout.ts";
import { parseLock, readLock, versionInForce, writeLock } from "./lockfile.ts";
import { discard, stage } from "./stage.ts";
import { canonical, codeOf, quoted } from "./text.ts";
import { inTurn } from "./turn.ts";
import { compareFolder } from "./verify.ts";

type Options = Pick<StageOptions, "builtIns" | "registry" | "baseDir">;

/** Makes the state equal a lock. Everything is fetched and compared first; one that differs, and nothing is changed. */
export async function ci(ports: StorePorts, text: string | undefined, options: Options): Promise<CiResult> {
  const { stateDir } = ports;
  const wanted = parseLock(
    text ?? (await ownLock(stateDir)),
    text === undefined ? lockPath(stateDir) : "the lock",
  );
  refuseBuiltIns(wanted, options);
  const staged: Staged[] = [];
  const kept: string[] = [];
  try {
    for (const [id, plugin] of Object.entries(wanted.plugins)) {
      ports.signal?.throwIfAborted();
      if (await isThere(stateDir, id, plugin)) kept.push(id);
      else staged.push(await fetchAsLocked(ports, id, plugin, options));
    }
    const removed = await inTurn(ports, () => putInForce(ports, wanted, staged));
    ports.log.info({ fetched: staged.length, kept: kept.length, removed }, "plugins made equal to the lock");
    return { fetched: staged.map(({ id }) => id), kept, removed };
  } finally {
    for (const item of staged) await discard(item);
  }
}

async function ownLock(stateDir: string): Promise<string> {
  try {
    return await readFile(lockPath(stateDir), "utf8");
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    throw new RclawError("NOT_FOUND", `there is no ${lockPath(stateDir)}; put one there, or name one`, {
      cause: error,
    });
  }
}

function refuseBuiltIns({ plugins }: PluginLock, { builtIns }: Options): void {
  const id = Object.keys(plugins).find((name) => builtIns.some((known) => known.id === name));
  if (id !== undefined)
    throw new RclawError(
      "CONFLICT",
      `the lock names "${id}", and that is a part of rclaw, which nothing can replace. Nothing was changed`,
      { details: { plugin: id } },
    );
}

async function isThere(stateDir: string, id: string, { digest, files }: LockedPlugin): Promise<boolean> {
  return (await compareFolder(versionFolder(stateDir, id, digest), files)).ok;
}

async function fetchAsLocked(
  ports: StorePorts,
  id: string,
  plugin: LockedPlugin,
  options: Options,
): Promise<Staged> {
  const staged = await stage(ports, plugin.source, { ...options, id });
  const difference =
    staged.digest !== plugin.digest
      ? "is not the content that the lock names: its digest differs"
      : canonical(staged.manifest.permissions ?? {}) !== canonical(plugin.grants)
        ? "asks for other permissions than the lock grants"
        : undefined;
  if (difference === undefined) return staged;
  await discard(staged);
  throw new RclawError(
    "CONFLICT",
    `what ${quoted(plugin.source)} brings for plugin "${id}" ${difference}. Nothing was changed; to take the new content: rclaw plugin update ${id}`,
    { details: { plugin: id, wanted: plugin.digest, found: staged.digest } },
  );
}

async function putInForce(
  ports: StorePorts,
  wanted: PluginLock,
  staged: readonly Staged[],
): Promise<readonly string[]> {
  const { stateDir } = ports;
  // A lock of this state that cannot be read has nothing to say about what is kept.
  const before = await readLock(stateDir).catch(() => wanted);
  for (const item of staged) await keep(ports, item);
  const plugins: [string, LockedPlugin][] = [];
  for (const [id, plugin] of Object.entries(wanted.plugins)) {
    if (!(await isThere(stateDir, id, plugin)))
      throw new RclawError("CONFLICT", `plugin "${id}" was removed by somebody meanwhile; try again`, {
        retryable: true,
      });
    const { previous } = plugin;
    // A version to go back to is not fetched: where it is not there, there is none.
    const canGoBack =
      previous !== undefined &&
      (await compareFolder(versionFolder(stateDir, id, previous.digest), previous.files)).ok;
    plugins.push([id, { ...versionInForce(plugin), ...(canGoBack && { previous }) }]);
  }
  ports.signal?.throwIfAborted();
  const next: PluginLock = { lockVersion: 1, plugins: Object.fromEntries(plugins) };
  await writeLock(stateDir, next);
  await tidy(ports, next);
  return Object.keys(before.plugins).filter((id) => !Object.hasOwn(next.plugins, id));
}
