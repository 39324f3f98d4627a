import type { Manifest } from "../manifest.ts";
import type { Logger } from "../plugin.ts";
import type { FoundManifest, RefusedPlugin } from "./plugin-admin.ts";

/** How far an operation is; `total` is missing where it is not known. */
export interface StoreProgress {
  readonly phase: "resolve" | "download" | "unpack" | "hash" | "store";
  readonly done: number;
  readonly total?: number;
}

/** What the store may use of the world. */
export interface StorePorts {
  readonly stateDir: string;
  readonly log: Logger;
  /** The guarded fetch, limited to the host of the source and where it redirects. Needed for packages and URLs. */
  readonly fetch?: typeof fetch;
  /** Ends the operation; what was in force before stays in force. */
  readonly signal?: AbortSignal;
  progress?(step: StoreProgress): void;
}

/** A plugin whose id and name nobody else may carry or imitate. */
export interface KnownPlugin {
  readonly id: string;
  readonly name: string;
}

export interface StageOptions {
  /** What came with rclaw: none of it can be replaced. */
  readonly builtIns: readonly KnownPlugin[];
  /** Base URL of the package registry; without one, package names are refused. */
  readonly registry?: string;
  /** What a relative path of a source is relative to: where the person typed it. */
  readonly baseDir: string;
  /** For an update: another plugin's package is refused. */
  readonly id?: string;
  /** What an index says of the content; another one is refused. */
  readonly digest?: string;
  /** Fingerprint that an index gives; a package that this key did not sign is refused. */
  readonly signer?: string;
}

/** Path below the plugin's folder to `sha512-` and base64. */
export type FileHashes = Readonly<Record<string, string>>;

export interface Signer {
  /** Raw Ed25519 public key, base64. */
  readonly key: string;
  /** `SHA256:` and base64, for people to compare. */
  readonly fingerprint: string;
}

/** What a staged package's signature was found to be; an invalid one is refused before there is anything to inspect. */
export type SignerVerdict = {
  readonly kind: "unsigned" | "first-use" | "same" | "rotated" | "dropped" | "changed";
} & {
  readonly signer?: Signer;
  /** The one that the installed version carries. */
  readonly expected?: Signer;
};

/** Something a person should know before agreeing. */
export interface Finding {
  readonly id:
    | "install-scripts"
    | "dependencies"
    | "runs-from-network"
    | "native-code"
    | "other-source"
    | "older-version"
    | "other-name"
    | "deprecated"
    | "confusable"
    | "unsigned"
    | "signer-changed";
  readonly level: "note" | "warning";
  readonly message: string;
  readonly file?: string;
}

/** A package that was brought into the staging folder and checked; nothing of it is in force. Plain data. */
export interface Staged {
  readonly id: string;
  readonly version: string;
  /** As it goes into the lock: exact, so that the same content can be fetched again. */
  readonly source: string;
  /** Absolute. */
  readonly folder: string;
  readonly manifest: Manifest;
  readonly digest: string;
  readonly files: FileHashes;
  readonly bytes: number;
  readonly signer?: Signer;
  /** The older key whose owner says that `signer` speaks for them now. */
  readonly rotatedFrom?: Signer;
  readonly findings: readonly Finding[];
}

/** What a new version may, adds or runs as, beside the installed one. One line an item, for people. */
export interface ManifestDiff {
  readonly widened: readonly string[];
  readonly narrowed: readonly string[];
  readonly unchanged: boolean;
}

/**
 * What a person has to say yes to: `permissions` for a plugin that is not installed, `widened` for a version that
 * may more, `confusable` for a name like somebody else's, `signer` for one that the known signer did not sign.
 */
export type ConsentKind = "permissions" | "widened" | "confusable" | "signer";

/** What installing a staged package would mean. */
export interface Plan {
  readonly id: string;
  readonly version: string;
  readonly manifest: Manifest;
  readonly source: string;
  readonly digest: string;
  readonly fileCount: number;
  readonly bytes: number;
  readonly signer: SignerVerdict;
  readonly findings: readonly Finding[];
  /** One line for everything it adds and may touch. */
  readonly capabilities: readonly string[];
  readonly installed?: { readonly version: string; readonly digest: string };
  /** Against the installed version, or against nothing. */
  readonly diff: ManifestDiff;
  readonly asks: readonly ConsentKind[];
}

export interface Consent {
  /** The digest of the plan that was shown: nothing else is committed. */
  readonly digest: string;
  readonly accepts: readonly ConsentKind[];
}

export interface LockedVersion {
  readonly version: string;
  readonly source: string;
  readonly digest: string;
  readonly files: FileHashes;
  readonly signer?: Signer;
  /** The manifest's `permissions`, as they were agreed to. */
  readonly grants: NonNullable<Manifest["permissions"]>;
}

export interface LockedPlugin extends LockedVersion {
  /** What a rollback brings back. */
  readonly previous?: LockedVersion;
  /** What a rollback brought back before `previous` was replaced; it does so again when the replacement is undone. */
  readonly earlier?: LockedVersion;
}

/** `<state>/plugins/rclaw.lock`: the one place that says which plugins are installed. */
export interface PluginLock {
  readonly lockVersion: 1;
  readonly plugins: Readonly<Record<string, LockedPlugin>>;
}

export interface InstalledPlugin extends LockedPlugin {
  readonly id: string;
  /** Absolute; its content never changes. */
  readonly folder: string;
  /** Absolute path of its `rclaw.plugin.json5`. */
  readonly file: string;
}

export interface Installed {
  readonly found: readonly InstalledPlugin[];
  /** What the lock names and is not there; a lock that cannot be read is a row of its own, `rclaw.lock`. */
  readonly refused: readonly RefusedPlugin[];
}

export interface Changed {
  readonly id: string;
  readonly version: string;
  readonly digest: string;
  readonly folder: string;
  /** What was in force before, if anything. */
  readonly replaced?: { readonly version: string; readonly digest: string };
  /** False when this very content was in force already. */
  readonly changed: boolean;
}

/** A change that may turn out not to start. */
export interface Trial {
  /** A rollback leads to this version, for as long as the lock names it, and not to the one of a minute ago. */
  readonly since: string;
}

export interface Committed extends Changed {
  /** All that the lock said before; of a trial, what `settle` takes back. */
  readonly before?: LockedPlugin;
}

export interface Verified {
  readonly id: string;
  readonly ok: boolean;
  readonly tampered: readonly string[];
  readonly missing: readonly string[];
  readonly extra: readonly string[];
}

export interface CiResult {
  readonly fetched: readonly string[];
  readonly kept: readonly string[];
  readonly removed: readonly string[];
}

export interface PackOptions {
  /** Signs with the key in this state folder, which is made when there is none. */
  readonly sign?: { readonly stateDir: string };
}

export interface Packed {
  readonly fileName: string;
  readonly tgz: Uint8Array;
  readonly id: string;
  readonly version: string;
  readonly digest: string;
  readonly files: FileHashes;
  readonly signer?: Signer;
}

/** One row of a plugin index; `source` is what `stage` takes, or `built-in:` and an id, which is there already. */
export interface IndexedPlugin {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly source: string;
  readonly version: string;
  readonly digest?: string;
  readonly signer?: string;
  readonly keywords: readonly string[];
  readonly contributes: readonly string[];
}

/** `plugin-index.json`: a static file that lists plugins. */
export interface PluginIndex {
  readonly indexVersion: 1;
  readonly plugins: readonly IndexedPlugin[];
}

/** Service "plugin-store": brings a stranger's plugin onto this machine, so that it can be judged first and undone after. */
export interface PluginStoreService {
  /** Where a source is fetched from, as `host:port` for the guarded fetch; empty for what is on the disk. */
  hostsOf(source: string, registry?: string): readonly string[];
  /** Fetches, unpacks and checks a package in a staging folder of its own. Nothing of it runs, nothing is in force. */
  stage(ports: StorePorts, source: string, options: StageOptions): Promise<Staged>;
  /** What committing it would mean, and what has to be agreed to. */
  inspect(ports: StorePorts, staged: Staged, options: Pick<StageOptions, "builtIns">): Promise<Plan>;
  /**
   * Puts it in force, when everything that the plan asks is agreed to; else POLICY_DENIED with `details.asks`. A trial
   * leaves what was in force before on the disk, until it is settled.
   */
  commit(
    ports: StorePorts,
    staged: Staged,
    consent: Consent,
    options: Pick<StageOptions, "builtIns"> & { readonly trial?: Trial },
  ): Promise<Committed>;
  /** Ends a trial: what is not needed any more goes off the disk; with `back` the lock says that again. */
  settle(ports: StorePorts, trial: Pick<Changed, "id" | "digest">, back?: LockedPlugin): Promise<void>;
  /** Throws a staged package away. */
  discard(staged: Staged): Promise<void>;
  /** Swaps the installed version and the one before it; a second time undoes the first. */
  rollback(ports: StorePorts, id: string): Promise<Changed>;
  /**
   * Takes a version that does not live out of the lock, by its digest: what was in force before it is so again, and what
   * could be gone back to then as well. False when the lock does not name it; throws when there is nothing whole to go to.
   */
  revert(ports: StorePorts, id: string, bad: string): Promise<boolean>;
  /** Takes it out of the lock, then off the disk. Its storage and settings are the caller's business. */
  remove(ports: StorePorts, id: string): Promise<void>;
  installed(stateDir: string): Promise<Installed>;
  /** Reads every file of one plugin, or of all, and compares it with the lock. */
  verify(ports: StorePorts, id?: string): Promise<readonly Verified[]>;
  /** Before every load: the entry's bytes, when they, and all code a JavaScript entry could import, are as locked. */
  verifyEntry(folder: string, files: FileHashes, entry: string): Promise<Uint8Array>;
  /** Makes the state equal a lock: the text of one, or the state's own. All of it, or nothing. */
  ci(
    ports: StorePorts,
    lock: string | undefined,
    options: Pick<StageOptions, "builtIns" | "registry" | "baseDir">,
  ): Promise<CiResult>;
  /** A package of a folder, the same bytes for the same files. */
  pack(folder: string, options?: PackOptions): Promise<Packed>;
  /** A new signing key, which the old one vouches for in every package signed from now on. */
  rotateSigningKey(stateDir: string): Promise<Signer>;
  /** Structural; takes anything, so that a version made for another rclaw can be compared too. */
  diffManifests(from: unknown, to: unknown): ManifestDiff;
  /** The index's data when it is one, else INVALID_REQUEST. */
  readIndex(text: string): PluginIndex;
  /** What came with rclaw, as an index. */
  builtInIndex(found: readonly FoundManifest[], version: string): PluginIndex;
  /** The best first; a letter wrong is forgiven. */
  search(query: string, index: PluginIndex): readonly IndexedPlugin[];
}
