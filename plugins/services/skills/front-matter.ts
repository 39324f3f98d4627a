import type { Installer, Metadata, Requirements } from "./skill.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface FrontMatter {
  readonly name: string | undefined;
  readonly description: string | undefined;
  /** False keeps it out of the prompt: it is for people to call. */
  readonly isForModels: boolean;
  readonly isForPeople: boolean;
  readonly metadata: Metadata;
}

/** Whose members of `metadata` are read, by the name the product had. */
const owners = ["openclaw", "clawdbot"];
const kinds: ReadonlySet<string> = new Set(["brew", "node", "go", "uv", "download"]);
const maxItems = 64;

/** What stands between the dashes at the top of a SKILL.md. One that nobody can read is like none. */
export async function readFrontMatter(text: string): Promise<FrontMatter> {
  const fields = await fieldsOf(text);
  return {
    name: string(fields["name"]),
    description: string(fields["description"]),
    isForModels: !isTrue(fields["disable-model-invocation"]),
    isForPeople: fields["user-invocable"] === undefined || isTrue(fields["user-invocable"]),
    metadata: await metadataOf(fields),
  };
}

async function fieldsOf(text: string): Promise<Fields> {
  const [, block] = /^---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(text) ?? [];
  if (block === undefined) return {};
  const { parse } = await import("yaml");
  try {
    // Aliases would let a small file become a large value.
    return record(parse(block, { maxAliasCount: 0, logLevel: "error" }));
  } catch {
    return linesOf(block);
  }
}

/** People write colons into descriptions, which YAML does not forgive. */
function linesOf(block: string): Fields {
  return Object.fromEntries(
    [...block.matchAll(/^([A-Za-z][\w-]*):[ \t]*(.+)$/gm)].map(([, key = "", value = ""]) => [
      key,
      value.trim().replace(/^(["'])(.*)\1$/, "$2"),
    ]),
  );
}

async function metadataOf(fields: Fields): Promise<Metadata> {
  const given = fields["metadata"];
  const all = typeof given === "string" ? await json5(given) : record(given);
  const own = record(owners.map((owner) => all[owner]).find((value) => value !== undefined));
  const homepage = [own["homepage"], fields["homepage"], fields["website"], fields["url"]].map(string);
  return {
    always: own["always"] === true,
    emoji: string(own["emoji"]) ?? string(fields["emoji"]),
    homepage: homepage.find((value) => value !== undefined),
    skillKey: string(own["skillKey"]),
    primaryEnv: string(own["primaryEnv"]),
    requires: requirementsOf(own),
    install: list(own["install"]).flatMap(installerOf),
  };
}

async function json5(text: string): Promise<Fields> {
  const { default: parser } = await import("json5");
  try {
    return record(parser.parse(text));
  } catch {
    return {};
  }
}

function requirementsOf(own: Fields): Requirements {
  const requires = record(own["requires"]);
  const os = typeof own["os"] === "string" ? [own["os"]] : own["os"];
  return {
    bins: strings(requires["bins"]),
    anyBins: strings(requires["anyBins"]),
    env: strings(requires["env"]),
    config: strings(requires["config"]),
    os: strings(os),
  };
}

function installerOf(item: unknown): Installer[] {
  const fields = record(item);
  const kind = (string(fields["kind"]) ?? string(fields["type"]) ?? "").toLowerCase();
  if (!kinds.has(kind)) return [];
  return [
    {
      kind: kind as Installer["kind"],
      id: string(fields["id"]),
      label: string(fields["label"]),
      bins: strings(fields["bins"]),
      os: strings(fields["os"]),
      what:
        string(fields["formula"]) ??
        string(fields["cask"]) ??
        string(fields["package"]) ??
        string(fields["module"]) ??
        string(fields["url"]),
    },
  ];
}

function record(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value.slice(0, maxItems) : []);

const strings = (value: unknown): readonly string[] => list(value).flatMap((item) => string(item) ?? []);

function string(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() ? value.trim() : undefined;
}

const isTrue = (value: unknown): boolean =>
  value === true || /^(?:true|yes|on|1)$/i.test(typeof value === "string" ? value.trim() : "");
