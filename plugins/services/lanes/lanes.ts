import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Manifest, type Plugin, RclawError } from "@rclaw/plugin-sdk";
import { remotePlugin } from "@rclaw/plugin-sdk/boundary/remote";
import type { LanePorts, Lanes, Runtime } from "@rclaw/plugin-sdk/services/lanes";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import { collect } from "@rclaw/plugin-sdk/services/collect";
import { type Artefact, createOffers, forgetArtefact, openArtefact } from "./artefact.ts";
import { createUses } from "./cache.ts";
import { type Cell, createCell } from "./cell.ts";
import { endGaveWay, tellGaveWay } from "./gave-way.ts";
import { limitsOf } from "./limits-of.ts";
import { type CagedLink, createLink } from "./link.ts";
import { plainSecrets } from "@rclaw/plugin-sdk/schema/secrets";

const idleMs = 45_000;
/** One moves a part of what lies on half-empty pages. */
const collections = 3;
/** A thread that was left ends a second later. */
const tidyMs = 2_000;
/** Ended so often, it shares a thread with nobody any more. */
const maxSharedKills = 2;

/** The cages of one gateway: which plugin lives in which thread. */
export function createLanes(ports: LanePorts): Lanes {
  const shared = new Map<string, Cell>();
  const own = new Set<Cell>();
  /** Of one plugin there may be two for a moment: settings are tried out beside the one that runs. */
  const links = new Map<string, Resident[]>();
  const residentOf = (id: string): Resident | undefined => links.get(id)?.[0];
  const kills = new Map<string, number>();

  const cacheFolder = path.join(ports.stateDir, "cache");
  const offers = createOffers(cacheFolder);
  const uses = createUses(cacheFolder, (hash) => forgetArtefact(hash, cacheFolder));

  /** What compiling and loading left behind goes when nobody is in a cage any more, and the thread with it. */
  let tidying: NodeJS.Timeout | undefined;
  function tidy(times = collections): void {
    clearTimeout(tidying);
    tidying = setTimeout(() => {
      if ([...links.values()].flat().some(({ link }) => link.use().loaded)) return;
      collect();
      if (times > 1) tidy(times - 1);
    }, tidyMs).unref();
  }

  function sharedCell(entryMs: number): Cell {
    const name = `shared ${entryMs}`;
    let cell = shared.get(name);
    if (!cell) {
      cell = createCell({ name, entryMs, heapMb: 128, workerFile: ports.workerFile, onEmpty: () => tidy() });
      shared.set(name, cell);
    }
    return cell;
  }

  /** For one life of one plugin: what a thread has loaded stays in it, so the next life gets another one. */
  function ownCell(name: string, entryMs: number, heapMb: number): Cell {
    const cell = createCell({
      name,
      entryMs,
      heapMb,
      workerFile: ports.workerFile,
      onEmpty() {
        own.delete(cell);
        cell.close().catch((error: unknown) => ports.log.warn({ err: error }, `${name} did not end`));
        tidy();
      },
    });
    own.add(cell);
    return cell;
  }

  async function load(found: FoundManifest, runtime: "worker" | "wasm"): Promise<Plugin> {
    const { manifest } = found;
    const { id } = manifest;
    refuseUncarried(found, runtime);
    const limits = limitsOf({ ...manifest.permissions?.limits, ...ports.limits(id) });
    const verify = ports.verify ?? (() => Promise.resolve());
    // What could not be remembered is made again: a full disk keeps no plugin from running.
    const forgotten = (error: unknown): void =>
      ports.log.warn({ plugin: id, err: error }, `what was made of plugin "${id}" was not remembered`);
    const onMade = (hash: string): Promise<void> => uses.note(id, hash).catch(forgotten);
    const open = (item: FoundManifest): Promise<Artefact> =>
      openArtefact({ found: item, runtime, limits, cacheFolder, verify, onMade });
    const artefact = await open(found);
    const shares = (): boolean =>
      runtime === "wasm" && mayShare(found) && (kills.get(id) ?? 0) < maxSharedKills;
    const link = createLink({
      id,
      runtime,
      artefact,
      limits,
      offers: {
        ...offers,
        async keep(hash, ...rest) {
          await offers.keep(hash, ...rest).catch(forgotten);
          await onMade(hash);
        },
      },
      log: ports.log,
      stays: (manifest.activation ?? []).includes("startup"),
      idleMs: ports.idleMs ?? idleMs,
      cell: (alone) =>
        !alone && shares()
          ? sharedCell(limits.entryMs)
          : ownCell(`${runtime} ${id}`, limits.entryMs, runtime === "worker" ? 256 : 128),
      onKill: () => void kills.set(id, (kills.get(id) ?? 0) + 1),
      report: (where, error) => ports.report(id, where, error),
      onGaveWay: (event) => tellGaveWay(ports.stateDir, event),
    });
    const resident: Resident = { link, runtime, manifest, open: (next) => open(next) };
    links.set(id, [...(links.get(id) ?? []), resident]);
    const close = async (): Promise<void> => {
      links.set(id, links.get(id)?.filter((other) => other !== resident) ?? []);
      await link.close();
    };
    return remotePlugin({
      id,
      link: {
        ...link,
        close,
        open: (given, ...rest) => (refusePlainSecrets(manifest, given.config), link.open(given, ...rest)),
      },
      onTrouble: (where, error) => ports.report(id, where, error),
    });
  }

  return {
    load,
    use: (id) => residentOf(id)?.link.use(),
    async swap(found, runtime) {
      const resident = residentOf(found.manifest.id);
      if (!resident || resident.runtime !== runtime || !isSame(resident.manifest, found.manifest))
        return false;
      return resident.link.swap(await resident.open(found));
    },
    async forget(found) {
      links.delete(found.manifest.id);
      kills.delete(found.manifest.id);
      await uses.forget(found.manifest.id);
    },
    async close() {
      clearTimeout(tidying);
      endGaveWay(ports.stateDir);
      await Promise.all([...shared.values(), ...own].map((cell) => cell.close()));
      shared.clear();
      own.clear();
    },
  };
}

interface Resident {
  readonly link: CagedLink;
  readonly runtime: Runtime;
  readonly manifest: Manifest;
  open(next: FoundManifest): Promise<Artefact>;
}

/** Another version of the same thing: it may what the old one may, and is asked for the same. */
function isSame(a: Manifest, b: Manifest): boolean {
  return isDeepStrictEqual({ ...a, version: "" }, { ...b, version: "" });
}

/** What ends one of them ends all in a thread, so whoever talks to the world or holds a secret lives alone. */
function mayShare({ manifest: { contributes, permissions = {} } }: FoundManifest): boolean {
  const kinds = Object.keys(contributes);
  return kinds.every((kind) => kind === "tools" || kind === "hooks") && !permissions.secrets;
}

/** A caged plugin never sees a secret, so its settings may only name one. */
function refusePlainSecrets({ id, configSchema = {} }: Manifest, config: unknown): void {
  for (const { at } of plainSecrets(configSchema, config))
    throw new RclawError(
      "CONFIG_INVALID",
      `the setting "${at}" of plugin "${id}" holds a secret in plain text, which a caged plugin must not see. Store it apart: rclaw plugin add ${id}`,
      { details: { plugin: id } },
    );
}

const secretName = /KEY|TOKEN|SECRET|PASSWORD/;

/** What no boundary can carry is said when the plugin is loaded, not when it first needs it. */
function refuseUncarried({ manifest }: FoundManifest, runtime: string): void {
  const { id, permissions = {}, contributes } = manifest;
  const secretEnv = (permissions.env ?? []).filter((name) => secretName.test(name));
  const what =
    permissions.sessions === "write"
      ? `permissions.sessions: "write"`
      : permissions.process
        ? "permissions.process"
        : secretEnv.length > 0
          ? `permissions.env: ["${secretEnv[0]}"], which looks like a secret; declare it under permissions.secrets instead`
          : contributes.services
            ? "contributes.services"
            : undefined;
  if (what === undefined) return;
  throw new RclawError(
    "PERMISSION_DENIED",
    `plugin "${id}" cannot run as "${runtime}": a boundary does not carry ${what}`,
    { details: { plugin: id } },
  );
}
