import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { generateTypes } from "@bytecodealliance/jco/component";

export const root = path.resolve(import.meta.dirname, "../..");
export const witFolder = path.join(root, "wit");

/** Every folder of the contract, oldest first. */
export const versions: readonly string[] = readdirSync(witFolder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .toSorted();

/** The files of one version, by name. */
export function sourcesOf(version: string): Map<string, string> {
  const folder = path.join(witFolder, version);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).toSorted();
  return new Map(names.map((name) => [name, readFileSync(path.join(folder, name), "utf8")]));
}

/** One number for all of a version: names and contents, in the order of the names. */
export function digestOf(sources: ReadonlyMap<string, string>): string {
  const hash = createHash("sha256");
  for (const [name, text] of sources) hash.update(`${name}\0${Buffer.byteLength(text)}\0${text}`);
  return `sha256-${hash.digest("base64")}`;
}

export const worlds = ["reactor-plugin", "tool-and-hook-plugin", "tool-plugin", "hook-plugin"] as const;

/** The TypeScript that a world's shapes become, by file. The generator reads one text: it has no file system here. */
export async function typesOf(
  sources: ReadonlyMap<string, string>,
  world: (typeof worlds)[number],
): Promise<Map<string, string>> {
  const heading = /^package .*;$/m;
  const [first = ""] = sources.values();
  const bodies = [...sources.values()].map((text) => text.replace(heading, ""));
  const files = await generateTypes("world", {
    wit: { tag: "source", val: [heading.exec(first)?.[0] ?? "", ...bodies].join("\n") },
    world,
    instantiation: { tag: "async" },
  });
  return new Map(files.map(([name, contents]) => [name, new TextDecoder().decode(contents)]));
}

export interface Item {
  /** Such as `types.plugin-error.code`. */
  readonly name: string;
  readonly kind: "interface" | "world" | "type" | "func" | "member";
  readonly words: string;
}

const opening = /^(interface|world|record|variant|enum|flags|resource)\s+%?([a-z0-9-]+)\s*\{(.*)$/;
const one = /^(?:type\s+%?([a-z0-9-]+)\s*=|%?([a-z0-9-]+):\s*(?:async\s+)?func\b)/;

/** Everything in a file that needs words, with the words that stand before it. */
export function itemsOf(source: string): Item[] {
  const items: Item[] = [];
  const within: string[] = [];
  let words: string[] = [];
  const add = (kind: Item["kind"], name: string): void => {
    items.push({ kind, name: [...within, name].join("."), words: words.join(" ") });
    words = [];
  };
  for (const line of source.split("\n").map((text) => text.trim())) {
    if (line === "" || line.startsWith("package ")) continue;
    if (line.startsWith("///")) {
      words.push(line.slice(3).trim());
      continue;
    }
    const [, kind, name = "", rest = ""] = opening.exec(line) ?? [];
    if (kind) {
      add(kind === "interface" || kind === "world" ? kind : "type", name);
      if (rest.trim() === "") within.push(name);
      // What stands on one line cannot have words of its own.
      else
        for (const [, member = ""] of rest.matchAll(/%?([a-z][a-z0-9-]*)\s*[:,}(]/g))
          add("member", `${name}.${member}`);
      continue;
    }
    if (line === "}") {
      within.pop();
      continue;
    }
    const [, type, func] = one.exec(line) ?? [];
    if (type !== undefined) add("type", type);
    else if (func !== undefined) add("func", func);
    else if (/^(?:use|import|export|include)\b/.test(line)) words = [];
    else {
      const [, member] = /^%?([a-z][a-z0-9-]*)\s*[:(,]/.exec(line) ?? [];
      if (member === undefined) throw new Error(`the scan does not know what this line is: ${line}`);
      add("member", member);
    }
  }
  return items;
}
