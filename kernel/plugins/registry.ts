import { RclawError } from "@rclaw/plugin-sdk";

/** Live contributions of one kind, by name; what a disabled plugin offered is gone with it. */
export interface Registry<T> {
  register(owner: string, name: string, item: T): Disposable;
  get(name: string): T | undefined;
  owner(name: string): string | undefined;
  names(): readonly string[];
}

export function createRegistry<T>(kind: string): Registry<T> {
  const items = new Map<string, { owner: string; item: T }>();
  return {
    register(owner, name, item) {
      const taken = items.get(name);
      if (taken)
        throw new RclawError(
          "CONFLICT",
          `plugin "${owner}" registers ${kind} "${name}", which "${taken.owner}" already offers`,
        );
      const entry = { owner, item };
      items.set(name, entry);
      return {
        [Symbol.dispose]: () => {
          if (items.get(name) === entry) items.delete(name);
        },
      };
    },
    get: (name) => items.get(name)?.item,
    owner: (name) => items.get(name)?.owner,
    names: () => [...items.keys()],
  };
}
