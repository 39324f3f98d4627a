import type { HookName, Manifest } from "@rclaw/plugin-sdk";
import { hookTable } from "../hooks/table.ts";
import { strangersMistake } from "@rclaw/plugin-sdk/services/manifest-check";
import type { FoundManifest, RefusedPlugin } from "@rclaw/plugin-sdk/services/plugin-admin";

/** The kinds of named things a plugin can add; hooks have no owner, everybody may listen. */
export const kinds = ["tools", "channels", "providers", "methods", "routes", "commands", "services"] as const;
export type Kind = (typeof kinds)[number];

export interface Catalog {
  readonly plugins: ReadonlyMap<string, FoundManifest>;
  /** Why a plugin may not run: it claims what another one has, or breaks a rule that no schema can say. */
  readonly conflicts: ReadonlyMap<string, string>;
  /** Plugins whose id is another one's. They are not in `plugins`. */
  readonly refused: readonly RefusedPlugin[];
  /** The plugin that declared a name, if it is not in conflict. */
  owner(kind: Kind, name: string): string | undefined;
  names(kind: Kind): readonly string[];
}

export interface HookDeclaration {
  readonly name: HookName;
  readonly filter?: Readonly<Record<string, readonly string[]>>;
}

/**
 * Who declared what, known without running code. First come, first served, and
 * built-ins come first: a stranger's plugin cannot shadow one, nor the kernel. Of two
 * strangers with one id nobody knows which was meant, so neither is taken.
 */
export function createCatalog(
  found: readonly FoundManifest[],
  reserved: { methods: readonly string[]; routes: readonly string[] },
): Catalog {
  const plugins = new Map<string, FoundManifest>();
  const conflicts = new Map<string, string>();
  const refused: RefusedPlugin[] = [];
  const owners = new Map<string, string>();
  const kernelNames = new Set([
    ...reserved.methods.map((name) => `methods ${name}`),
    ...reserved.routes.map((name) => `routes ${name}`),
    "commands gateway",
    // Keys of the kernel where a tool's own settings would stand.
    ...["profile", "allow", "deny", "sandbox"].map((name) => `tools ${name}`),
  ]);

  const inOrder = [...found].sort((a, b) => Number(b.builtIn) - Number(a.builtIn));
  for (const item of inOrder) {
    const { manifest, file, builtIn } = item;
    const { id } = manifest;
    const rival = inOrder.find((other) => other.manifest.id === id && other !== item);
    if (rival && (rival.builtIn || !builtIn)) {
      const reason = `two plugins have the id "${id}": ${rival.file}${rival.builtIn ? ", which is built in and stays," : ""} and ${file}; give this one an id of its own, or remove its folder`;
      refused.push({ id, file, reason });
      continue;
    }
    plugins.set(id, item);
    const claims = kinds.flatMap((kind) =>
      contributed(manifest, kind).map((name) => ({ kind, name, key: `${kind} ${name}` })),
    );
    // The more exact route answers, so one below a built-in's folder would take a page out of it.
    const folderOf = (key: string): string | undefined =>
      [...owners].find(([other, owner]) => plugins.get(owner)?.builtIn && isBelow(key, other))?.[1];
    const ownerOf = (key: string): string | undefined =>
      owners.get(key) ?? (kernelNames.has(key) ? "the kernel" : builtIn ? undefined : folderOf(key));
    const taken = claims.find(({ key }) => ownerOf(key) !== undefined);
    const mistake = builtIn ? undefined : strangersMistake(manifest);
    const unknown = hooksOf(manifest).find(({ name }) => !Object.hasOwn(hookTable, name));
    if (manifest.contributes.services && !builtIn) {
      conflicts.set(id, "only what ships with rclaw may offer services");
    } else if (!builtIn && !ownConfigPaths(manifest).includes(configPathOf(manifest))) {
      conflicts.set(id, `configPath "${manifest.configPath}" is not its own; leave it out`);
    } else if (mistake !== undefined) {
      conflicts.set(id, mistake);
    } else if (unknown) {
      conflicts.set(id, `there is no hook "${unknown.name}"`);
    } else if (taken) {
      conflicts.set(
        id,
        `${taken.kind.replace(/s$/, "")} "${taken.name}" already belongs to ${ownerOf(taken.key)}`,
      );
    } else {
      for (const { key } of claims) owners.set(key, id);
    }
  }

  return {
    plugins,
    conflicts,
    refused,
    owner: (kind, name) => owners.get(`${kind} ${name}`),
    names: (kind) =>
      [...owners.keys()].filter((key) => key.startsWith(`${kind} `)).map((key) => key.slice(kind.length + 1)),
  };
}

function isBelow(route: string, folder: string): boolean {
  return folder.startsWith("routes ") && folder.endsWith("/*") && route.startsWith(folder.slice(0, -1));
}

export function contributed({ contributes }: Manifest, kind: Kind): readonly string[] {
  const value = contributes[kind];
  if (!value) return [];
  return Array.isArray(value) ? value : Object.keys(value);
}

export function hooksOf({ contributes }: Manifest): readonly HookDeclaration[] {
  return (contributes.hooks ?? []).map((item) =>
    typeof item === "string"
      ? { name: item as HookName }
      : { name: item.name as HookName, ...(item.filter && { filter: item.filter }) },
  );
}

/** Where a stranger may keep its configuration: elsewhere its schema would judge what is not its own. */
function ownConfigPaths(manifest: Manifest): readonly string[] {
  const { channels = [], providers = [], tools = [] } = manifest.contributes;
  return [
    ...channels.map((name) => `channels.${name}`),
    ...providers.map((name) => `models.providers.${name}`),
    ...tools.map((name) => `tools.${name}`),
    entryPathOf(manifest),
  ];
}

export const entryPathOf = ({ id }: Manifest): string => `plugins.entries.${id}.config`;

/** Where a plugin's configuration stands when its manifest does not say. */
export function configPathOf(manifest: Manifest): string {
  if (manifest.configPath) return manifest.configPath;
  const { id, contributes } = manifest;
  if (contributes.channels?.includes(id)) return `channels.${id}`;
  if (contributes.providers?.includes(id)) return `models.providers.${id}`;
  if (contributes.tools?.includes(id)) return `tools.${id}`;
  return entryPathOf(manifest);
}
