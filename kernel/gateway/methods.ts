import { type Caller, type Method, RclawError, type Scope } from "@rclaw/plugin-sdk";
import { compiler, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { coversScope } from "@rclaw/plugin-sdk/services/devices";
import type { KernelMethod, Role } from "@rclaw/plugin-sdk/services/method";

interface MethodEntry {
  readonly name: string;
  readonly scope: Scope | null;
  readonly role: Role;
  /** "kernel", or the id of the plugin whose manifest declares it. */
  readonly owner: string;
  /** Calls since it was declared. */
  calls: number;
}

export interface CallOptions {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  accept?(payload: unknown): void;
}

export interface Methods {
  declare(entry: Omit<MethodEntry, "role" | "calls"> & { role?: Role }): Disposable;
  /** The live handler of a declared method. */
  provide(owner: string, method: Method): Disposable;
  names(): readonly string[];
  entry(name: string): Readonly<MethodEntry> | undefined;
  /** Makes a caller one that plugins may hand on: whoever it speaks for has been let in. */
  vouch<C extends Caller>(caller: C): C;
  isVouched(caller: Caller): boolean;
  /** Every method with its params, for the reference; brings every owner to life. */
  describe(): Promise<readonly (MethodEntry & Pick<Method, "since" | "params">)[]>;
  call(name: string, params: unknown, options: CallOptions): Promise<unknown>;
}

export interface MethodsOptions {
  /** Brings the plugin that declares a method to life; resolves when its handlers are registered. */
  activate(owner: string): Promise<void>;
}

/**
 * The one table of requests. Scopes stand in the table, not in the handlers, so a
 * method cannot exist without one and a refusal needs no plugin to be loaded.
 */
export function createMethods({ activate }: MethodsOptions): Methods {
  const entries = new Map<string, MethodEntry>();
  const handlers = new Map<string, Method>();
  const check = compiler();
  const vouched = new WeakSet<Caller>();

  async function handlerOf(entry: MethodEntry): Promise<Method> {
    const ready = handlers.get(entry.name);
    if (ready) return ready;
    await activate(entry.owner);
    const handler = handlers.get(entry.name);
    if (handler) return handler;
    const message = `plugin "${entry.owner}" declares method ${entry.name} but registered no handler; see: rclaw plugin info ${entry.owner}`;
    throw new RclawError("PLUGIN_FAILED", message);
  }

  function run(method: Method, params: unknown, call: CallOptions): Promise<unknown> {
    if (method.params) {
      const rule = check(method.params);
      if (!rule.valid(params)) {
        const message = `invalid ${method.name} params: ${describeIssues(rule.issues(params))}`;
        throw new RclawError("INVALID_REQUEST", message);
      }
    }
    return method.handle({
      params,
      caller: call.caller,
      // Not read here: a connection makes its signal when somebody asks for it, which most methods never do.
      get signal() {
        return call.signal;
      },
      accept: call.accept ?? (() => undefined),
    });
  }

  return {
    declare({ role = "operator", ...entry }) {
      const taken = entries.get(entry.name);
      if (taken) {
        const message = `"${entry.owner}" declares method ${entry.name}, which "${taken.owner}" already has`;
        throw new RclawError("CONFLICT", message);
      }
      entries.set(entry.name, { ...entry, role, calls: 0 });
      return { [Symbol.dispose]: () => void entries.delete(entry.name) };
    },
    provide(owner, method) {
      if (entries.get(method.name)?.owner !== owner) {
        const message = `"${owner}" registers method ${method.name}, which its manifest does not declare`;
        throw new RclawError("PERMISSION_DENIED", message);
      }
      handlers.set(method.name, method);
      return {
        [Symbol.dispose]: () => {
          if (handlers.get(method.name) === method) handlers.delete(method.name);
        },
      };
    },
    names: () => [...entries.keys()],
    entry: (name) => entries.get(name),
    vouch: (caller) => (vouched.add(caller), caller),
    isVouched: (caller) => vouched.has(caller),
    async describe() {
      const inOrder = [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      return Promise.all(
        inOrder.map(async (entry) => {
          // One plugin that does not come to life must not hide what the others have.
          const { since, params } = await handlerOf(entry).catch((): Partial<Method> => ({}));
          return { ...entry, ...(since && { since }), ...(params && { params }) };
        }),
      );
    },
    async call(name, params, options) {
      const entry = entries.get(name);
      authorize(entry, options.caller);
      if (!entry) throw new RclawError("INVALID_REQUEST", `unknown method: ${name}`);
      entry.calls++;
      const given = params ?? {};
      const ready = handlers.get(name);
      return run(ready ?? (await handlerOf(entry)), given, options);
    },
  };
}

/** Unknown methods are refused like admin ones, so that a caller without that scope cannot probe for names. */
function authorize(entry: MethodEntry | undefined, caller: Caller): void {
  const role = entry?.role ?? "operator";
  if (role !== "any" && caller.role !== role) {
    throw new RclawError("INVALID_REQUEST", `unauthorized role: ${caller.role}`);
  }
  if (caller.role === "node" || entry?.scope === null) return;
  const scope = entry?.scope ?? "operator.admin";
  if (!coversScope(caller.scopes, scope)) throw new RclawError("INVALID_REQUEST", `missing scope: ${scope}`);
}

/** Declares and provides in one step, for the kernel's own methods. */
export function addKernelMethods(methods: Methods, list: readonly KernelMethod[]): void {
  for (const { scope, role, ...method } of list) {
    methods.declare({ name: method.name, scope, owner: "kernel", ...(role && { role }) });
    methods.provide("kernel", method);
  }
}

/** Whoever the machine belongs to. */
export const ownerScopes: readonly Scope[] = [
  ...(["operator.admin", "operator.read", "operator.write"] as const),
  ...(["operator.approvals", "operator.pairing"] as const),
];

/** The gateway itself, where it asks its own methods for something. */
export function ownCaller(principal: string, scopes: readonly Scope[]): Caller {
  return { kind: "command", principal, role: "operator", scopes, caps: [], isOwner: true };
}
