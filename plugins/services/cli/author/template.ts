import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { recipeName } from "./build.ts";
import { readJson5 } from "./folder.ts";

export const languages = ["ts", "rust", "go", "python", "c", "assemblyscript"] as const;
export const kinds = ["tool", "hook", "channel", "provider"] as const;
type Kind = (typeof kinds)[number];

/** What the manifest says of an id; here because nothing is written for one that would be refused later. */
export const idPattern = /^[a-z][a-z0-9-]{0,63}$/;

export interface Words {
  readonly id: string;
  readonly name: string;
  readonly tool: string;
  /** How package.json names the SDK. */
  readonly sdk: string;
  readonly artefact: string;
}

/** `my-dice` is "My dice" to people and `my_dice` to the model. */
export function wordsOf(id: string, sdk: string): Words {
  const words = id.replaceAll("-", " ").trim();
  return {
    id,
    name: words.charAt(0).toUpperCase() + words.slice(1),
    tool: id.replaceAll("-", "_"),
    sdk,
    artefact: `${id}.wasm`,
  };
}

const binary = /\.(?:wasm|png|jpg)$/;

export interface TemplateOptions {
  /** Of `kinds/`, only this one's folder is copied. */
  readonly kind?: Kind;
  /** What every language has unless its own folder has it. */
  readonly shared: string;
}

export async function copyTemplate(
  from: string,
  to: string,
  words: Words,
  { kind, shared }: TemplateOptions,
): Promise<readonly string[]> {
  if (!existsSync(from))
    throw new RclawError("NOT_FOUND", `this rclaw has no template in ${path.basename(from)}`);
  const written = await copyFolder(from, to, words, (name) => name !== "kinds");
  const own = kind && path.join(from, "kinds", kind);
  if (own) written.push(...(await copyFolder(own, to, words, () => true)));
  if (kind === undefined) {
    const artefact = await outputOf(to);
    const isNew = (name: string): boolean => !existsSync(path.join(to, plain(name)));
    written.push(...(await copyFolder(shared, to, { ...words, artefact }, isNew)));
  }
  return written.sort();
}

/** The file that the language's recipe makes. */
async function outputOf(folder: string): Promise<string> {
  const recipe = (await readJson5(path.join(folder, recipeName))) as { readonly output?: unknown };
  return typeof recipe.output === "string" ? recipe.output : "plugin.wasm";
}

const plain = (name: string): string => name.replace(/\.tmpl$/, "");

async function copyFolder(
  from: string,
  to: string,
  words: Words,
  takes: (name: string) => boolean,
): Promise<string[]> {
  const written: string[] = [];
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (!takes(entry.name)) continue;
    const name = plain(fill(entry.name, words));
    const source = path.join(from, entry.name);
    const target = path.join(to, name);
    if (entry.isDirectory()) {
      const inner = await copyFolder(source, target, words, () => true);
      written.push(...inner.map((file) => path.join(name, file)));
    } else {
      const bytes = await readFile(source);
      await writeFile(target, binary.test(name) ? bytes : fill(bytes.toString("utf8"), words));
      written.push(name);
    }
  }
  return written;
}

const fill = (text: string, words: Words): string =>
  text.replaceAll(/\{\{(id|name|tool|sdk|artefact)\}\}/g, (_match, word: keyof Words) => words[word]);

/** A folder that is new or empty; anything else is somebody's work. */
export async function refuseUsedFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new RclawError("CONFLICT", `${folder} is no folder, or cannot be read`, { cause: error });
  });
  if (names.length > 0)
    throw new RclawError(
      "CONFLICT",
      `${folder} is there and not empty, so nothing was written; choose another id, or --dir`,
    );
}
