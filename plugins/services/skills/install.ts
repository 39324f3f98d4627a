import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import type { Installer, Metadata, Skill } from "./skill.ts";
import type { Surroundings } from "./status.ts";

interface InstallOption {
  readonly id: string;
  readonly kind: string;
  readonly label: string;
  readonly bins: readonly string[];
}

interface Choice {
  readonly installer: Installer;
  readonly index: number;
}

/** What a client may offer to install: every download, else the one way that suits this machine best. */
export function installOptions(
  { install, requires }: Metadata,
  around: Pick<Surroundings, "config" | "hasBin">,
): readonly InstallOption[] {
  const fits = (os: readonly string[]): boolean => os.length === 0 || os.includes(process.platform);
  if (!fits(requires.os)) return [];
  const all = install.filter(({ os }) => fits(os)).map((installer, index) => ({ installer, index }));
  const manager = managerOf(around.config);
  if (all.every(({ installer }) => installer.kind === "download"))
    return all.map((choice) => optionOf(choice, manager));
  const best = preferred(all, around);
  return best ? [optionOf(best, manager)] : [];
}

/** The gateway runs no installer: what it would download and run is for the person to decide. */
export function adviceFor(
  skill: Skill | undefined,
  name: string,
  installId: string,
  config: unknown,
): string {
  if (!skill) return `Skill not found: ${name}`;
  const index = skill.metadata.install.findIndex((item, at) => idOf(item, at) === installId);
  const installer = skill.metadata.install[index];
  if (!installer) return `Installer not found: ${installId}`;
  const command = commandOf(installer, managerOf(config));
  return `rclaw does not run installers. ${command ? `Run it yourself: ${command}` : "Install it yourself"}`;
}

function optionOf({ installer, index }: Choice, manager: string): InstallOption {
  const { kind, bins } = installer;
  return { id: idOf(installer, index), kind, label: labelOf(installer, manager), bins };
}

const idOf = ({ id, kind }: Installer, index: number): string => id ?? `${kind}-${index}`;

function labelOf({ kind, label, what }: Installer, manager: string): string {
  if (kind === "node" && what) return `Install ${what} (${manager})`;
  if (label) return label;
  if (!what) return "Run installer";
  if (kind === "download") return `Download ${what.split("/").at(-1) || what}`;
  return `Install ${what} (${kind})`;
}

function preferred(
  all: readonly Choice[],
  { config, hasBin }: Pick<Surroundings, "config" | "hasBin">,
): Choice | undefined {
  const first = (kind: Installer["kind"]): Choice | undefined =>
    all.find(({ installer }) => installer.kind === kind);
  const brew = hasBin("brew") ? first("brew") : undefined;
  const prefersBrew = valueAt(config, "skills.install.preferBrew") !== false;
  const order = [
    ...(prefersBrew ? [brew] : []),
    first("uv"),
    first("node"),
    brew,
    first("go"),
    first("download"),
    ...all,
  ];
  return order.find((choice) => choice !== undefined);
}

/** A word of the line that a person may copy must not be more than a word. */
function commandOf({ kind, what }: Installer, manager: string): string | undefined {
  if (!what || !/^[@\w./:+~-]+$/.test(what) || what.startsWith("-")) return undefined;
  if (kind === "brew") return `brew install ${what}`;
  if (kind === "go") return `go install ${what}`;
  if (kind === "uv") return `uv tool install ${what}`;
  if (kind === "node") return manager === "npm" ? `npm install -g ${what}` : `${manager} add -g ${what}`;
  return undefined;
}

function managerOf(config: unknown): string {
  const manager = valueAt(config, "skills.install.nodeManager");
  return typeof manager === "string" && ["pnpm", "yarn", "bun"].includes(manager) ? manager : "npm";
}
