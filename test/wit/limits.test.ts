import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { defaultLimits } from "../../plugins/services/lanes/limits-of.ts";
import { root } from "./wit.ts";

test("docs/plugins.md says the limits that lanes have, all of them", () => {
  const page = readFileSync(path.join(root, "docs/plugins.md"), "utf8");
  const [, section = ""] = /^## Limits$(.*?)^## /ms.exec(page) ?? [];
  const said = [...section.matchAll(/^\| `(\w+)` +\| ([\d,]+)/gm)].map(([, name = "", number = ""]) => [
    name,
    Number(number.replaceAll(",", "")),
  ]);
  expect(Object.fromEntries(said)).toEqual(defaultLimits);
});

test("the comments of LaneLimits say the same defaults", () => {
  const source = readFileSync(path.join(root, "plugin-sdk/services/lanes.ts"), "utf8");
  const [, body = ""] = /^export interface LaneLimits \{$(.*?)^\}/ms.exec(source) ?? [];
  const said = [...body.matchAll(/Default ([\d,]+)( MiB)?\. \*\/\n\s*readonly (\w+)/g)].map(
    ([, number = "", unit, name = ""]) =>
      [name, Number(number.replaceAll(",", "")) * (unit ? 1_048_576 : 1)] as const,
  );
  expect(Object.fromEntries(said)).toEqual(defaultLimits);
});
