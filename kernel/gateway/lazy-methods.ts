import type { Scope } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { Methods } from "./methods.ts";

/** Kernel methods whose service is loaded when the first of them is called: names and scopes stand in the table at once. */
export interface MethodGroup {
  /** What the table calls their owner. */
  readonly owner: string;
  readonly scopes: Readonly<Record<string, Scope>>;
  load(): Promise<readonly KernelMethod[]>;
}

/** Declares the groups; the answer is what brings one of them to life, or undefined for an owner that is none. */
export function declareGroups(
  methods: Methods,
  groups: readonly MethodGroup[],
): (owner: string) => Promise<void> | undefined {
  const loading = new Map<string, Promise<void>>();
  for (const { owner, scopes } of groups) {
    for (const [name, scope] of Object.entries(scopes)) methods.declare({ name, scope, owner });
  }

  async function provide({ owner, load }: MethodGroup): Promise<void> {
    for (const { scope: _scope, role: _role, ...method } of await load()) methods.provide(owner, method);
  }

  return (owner) => {
    const group = groups.find((item) => item.owner === owner);
    if (!group) return undefined;
    let promise = loading.get(owner);
    if (!promise) {
      promise = provide(group);
      loading.set(owner, promise);
      // What failed, such as a locked state folder, may work the next time somebody asks.
      promise.catch(() => loading.delete(owner));
    }
    return promise;
  };
}
