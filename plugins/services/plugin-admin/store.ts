import { randomUUID } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { type Caller, defineMethod, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { FoundManifest, PluginAdminPorts } from "@rclaw/plugin-sdk/services/plugin-admin";
import type {
  Changed,
  Plan,
  PluginStoreService,
  Staged,
  StorePorts,
  Trial,
} from "@rclaw/plugin-sdk/services/plugin-store";
import { forPeople } from "./cages.ts";
import type { GoingBack } from "./going-back.ts";
import {
  ciParams,
  commitParams,
  idParams,
  packParams,
  searchParams,
  stageParams,
  tokenParams,
  verifyParams,
} from "./methods.schema.ts";
import { registryOf } from "./registry.ts";

/** A package that nobody answered for is forgotten after that long. */
const stagedMs = 30 * 60_000;
const maxStaged = 16;

interface StoreMethodPorts extends Omit<PluginAdminPorts, "rescan"> {
  found(id: string): FoundManifest;
  rescan(): Promise<unknown>;
  goBack: GoingBack["goBack"];
  /** Switches it on, unless something keeps it off. */
  enable(id: string): Promise<void>;
}

interface TakeUp {
  /** Answers what was in the way, if it was not possible. */
  undo?(): Promise<string | undefined>;
  readonly mustRun?: boolean;
}

/** Plugins from elsewhere: brought here, shown, agreed to, undone. All of it is for people. */
export function storeMethods(options: StoreMethodPorts): KernelMethod[] {
  const staged = new Map<string, { readonly staged: Staged; readonly at: number }>();
  const builtIns = () =>
    [...options.plugins().values()]
      .filter(({ builtIn }) => builtIn)
      .map(({ manifest: { id, name } }) => ({ id, name }));

  async function portsFor(caller: Caller, signal: AbortSignal, host?: string): Promise<StorePorts> {
    const { connId } = caller;
    return {
      stateDir: options.stateDir,
      log: options.log,
      signal,
      ...(host !== undefined && { fetch: await options.fetchSource(host) }),
      ...(connId !== undefined && {
        progress: (step) => void options.tell(connId, "plugins.progress", step),
      }),
    };
  }

  function take(token: string): Staged {
    const item = staged.get(token);
    staged.delete(token);
    if (item) return item.staged;
    throw new RclawError(
      "NOT_FOUND",
      "that package is not staged any more: it was installed, thrown away, or left for half an hour. Add it again",
    );
  }

  async function clean(store: PluginStoreService): Promise<void> {
    const old = [...staged].filter(
      ([, { at }], index) => Date.now() - at > stagedMs || index < staged.size - maxStaged,
    );
    for (const [token, item] of old) {
      staged.delete(token);
      await store.discard(item.staged);
    }
  }

  async function stage(
    { source, update, baseDir = "/" }: { source?: string; update?: string; baseDir?: string },
    caller: Caller,
    signal: AbortSignal,
  ): Promise<{ token: string; plan: Plan }> {
    const store = await options.store();
    await clean(store);
    const locked = update === undefined ? undefined : options.found(update).installed;
    if (update !== undefined && !locked)
      throw new RclawError(
        "INVALID_REQUEST",
        `plugin "${update}" was not installed with "rclaw plugin add", so there is nowhere to update it from`,
      );
    // The lock names an exact version; an update asks for the newest one.
    const from = source ?? locked?.source.replace(/^(npm:.+)@[^@/]+$/, "$1");
    if (from === undefined)
      throw new RclawError("INVALID_REQUEST", "plugins.stage needs a source, or the id of what to update");
    const isUrl = /^https?:/i.test(from);
    const isPath = !isUrl && /^[./]|^[A-Za-z]:[\\/]|\.(?:tgz|wasm)$/.test(from);
    const registry = isUrl || isPath ? undefined : await registryOf(options.config(), signal);
    const remote = isUrl ? from : registry;
    const ports = await portsFor(caller, signal, remote === undefined ? undefined : hostOf(remote));
    const made = await store.stage(ports, from, {
      builtIns: builtIns(),
      baseDir,
      ...(registry !== undefined && { registry }),
      ...(update !== undefined && { id: update }),
    });
    const plan = await store.inspect(ports, made, { builtIns: builtIns() });
    const token = randomUUID();
    staged.set(token, { staged: made, at: Date.now() });
    return { token, plan };
  }

  async function commit(
    {
      token,
      digest,
      accepts = [],
      trial,
    }: { token: string; digest: string; accepts?: readonly string[]; trial?: Trial },
    caller: Caller,
    signal: AbortSignal,
  ): Promise<unknown> {
    const store = await options.store();
    const item = take(token);
    const ports = await portsFor(caller, signal);
    let committed;
    try {
      committed = await store.commit(
        ports,
        item,
        { digest, accepts: accepts as never },
        { builtIns: builtIns(), ...(trial && { trial }) },
      );
    } catch (error) {
      await store.discard(item);
      throw error;
    }
    const { before, ...changed } = committed;
    if (!trial) return takeUp(changed);
    // Whoever asked may have left: what was begun is still brought to an end.
    const { signal: _signal, ...firm } = ports;
    const undo = async (): Promise<undefined> => {
      await store.settle(firm, changed, before);
      await options.rescan().catch((error: unknown) => options.log.warn({ err: error }, "rescan failed"));
    };
    const done = await takeUp(changed, { undo, mustRun: true });
    await store.settle(firm, changed);
    return done;
  }

  /** Nobody has called it yet, perhaps, and then nothing would be known of it. */
  async function start(id: string): Promise<void> {
    if (isUp(id)) return;
    await options.deactivate(id);
    await options.activate(id);
  }

  /** Runs what the lock names now, or names again what ran before. */
  async function takeUp(
    changed: Changed,
    { undo = () => options.goBack(changed.id, changed.digest), mustRun }: TakeUp = {},
  ): Promise<unknown> {
    const { id, version, replaced } = changed;
    const shouldRun = mustRun ?? (replaced !== undefined && isUp(id));
    try {
      return { ...changed, ...(await inForce(id, shouldRun)) };
    } catch (error) {
      // The same content again has replaced nothing.
      if (!replaced || !changed.changed) throw error;
      const hindrance = await undo();
      if (shouldRun) await start(id).catch(() => undefined);
      const so =
        hindrance === undefined
          ? `so ${replaced.version} stays`
          : `and there was no going back to ${replaced.version} (${hindrance})`;
      throw new RclawError(
        isRclawError(error) ? error.code : "PLUGIN_FAILED",
        `version ${version} of plugin "${id}" did not come to life, ${so}: ${(error as Error).message}`,
        { details: { plugin: id }, cause: error },
      );
    }
  }

  const isUp = (id: string): boolean => options.plugins().has(id) && options.status(id).state === "active";

  /** What the lock says now is what runs: a caged plugin is on from here, since its rights were agreed to. */
  async function inForce(
    id: string,
    shouldRun: boolean,
  ): Promise<{ readonly state: string; readonly reason?: string }> {
    await options.rescan();
    try {
      await options.enable(id);
    } catch (error) {
      return { state: options.status(id).state, reason: (error as Error).message };
    }
    // One that is not the same to its callers was ended, and shows at once whether the new one lives.
    if (shouldRun) await start(id);
    return { state: options.status(id).state };
  }

  async function ci(
    { lock, baseDir = "/" }: { lock?: string; baseDir?: string },
    caller: Caller,
    signal: AbortSignal,
  ): Promise<unknown> {
    const store = await options.store();
    const registry = await registryOf(options.config(), signal);
    const ports = await portsFor(caller, signal, registry === undefined ? "*" : hostOf(registry));
    const text = lock === undefined ? undefined : await readList(path.resolve(baseDir, lock));
    const result = await store.ci(ports, text, {
      builtIns: builtIns(),
      baseDir: lock === undefined ? options.stateDir : path.dirname(path.resolve(baseDir, lock)),
      ...(registry !== undefined && { registry }),
    });
    await options.rescan();
    return result;
  }

  const admin = { scope: "operator.admin" } as const;
  const read = { scope: "operator.read" } as const;
  return [
    {
      ...admin,
      ...defineMethod({
        name: "plugins.stage",
        since: "rclaw",
        params: stageParams,
        handle({ params, caller, signal }) {
          forPeople(caller, "plugins.stage");
          return stage(params, caller, signal);
        },
      }),
    },
    {
      ...admin,
      ...defineMethod({
        name: "plugins.commit",
        since: "rclaw",
        params: commitParams,
        handle({ params, caller, signal }) {
          forPeople(caller, "plugins.commit");
          return commit(params, caller, signal);
        },
      }),
    },
    {
      ...admin,
      ...defineMethod({
        name: "plugins.discard",
        since: "rclaw",
        params: tokenParams,
        async handle({ params: { token } }) {
          await (await options.store()).discard(take(token));
          return {};
        },
      }),
    },
    {
      ...admin,
      ...defineMethod({
        name: "plugins.rollback",
        since: "rclaw",
        params: idParams,
        async handle({ params: { id }, caller, signal }) {
          forPeople(caller, "plugins.rollback");
          const ports = await portsFor(caller, signal);
          return takeUp(await (await options.store()).rollback(ports, id));
        },
      }),
    },
    {
      ...read,
      ...defineMethod({
        name: "plugins.verify",
        since: "rclaw",
        params: verifyParams,
        handle: async ({ params: { id }, caller, signal }) => ({
          plugins: await (await options.store()).verify(await portsFor(caller, signal), id),
        }),
      }),
    },
    {
      ...admin,
      ...defineMethod({
        name: "plugins.ci",
        since: "rclaw",
        params: ciParams,
        handle({ params, caller, signal }) {
          forPeople(caller, "plugins.ci");
          return ci(params, caller, signal);
        },
      }),
    },
    {
      ...read,
      ...defineMethod({
        name: "plugins.search",
        since: "rclaw",
        params: searchParams,
        async handle({ params: { query, index, baseDir = "/" }, caller }) {
          if (index !== undefined && !caller.scopes.includes("operator.admin"))
            throw new RclawError(
              "PERMISSION_DENIED",
              "an index of one's own is read for operator.admin only",
            );
          const store = await options.store();
          const file = index === undefined ? undefined : await readList(path.resolve(baseDir, index));
          const list =
            file === undefined
              ? store.builtInIndex([...options.plugins().values()], options.version)
              : store.readIndex(file);
          return { plugins: store.search(query, list) };
        },
      }),
    },
    {
      ...admin,
      ...defineMethod({
        name: "plugins.pack",
        since: "rclaw",
        params: packParams,
        async handle({ params: { folder, sign = false, out }, caller }) {
          forPeople(caller, "plugins.pack");
          const store = await options.store();
          const { tgz, fileName, ...packed } = await store.pack(
            folder,
            sign ? { sign: { stateDir: options.stateDir } } : {},
          );
          const file = path.join(out ?? folder, fileName);
          await writeAtomic(file, tgz);
          return { file, bytes: tgz.length, ...packed };
        },
      }),
    },
  ];
}

/** `host:port`, so that a registry of one's own may stand on a machine of one's own. */
function hostOf(address: string): string {
  const { hostname, port, protocol } = new URL(address);
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

/** As much as the larger of the two may be; a device or a pipe might never end. */
const maxListBytes = 16 * 1_024 * 1_024;

/** A lock or an index, from where a person says that it is. */
async function readList(file: string): Promise<string> {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new RclawError("NOT_FOUND", `${file} ${reason}`, { cause });
  };
  const failed = (error: unknown): never => {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return refuse(isMissing ? "is not there" : "cannot be read", error);
  };
  const stats = await stat(file).catch(failed);
  if (!stats.isFile()) refuse("is no regular file");
  if (stats.size > maxListBytes) refuse(`is larger than ${maxListBytes} bytes`);
  return readFile(file, "utf8").catch(failed);
}
