import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { builtProduct } from "../support/build.ts";

const root = path.resolve(import.meta.dirname, "../..");

async function packed(): Promise<readonly string[]> {
  const child = spawn("npm", ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`npm pack ended with ${code}`);
  const [first] = JSON.parse(stdout) as { files: { path: string }[] }[];
  return (first?.files ?? []).map((file) => file.path);
}

let files: readonly string[];
beforeAll(async () => {
  await builtProduct();
  files = await packed();
}, 60_000);

test("the package holds the program, every built file, every manifest and the pages for people", async () => {
  const below = async (folder: string): Promise<string[]> =>
    (await readdir(path.join(root, folder), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)));
  const built = (await below("dist")).filter((file) =>
    /\.(cjs|mjs|wasm|html|css|js)$|(manifests|components\/.*)\.json$/.test(file),
  );
  const wanted = ["README.md", "LICENSE", "package.json", ...(await below("manifests")), ...built];
  expect(wanted.filter((file) => !files.includes(file))).toEqual([]);
});

test("it holds no tests, no sources, no declarations and nothing of the machine it was made on", () => {
  // What plugins are built with is all the source there is.
  const own = files.filter((file) => !/^(?:node_modules|dist\/plugin-sdk)\//.test(file));
  const strays = own.filter(
    (file) =>
      /(^|\/)(test|src|kernel\/.*\.ts|\.git)(\/|$)|\.ts$|\.tsbuildinfo$|\.log$/.test(file) ||
      file.startsWith("."),
  );
  expect(strays).toEqual([]);
});

test("source maps name their sources relative to themselves, and no file names a path of this machine", async () => {
  const own = files.filter((file) => !file.startsWith("node_modules/") && existsSync(path.join(root, file)));
  const maps = own.filter((file) => file.endsWith(".map"));
  expect(maps.length).toBeGreaterThan(0);
  for (const file of maps) {
    const { sources, sourceRoot } = JSON.parse(await readFile(path.join(root, file), "utf8")) as {
      sources: string[];
      sourceRoot?: string;
    };
    expect([...sources, sourceRoot ?? ""].filter((source) => path.isAbsolute(source))).toEqual([]);
  }
  const texts = await Promise.all(
    own.map(async (file) => [file, await readFile(path.join(root, file), "utf8")] as const),
  );
  expect(texts.filter(([, text]) => text.includes(root)).map(([file]) => file)).toEqual([]);
});
