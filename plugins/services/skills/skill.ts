/** What has to be there before a skill can be used. */
export interface Requirements {
  readonly bins: readonly string[];
  readonly anyBins: readonly string[];
  readonly env: readonly string[];
  readonly config: readonly string[];
  readonly os: readonly string[];
}

/** A way to get what is missing. */
export interface Installer {
  readonly kind: "brew" | "node" | "go" | "uv" | "download";
  readonly id: string | undefined;
  readonly label: string | undefined;
  readonly bins: readonly string[];
  readonly os: readonly string[];
  /** The formula, package, module or address. */
  readonly what: string | undefined;
}

export interface Metadata {
  readonly always: boolean;
  readonly emoji: string | undefined;
  readonly homepage: string | undefined;
  readonly skillKey: string | undefined;
  readonly primaryEnv: string | undefined;
  readonly requires: Requirements;
  readonly install: readonly Installer[];
}

export interface Skill {
  readonly name: string;
  readonly description: string;
  /** What its settings stand under. */
  readonly key: string;
  readonly source: string;
  readonly file: string;
  readonly folder: string;
  readonly isForModels: boolean;
  readonly isForPeople: boolean;
  readonly metadata: Metadata;
}
