import { RclawError } from "@rclaw/plugin-sdk";

/** What a component is given, by interface and function. */
export type Imports = Readonly<Record<string, Readonly<Record<string, (...args: never[]) => unknown>>>>;
export type Exports = Readonly<Record<string, unknown>>;

/** Lets a guest of another version meet the host of today. */
export interface Adapter {
  /** The host's functions, as a component of that version knows them. */
  imports(today: Imports): Imports;
  /** What it exports, as today's lane calls it. */
  exports(own: Exports): Exports;
  /** What an export of a core module is given, from today's JSON to its own. */
  input(name: string, today: unknown): unknown;
  /** What it answered, from its own JSON to today's. */
  output(name: string, own: unknown): unknown;
}

/** What this rclaw speaks, and the adapters for the minor versions before it. */
export interface Contract {
  readonly version: string;
  /** By minor version, such as `0.1`. */
  readonly adapters: Readonly<Record<string, Adapter>>;
}

export const identity: Adapter = {
  imports: (today) => today,
  exports: (own) => own,
  input: (_name, today) => today,
  output: (_name, own) => own,
};

/** How many minor versions before its own rclaw still runs. */
const kept = 2;

export const contract: Contract = { version: "0.1.0", adapters: { "0.1": identity } };

/** What a core module says in its `abi`. */
export const abiOf = ({ version }: Contract): string => `rclaw:plugin@${version}`;

const refused = (what: string): RclawError => new RclawError("ARTEFACT_REFUSED", what);
const pattern = /^(\d{1,6})\.(\d{1,6})\.(\d{1,6})$/;

/** The adapter for guests of a version, or ARTEFACT_REFUSED. `guest` says in the sentence who it is. */
export function adapterFor(version: string, guest = "it", { version: ours, adapters } = contract): Adapter {
  const [, major, minor] = pattern.exec(version) ?? [];
  const [, ourMajor, ourMinor] = pattern.exec(ours) ?? [];
  const built = `${guest} was built for rclaw:plugin@${version.slice(0, 64)}, and this rclaw has rclaw:plugin@${ours}`;
  if (major === undefined) throw refused(`${built}; build it again with this version's template`);
  const behind =
    major === ourMajor
      ? Number(ourMinor) - Number(minor)
      : Number(ourMajor) - Number(major) > 0
        ? Infinity
        : -1;
  if (behind < 0)
    throw refused(`${built}: the plugin is newer. Update rclaw, or install an older version of the plugin`);
  const adapter = adapters[`${Number(major)}.${Number(minor)}`];
  if (behind > kept || !adapter)
    throw refused(
      `${built}, which runs plugins of that minor version and of the ${kept} before it. Build the plugin again with this version's template, or install a newer version of it`,
    );
  return adapter;
}

/** The one version in a component's names, such as `rclaw:plugin/tool@0.1.0`; undefined when they name none. */
export function versionOf(names: readonly string[]): string | undefined {
  const found = new Set(names.flatMap((name) => /^rclaw:plugin\/[a-z0-9-]+@(.+)$/.exec(name)?.[1] ?? []));
  if (found.size > 1)
    throw refused(`it was built for several versions of rclaw:plugin (${[...found].join(", ")})`);
  return found.values().next().value;
}
