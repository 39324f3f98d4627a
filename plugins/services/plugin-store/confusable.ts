import { editDistance } from "@rclaw/plugin-sdk/services/nearest";
import type { KnownPlugin } from "@rclaw/plugin-sdk/services/plugin-store";

/** Letters of other alphabets that look like Latin ones, beside what decomposition already undoes. */
const lookalikes: Readonly<Record<string, string>> = {
  а: "a",
  ɑ: "a",
  α: "a",
  в: "b",
  Ь: "b",
  ь: "b",
  ƅ: "b",
  с: "c",
  ϲ: "c",
  ԁ: "d",
  ɗ: "d",
  е: "e",
  ҽ: "e",
  ε: "e",
  ɡ: "g",
  һ: "h",
  н: "h",
  ո: "n",
  і: "i",
  ι: "i",
  ı: "i",
  ӏ: "i",
  ј: "j",
  к: "k",
  κ: "k",
  ⅼ: "i",
  м: "m",
  п: "n",
  ν: "v",
  η: "n",
  о: "o",
  ο: "o",
  օ: "o",
  σ: "o",
  р: "p",
  ρ: "p",
  ԛ: "q",
  г: "r",
  ѕ: "s",
  т: "t",
  τ: "t",
  υ: "u",
  ս: "u",
  ѵ: "v",
  ѡ: "w",
  ω: "w",
  ԝ: "w",
  х: "x",
  χ: "x",
  у: "y",
  γ: "y",
  ʏ: "y",
  ᴢ: "z",
  ꭓ: "x",
  ø: "o",
  ł: "i",
  "0": "o",
  "1": "i",
  l: "i",
  "|": "i",
  "!": "i",
  "3": "e",
  "4": "a",
  "@": "a",
  "5": "s",
  $: "s",
  "7": "t",
  "8": "b",
  "9": "g",
  "2": "z",
  "6": "b",
};

/** Two names with one skeleton look the same to somebody in a hurry. */
function skeleton(name: string): string {
  const letters = name
    .normalize("NFKD")
    .replaceAll(/[\p{M}\p{Cf}]/gu, "")
    .toLowerCase();
  return Array.from(letters, (letter) => lookalikes[letter] ?? letter)
    .join("")
    .replaceAll("rn", "m")
    .replaceAll("vv", "w")
    .replaceAll(/[^\p{L}\p{N}]/gu, "");
}

/** With fewer letters than this, one of them wrong makes another word: `edit` and `exit`. */
const shortest = 5;

function isAlike(a: string, b: string): boolean {
  if (a === b) return true;
  return Math.min(a.length, b.length) >= shortest && editDistance(a, b, 1) <= 1;
}

/** A package is often called like its plugin, with something in front. */
const plain = (name: string): string =>
  name
    .replace(/^@[^/]+\//, "")
    .replace(/^(?:rclaw-)?(?:plugin-)?/, "")
    .replace(/-plugin$/, "");

/** Whose name a newcomer could be mistaken for. Its own older version is nobody else. */
export function mistakenFor(
  { id, name, packageName }: KnownPlugin & { readonly packageName?: string },
  known: readonly KnownPlugin[],
): KnownPlugin | undefined {
  const words = [id, name, ...(packageName === undefined ? [] : [plain(packageName)])].map(skeleton);
  return known.find(
    (other) =>
      other.id !== id &&
      [other.id, other.name]
        .map(skeleton)
        .some((theirs) => theirs !== "" && words.some((word) => isAlike(word, theirs))),
  );
}
