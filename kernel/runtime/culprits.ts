import { AsyncLocalStorage } from "node:async_hooks";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";

/**
 * Finds out whose error it is when one comes out of nowhere. Built-ins are found by the files in its
 * stack; what a stranger's plugin starts is followed as well, because a socket that fails has no stack.
 * That costs every promise of the process a little, so nothing of it happens without such a plugin.
 */
export function createCulprits(plugins: () => Iterable<FoundManifest>, root: string) {
  const running = new AsyncLocalStorage<string>();
  const run = <T>({ manifest, builtIn }: FoundManifest, fn: () => T): T =>
    builtIn ? fn() : running.run(manifest.id, fn);

  return {
    run,
    /** The same thing, whose functions are known to be this plugin's while they run. */
    inside<T extends object>(found: FoundManifest, item: T): T {
      if (found.builtIn) return item;
      const bind =
        (fn: (...args: unknown[]) => unknown) =>
        (...args: unknown[]) =>
          run(found, () => Reflect.apply(fn, item, args));
      const target = typeof item === "function" ? bind(item) : {};
      return new Proxy(target, {
        get(_target, key) {
          const value: unknown = Reflect.get(item, key);
          return typeof value === "function" ? bind(value as never) : value;
        },
      }) as T;
    },
    /** The plugin's id; undefined when it may be the kernel's own, whose state is then in doubt. */
    of(error: unknown): string | undefined {
      const stack = error instanceof Error ? (error.stack ?? "") : "";
      const isFrom = (folder: string): boolean =>
        stack.includes(folder + path.sep) || stack.includes(`${pathToFileURL(folder).href}/`);
      const culprit = [...plugins()].find(({ entry }) => isFrom(path.dirname(entry)));
      return culprit?.manifest.id ?? (isFrom(root) ? undefined : running.getStore());
    },
  };
}
