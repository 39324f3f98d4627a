import { mkdir, open, rename, rmdir, utimes } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { syncFolder } from "@rclaw/plugin-sdk/atomic";
import type {
  Changed,
  Committed,
  Consent,
  ConsentKind,
  LockedPlugin,
  LockedVersion,
  Plan,
  PluginLock,
  StageOptions,
  Staged,
  StorePorts,
  Trial,
} from "@rclaw/plugin-sdk/services/plugin-store";
import { digestOf, hashFolder, walk } from "./digest.ts";
import { planOf } from "./inspect.ts";
import { pluginsFolder, stagingFolder, stagingName, storeFolder, versionFolder } from "./layout.ts";
import { limits } from "./limits.ts";
import { lockedPlugin, readLock, requirePlugin, versionInForce, withPlugin, writeLock } from "./lockfile.ts";
import { discard } from "./stage.ts";
import { sweep } from "./sweep.ts";
import { inTurn } from "./turn.ts";
import { compareFolder } from "./verify.ts";

const reasons: Readonly<Record<ConsentKind, string>> = {
  permissions: "what it adds and may touch was not agreed to",
  widened: "it may more than the installed version, and nobody agreed to that",
  confusable: "its name is easily taken for another plugin's",
  signer: "the signer of the installed version did not sign it",
};

function requireConsent(plan: Plan, consent: Consent): void {
  const refuse = (why: string): never => {
    throw new RclawError(
      "POLICY_DENIED",
      `plugin "${plan.id}" was not installed: ${why}. Nothing was changed; look at what is asked, and agree to it or leave it`,
      { details: { plugin: plan.id, asks: plan.asks, widened: plan.diff.widened } },
    );
  };
  if (consent.digest !== plan.digest) refuse("what was agreed to is another content than this");
  const open = plan.asks.filter((kind) => !consent.accepts.includes(kind));
  if (open.length > 0) refuse(open.map((kind) => reasons[kind]).join(", and "));
}

/** Files first, then the folders that name them: what is named is there after a power cut. */
async function syncAll(folder: string): Promise<void> {
  const found = await walk(folder);
  for (const { path: file, kind } of found) {
    if (kind !== "file") continue;
    const handle = await open(path.join(folder, file), "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  for (const { path: file, kind } of found.toReversed())
    if (kind === "folder") await syncFolder(path.join(folder, file));
  await syncFolder(folder);
}

/** Gives a staged folder its name in the store. Nothing is in force by that. */
export async function keep(
  ports: StorePorts,
  staged: Pick<Staged, "id" | "folder" | "digest">,
): Promise<string> {
  const { stateDir, signal, progress } = ports;
  progress?.({ phase: "store", done: 0, total: 1 });
  const { files } = await hashFolder(staged.folder, { ...(signal && { signal }) }, limits.unpackedBytes);
  if (digestOf(files) !== staged.digest)
    throw new RclawError(
      "CONFLICT",
      `the files of plugin "${staged.id}" changed after they were looked at. Nothing was installed; try again`,
      { details: { plugin: staged.id } },
    );
  await syncAll(staged.folder);
  const target = versionFolder(stateDir, staged.id, staged.digest);
  await mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
  const there = await compareFolder(target, files);
  if (!there.ok) {
    // Left by an operation that was ended, or changed since: whatever it is, it is not this content.
    if (there.exists) await rename(target, path.join(stagingFolder(stateDir), await stagingName()));
    await rename(staged.folder, target);
  }
  // Also for one that was there: whoever put it there may have been ended before this.
  await syncFolder(path.dirname(target));
  await syncFolder(storeFolder(stateDir));
  await syncFolder(pluginsFolder(stateDir));
  progress?.({ phase: "store", done: 1, total: 1 });
  return target;
}

function versionOf({ version, source, digest, files, signer, manifest }: Staged): LockedVersion {
  return { version, source, digest, files, ...(signer && { signer }), grants: manifest.permissions ?? {} };
}

function changed(
  stateDir: string,
  id: string,
  now: LockedVersion,
  before: LockedVersion | undefined,
): Changed {
  return {
    id,
    version: now.version,
    digest: now.digest,
    folder: versionFolder(stateDir, id, now.digest),
    ...(before && { replaced: { version: before.version, digest: before.digest } }),
    changed: before?.digest !== now.digest,
  };
}

/** Garbage is no reason to fail: what is in force is so already, and the next operation looks again. */
export async function tidy({ stateDir, log }: StorePorts, lock: PluginLock): Promise<void> {
  await sweep(stateDir, lock).catch((error: unknown) => {
    log.warn({ err: error }, "what is left of older plugins could not be taken away");
  });
}

/** Somebody may have thought about it for so long that it would be taken for forgotten. */
async function claim({ id, folder }: Staged): Promise<void> {
  const now = new Date();
  await utimes(path.dirname(folder), now, now).catch((error: unknown) => {
    throw new RclawError("NOT_FOUND", `what was fetched of plugin "${id}" is gone; fetch it again`, {
      cause: error,
      details: { plugin: id },
    });
  });
}

/**
 * One version after another; what was to go back to before is kept for when this one does not live. Trials of one session
 * keep the version from before it to go back to.
 */
function following(now: LockedVersion, before: LockedPlugin | undefined, trial?: Trial): LockedPlugin {
  if (!before) return now;
  const { previous, earlier } = before;
  const isFromBefore = trial !== undefined && previous?.digest === trial.since && trial.since !== now.digest;
  if (before.digest === now.digest || isFromBefore)
    return { ...now, ...(previous && { previous }), ...(earlier && { earlier }) };
  return { ...now, previous: versionInForce(before), ...(previous && { earlier: previous }) };
}

/** Everything before the lock is written cannot be seen, everything after it is in force. */
export async function commit(
  ports: StorePorts,
  staged: Staged,
  consent: Consent,
  { trial, ...options }: Pick<StageOptions, "builtIns"> & { readonly trial?: Trial },
): Promise<Committed> {
  const { stateDir } = ports;
  const { id } = staged;
  const done = await inTurn(ports, async () => {
    const lock = await readLock(stateDir);
    // Looked at again: what is installed may be another version than when the plan was shown.
    requireConsent(await planOf(stateDir, lock, staged, options), consent);
    await claim(staged);
    await tidy(ports, lock);
    await keep(ports, staged);
    const before = lockedPlugin(lock, id);
    const now = versionOf(staged);
    const plugin = following(now, before, trial);
    ports.signal?.throwIfAborted();
    const next = withPlugin(lock, id, plugin);
    await writeLock(stateDir, next);
    if (!trial) await tidy(ports, next);
    return { ...changed(stateDir, id, now, before), ...(before && { before }) };
  });
  await discard(staged);
  // One a save would drown what the plugin itself writes.
  const level = trial ? "debug" : "info";
  ports.log[level]({ plugin: id, version: done.version, digest: done.digest }, "plugin installed");
  return done;
}

/** Ends a trial. Where somebody else has changed the plugin since, theirs stays. */
export async function settle(
  ports: StorePorts,
  { id, digest }: Pick<Changed, "id" | "digest">,
  back?: LockedPlugin,
): Promise<void> {
  const { stateDir } = ports;
  await inTurn(ports, async () => {
    const lock = await readLock(stateDir);
    const isBack = back !== undefined && lockedPlugin(lock, id)?.digest === digest;
    const next = isBack ? withPlugin(lock, id, back) : lock;
    if (isBack) await writeLock(stateDir, next);
    await tidy(ports, next);
  });
}

/** The installed version and the one before it change places. */
export async function rollback(ports: StorePorts, id: string): Promise<Changed> {
  const { stateDir } = ports;
  const done = await inTurn(ports, async () => {
    const lock = await readLock(stateDir);
    const now = requirePlugin(lock, id);
    await tidy(ports, lock);
    const previous = requirePrevious(id, now);
    await requireWhole(stateDir, id, previous);
    const next = withPlugin(lock, id, following(previous, now));
    await writeLock(stateDir, next);
    await tidy(ports, next);
    return changed(stateDir, id, previous, now);
  });
  ports.log.info({ plugin: id, version: done.version, digest: done.digest }, "plugin rolled back");
  return done;
}

function requirePrevious(id: string, { version, previous }: LockedPlugin): LockedVersion {
  if (previous) return previous;
  throw new RclawError("NOT_FOUND", `plugin "${id}" has no version before ${version} to go back to`, {
    details: { plugin: id },
  });
}

async function requireWhole(stateDir: string, id: string, version: LockedVersion): Promise<void> {
  const { ok } = await compareFolder(versionFolder(stateDir, id, version.digest), version.files);
  if (ok) return;
  throw new RclawError(
    "PLUGIN_FAILED",
    `version ${version.version} of plugin "${id}" is damaged on the disk, so it was not brought back. Fetch it anew: rclaw plugin add ${version.source}`,
    { details: { plugin: id } },
  );
}

/**
 * Undoes the change that led to a version which does not live: the lock says again what it said before. Where it was
 * changed meanwhile, it only forgets that version.
 */
export async function revert(ports: StorePorts, id: string, bad: string): Promise<boolean> {
  const { stateDir } = ports;
  const isChanged = await inTurn(ports, async () => {
    const lock = await readLock(stateDir);
    const plugin = lockedPlugin(lock, id);
    if (plugin?.digest !== bad && plugin?.previous?.digest !== bad) return false;
    const now = plugin.digest === bad ? requirePrevious(id, plugin) : versionInForce(plugin);
    if (plugin.digest === bad) await requireWhole(stateDir, id, now);
    const { earlier } = plugin;
    const previous = earlier?.digest === now.digest ? undefined : earlier;
    const next = withPlugin(lock, id, { ...now, ...(previous && { previous }) });
    await writeLock(stateDir, next);
    await tidy(ports, next);
    return true;
  });
  if (isChanged) ports.log.info({ plugin: id, bad }, "a plugin's version that did not live was taken out");
  return isChanged;
}

/** Out of the lock, and then off the disk: in between it is only garbage. */
export async function remove(ports: StorePorts, id: string): Promise<void> {
  const { stateDir } = ports;
  await inTurn(ports, async () => {
    const lock = await readLock(stateDir);
    requirePlugin(lock, id);
    const next = withPlugin(lock, id, undefined);
    await writeLock(stateDir, next);
    await tidy(ports, next);
    // Where there is nothing left, nothing is to be seen of it. One that holds something stays.
    for (const folder of [storeFolder(stateDir), stagingFolder(stateDir)])
      await rmdir(folder).catch(() => undefined);
  });
  ports.log.info({ plugin: id }, "plugin removed");
}
