import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { parseManifest } from "../../kernel/plugins/discover.ts";
import { boundModule } from "../../plugins/services/lanes/limits.ts";
import { defaultLimits } from "../../plugins/services/lanes/limits-of.ts";
import { build, digestOf, folderOf } from "../../scripts/guests.mjs";
import { type Case, casesOf, fits } from "../support/cases.ts";
import { openGuest } from "./lanes/extism.support.ts";

const root = path.resolve(import.meta.dirname, "../..");

/** What holds for every guest that ships: it does what its cases say, within the limits, and was built from its sources. */
export function describeGuest(id: string, { maxBytes }: { readonly maxBytes: number }): void {
  const folder = folderOf(id);
  const artefact = readFileSync(path.join(folder, `${id}.wasm`));
  const cases = casesOf(folder);
  const run = async (wasm: Uint8Array, { tool, params, expect: wanted }: Case): Promise<void> => {
    await using guest = await openGuest(wasm, { id });
    await guest.activate();
    fits(await guest.tool(tool, params), wanted);
  };

  describe("the guest that ships", () => {
    test.each(cases)("$params", (line) => run(artefact, line));

    test("fits the limits that strangers have, and the package", () => {
      expect(() => boundModule(artefact, defaultLimits)).not.toThrow();
      expect(artefact.length).toBeLessThan(maxBytes);
    });

    test("offers what its manifest declares, may touch nothing, and says nothing of the machine it was built on", async () => {
      const file = path.join(root, "manifests/tools", `${id}.json5`);
      const manifest = parseManifest(readFileSync(file, "utf8"), file);
      await using guest = await openGuest(artefact, { id });
      const { tools, hooks } = await guest.activate();
      expect(tools.map(({ name }) => name)).toEqual(manifest.contributes.tools);
      expect([hooks, manifest.permissions ?? {}]).toEqual([[], {}]);
      expect(artefact.includes(root)).toBe(false);
    });

    test("was built from the sources beside it; if not: node scripts/guests.mjs", () => {
      const { compiler: _compiler, ...noted } = JSON.parse(
        readFileSync(path.join(folder, "digest.json"), "utf8"),
      ) as Record<string, string>;
      expect(digestOf(folder)).toEqual(noted);
    });
  });

  test("built anew it does the same", async (context) => {
    const { wasm, compiler, skipped } = build(folder);
    if (!wasm) {
      console.log(`skipped: ${skipped}`);
      return context.skip(skipped);
    }
    const noted = JSON.parse(readFileSync(path.join(folder, "digest.json"), "utf8")) as { compiler: string };
    if (compiler === noted.compiler) expect(wasm.equals(artefact), "the same bytes").toBe(true);
    for (const line of cases) await run(wasm, line);
  }, 300_000);
}
