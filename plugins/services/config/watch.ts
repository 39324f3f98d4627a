import type { ConfigChange, LoadedConfig, WatchOptions } from "@rclaw/plugin-sdk/services/config";
import { type FSWatcher, watch } from "node:fs";
import { access } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { isMissing } from "./files.ts";
import { dotted, isObject } from "./values.ts";

const needRestart = [
  "gateway.mode",
  "gateway.port",
  "gateway.bind",
  "gateway.customBindHost",
  "gateway.tls",
  "gateway.auth.mode",
];

/**
 * Reports changes of the configuration file and of what it includes, one report for a
 * burst of them. Folders are watched, because editors replace files. An invalid or
 * deleted file leaves the running configuration as it is and is reported with its issues.
 */
export function watchConfig({ loaded, reload, onChange, signal }: WatchOptions): void {
  if (signal.aborted) return;
  let known = typeof loaded === "function" ? loaded() : loaded;
  const watchers = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | undefined;
  let isReading = false;
  let isStale = false;

  const running = (): LoadedConfig => (typeof loaded === "function" ? loaded() : known);

  function watchFolders(): void {
    const folders = new Set(known.files.map((file) => path.dirname(file)));
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) if (!watchers.has(folder)) watchFolder(folder);
  }

  function watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name !== null && !known.files.includes(path.join(folder, name))) return;
        schedule();
      });
      // A folder that vanishes ends its watcher; the next reload tries again.
      watcher.on("error", () => {
        watcher.close();
        watchers.delete(folder);
      });
      watchers.set(folder, watcher);
    } catch {
      // Not there yet, or no watches left on this system: the file is read again at the next start.
    }
  }

  function schedule(): void {
    clearTimeout(timer);
    timer = setTimeout(() => void read(), running().config.gateway.reload.debounceMs);
    timer.unref();
  }

  async function read(): Promise<void> {
    if (isReading) {
      isStale = true;
      return;
    }
    isReading = true;
    try {
      do {
        isStale = false;
        await readOnce();
      } while (isStale && !signal.aborted);
    } finally {
      isReading = false;
    }
  }

  async function readOnce(): Promise<void> {
    const isGone = await access(running().path).then(
      () => false,
      (error: unknown) => isMissing(error),
    );
    // Loading would take a missing file for a first start.
    const read = isGone ? undefined : await reload();
    if (signal.aborted) return;
    // Somebody may have written and applied the same meanwhile.
    const before = running();
    const after = read ? keepRunning(before, read) : gone(before);
    known = after;
    watchFolders();
    const change = changeBetween(before, after);
    if (change) onChange(change);
  }

  signal.addEventListener(
    "abort",
    () => {
      clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
    { once: true },
  );
  watchFolders();
}

function gone(before: LoadedConfig): LoadedConfig {
  const issues = [
    { path: "", message: `${before.path} is gone; the gateway goes on with the configuration it has` },
  ];
  return {
    ...before,
    exists: false,
    raw: null,
    hash: null,
    parsed: {},
    resolved: {},
    source: "last-known-good",
    issues,
    warnings: [],
  };
}

/** A running gateway has something better than the parts of a file that happen to be valid. */
function keepRunning(before: LoadedConfig, after: LoadedConfig): LoadedConfig {
  if (after.issues.length === 0) return after;
  const { config, unresolved } = before;
  const fromEnv = [...new Set([...before.fromEnv, ...after.fromEnv])];
  return {
    ...after,
    config,
    unresolved,
    fromEnv,
    source: "last-known-good",
    files: [...new Set([...before.files, ...after.files])],
  };
}

/** What differs, or undefined when nothing does that anybody could see. */
export function changeBetween(before: LoadedConfig, after: LoadedConfig): ConfigChange | undefined {
  const changedPaths = changed(before.config, after.config, []);
  const isSame =
    changedPaths.length === 0 && before.hash === after.hash && isDeepStrictEqual(before.issues, after.issues);
  if (isSame) return undefined;
  return { loaded: after, changedPaths, restartNeeded: changedPaths.filter(needsRestart) };
}

export function needsRestart(changedPath: string): boolean {
  return needRestart.some(
    (key) => `${changedPath}.`.startsWith(`${key}.`) || `${key}.`.startsWith(`${changedPath}.`),
  );
}

function changed(before: unknown, after: unknown, place: readonly string[]): string[] {
  if (!isObject(before) || !isObject(after)) return isDeepStrictEqual(before, after) ? [] : [dotted(place)];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) =>
    changed(before[key], after[key], [...place, key]),
  );
}
