import { describe, expect, test } from "vitest";
import { maxBytes as storageBytes } from "../../plugins/services/storage/storage.ts";
import { errorCodes } from "@rclaw/plugin-sdk/errors";
import { defaultLimits } from "../../plugins/services/lanes/limits-of.ts";
import { itemsOf, sourcesOf, typesOf, versions, worlds } from "./wit.ts";

const undocumented = (text: string): string[] =>
  itemsOf(text).flatMap(({ name, words }) => (words.length < 5 ? [name] : []));

describe.each(versions)("%s", (version) => {
  const sources = sourcesOf(version);
  const all = [...sources.values()].join("\n");
  const items = itemsOf(all);

  test("says of everything in it what it is", () => {
    expect(items.length).toBeGreaterThan(100);
    expect(undocumented(all)).toEqual([]);
  });

  test("is understood by the generator, which finds the same interfaces and the same names", async () => {
    const generated = new Map<string, string>();
    for (const world of worlds)
      for (const [file, text] of await typesOf(sources, world)) generated.set(file, text);
    const camel = (name: string): string =>
      name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    for (const { name, kind } of items) {
      const [place = "", ...rest] = name.split(".");
      const text = generated.get(`interfaces/rclaw-plugin-${place}.d.ts`);
      if (kind === "world" || (kind === "interface" && place === name && text)) continue;
      const last = rest.at(-1) ?? "";
      expect(text, `${place} is in no world`).toBeDefined();
      expect(
        text?.includes(camel(last)) ||
          text?.includes(`'${last}'`) ||
          new RegExp(camel(last), "i").test(text ?? ""),
        name,
      ).toBe(true);
    }
    // And the other way round: a field that the scan overlooked would need no words.
    const known = new Set(items.map(({ name }) => camel(name.split(".").at(-1) ?? "")));
    for (const [file, text] of generated) {
      if (!file.startsWith("interfaces/")) continue;
      const fields = [...text.matchAll(/^ {2}(\w+)\??: /gm)].map(([, field = ""]) => field);
      expect(
        fields.filter((field) => !["tag", "val"].includes(field) && !known.has(field)),
        file,
      ).toEqual([]);
    }
  });

  test("names only codes that errors have", () => {
    const named = new Set([...all.matchAll(/\b[A-Z]{2,}(?:_[A-Z]+)+\b/g)].map(([code]) => code));
    expect(named.size).toBeGreaterThan(5);
    const known: readonly string[] = errorCodes;
    expect([...named].filter((code) => !known.includes(code))).toEqual([]);
  });

  test("says the limits that the code has", () => {
    const words: Readonly<Record<string, string>> = {
      callMs: "30,000",
      entryMs: "5,000",
      loadMs: "5,000",
      hostCalls: "1,000",
      resultBytes: "1 MiB",
      hostBytes: "16 MiB",
      logLines: "100",
    };
    for (const [name, number] of Object.entries(words)) {
      const said = [
        ...all.replaceAll(/\s*\/\/\/\s*/g, " ").matchAll(new RegExp(`\`${name}\` \\(([^)]*)\\)`, "g")),
      ];
      expect(said.length, name).toBeGreaterThan(0);
      for (const [, text = ""] of said) expect(text).toContain(number);
      const preset = defaultLimits[name as keyof typeof defaultLimits];
      const value = number.endsWith("MiB")
        ? Number.parseInt(number, 10) * 1_048_576
        : Number(number.replaceAll(",", ""));
      expect(preset, name).toBe(value);
    }
    expect(all).toContain("1 MiB in all");
    expect(storageBytes).toBe(1_048_576);
  });
});

test("a field, a case and a function without words are found", () => {
  const text = `interface a {
    /// What it is.
    record b {
        c: string,
        /// Said.
        d: string,
    }
    /// What it is.
    enum e { f, g }
    h: func();
    /// Which it is.
    variant i {
        j(string),
    }
}`;
  expect(undocumented(text)).toEqual(["a", "a.b.c", "a.e.f", "a.e.g", "a.h", "a.i.j"]);
});
