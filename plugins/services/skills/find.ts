import { readdir, realpath } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "@rclaw/plugin-sdk";
import { readPlain } from "@rclaw/plugin-sdk/services/plain-file";
import { readFrontMatter } from "./front-matter.ts";
import type { Skill } from "./skill.ts";

export interface SkillRoot {
  readonly folder: string;
  /** OpenClaw's word for it: its clients sort by that. */
  readonly source: string;
}

const maxPerRoot = 200;
const maxBytes = 256_000;

/** All skills; one in a later folder takes the place of another with the same name. */
export async function findSkills(roots: readonly SkillRoot[], log: Logger): Promise<readonly Skill[]> {
  const found = await Promise.all(roots.map((root) => skillsIn(root, log)));
  const byName = new Map<string, Skill>();
  for (const skill of found.flat()) byName.set(skill.name, skill);
  return [...byName.values()];
}

async function skillsIn(root: SkillRoot, log: Logger): Promise<readonly Skill[]> {
  const place = await realpath(root.folder).catch(() => undefined);
  if (place === undefined) return [];
  const itself = await readSkill(root.folder, root.source, log);
  if (itself) return [itself];
  const names = await foldersIn(root.folder, place);
  if (names.length > maxPerRoot)
    log.warn({ folder: root.folder }, `only the first ${maxPerRoot} of ${names.length} skills are looked at`);
  const skills: Skill[] = [];
  for (const name of names.slice(0, maxPerRoot)) {
    const skill = await readSkill(path.join(root.folder, name), root.source, log);
    if (skill) skills.push(skill);
  }
  return skills;
}

/** Folders and links to folders, as long as a link stays below the root: it must not bring others' files in. */
async function foldersIn(folder: string, place: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
    if (entry.isDirectory()) names.push(entry.name);
    else if (entry.isSymbolicLink()) {
      const target = await realpath(path.join(folder, entry.name)).catch(() => "");
      if (target.startsWith(place + path.sep)) names.push(entry.name);
    }
  }
  return names.sort();
}

async function readSkill(folder: string, source: string, log: Logger): Promise<Skill | undefined> {
  const file = path.join(folder, "SKILL.md");
  const content = await readPlain(file, maxBytes);
  if (!content) return undefined;
  if (content.size > maxBytes) {
    log.warn(
      { file, size: content.size },
      `a skill is left out: its SKILL.md has more than ${maxBytes} bytes`,
    );
    return undefined;
  }
  const { description, metadata, isForModels, isForPeople, ...front } = await readFrontMatter(content.text);
  const name = front.name ?? path.basename(folder);
  // Without one nobody could tell what it is for.
  if (description === undefined) return undefined;
  const key = metadata.skillKey ?? name;
  return { name, description, key, source, file, folder, isForModels, isForPeople, metadata };
}
