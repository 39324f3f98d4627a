import { type FSWatcher, watch } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";

/** What a compiler leaves behind, and what an editor does while it saves. */
const ignored =
  /(?:^|[\\/])(?:node_modules|target|dist|build|__pycache__|\.git|\.[^\\/]*)(?:[\\/]|$)|(?:~|\.sw[a-z]|\.tmp|\.wasm)$/;
const quietMs = 80;

export interface Watched extends Disposable {
  /** Resolves when something changed and has been quiet since, false when the signal ended. */
  changed(signal: AbortSignal): Promise<boolean>;
}

/** Watches an author's folder; `outputs` are what the build itself writes. */
export async function watchFolder(folder: string, outputs: readonly string[]): Promise<Watched> {
  const watchers = new Map<string, FSWatcher>();
  let dirty = false;
  let timer: NodeJS.Timeout | undefined;
  let wake: (() => void) | undefined;

  function touched(file: string): void {
    const relative = path.relative(folder, file);
    if (ignored.test(relative) || outputs.includes(relative)) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      dirty = true;
      wake?.();
    }, quietMs);
  }

  // Not recursive: Node 20 watches every file of node_modules for that.
  async function add(at: string): Promise<void> {
    if (watchers.has(at)) return;
    const watcher = watch(at, (_event, name) => {
      if (name === null) return;
      touched(path.join(at, name));
      void addFolders(at);
    });
    watcher.on("error", () => {
      watcher.close();
      watchers.delete(at);
    });
    watchers.set(at, watcher);
    await addFolders(at);
  }

  async function addFolders(at: string): Promise<void> {
    const entries = await readdir(at, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const inner = path.join(at, entry.name);
      if (entry.isDirectory() && !ignored.test(path.relative(folder, inner)))
        await add(inner).catch(() => undefined);
    }
  }

  await add(folder);
  return {
    changed(signal) {
      return new Promise((resolve) => {
        const end = (isChange: boolean): void => {
          wake = undefined;
          signal.removeEventListener("abort", onAbort);
          resolve(isChange);
        };
        const onAbort = (): void => end(false);
        if (signal.aborted) return end(false);
        signal.addEventListener("abort", onAbort, { once: true });
        wake = () => {
          dirty = false;
          end(true);
        };
        if (dirty) wake();
      });
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
    },
  };
}
