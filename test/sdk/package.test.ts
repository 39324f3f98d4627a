import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const root = path.resolve(import.meta.dirname, "../..");
const examples = path.join(import.meta.dirname, "examples");
/** Where an author works: examples, the packed SDK, and nothing else of rclaw. */
let home: string;

async function run(cwd: string, command: string, args: readonly string[]): Promise<void> {
  const { PATH, HOME } = process.env;
  const child = spawn(command, args, { cwd, env: { PATH, HOME }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const [exitCode] = (await once(child, "close")) as [number | null];
  if (exitCode !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${exitCode}:\n${output}`);
}

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "rclaw-author-"));
  const source = path.join(home, "checkout/plugin-sdk");
  await cp(path.join(root, "plugin-sdk"), source, {
    recursive: true,
    filter: (from) => !["dist", "node_modules"].includes(path.basename(from)),
  });
  await cp(path.join(root, "tsconfig.base.json"), path.join(home, "checkout/tsconfig.base.json"));
  await symlink(path.join(root, "node_modules"), path.join(home, "checkout/node_modules"));
  await run(source, path.join(root, "node_modules/.bin/tsc"), ["-b"]);
  await run(source, "npm", ["pack", "--loglevel=error", "--pack-destination", home]);
  const tarball = (await readdir(home)).find((file) => file.endsWith(".tgz")) ?? "";

  const sdk = path.join(home, "node_modules/@rclaw/plugin-sdk");
  await mkdir(sdk, { recursive: true });
  await run(home, "tar", ["-xzf", tarball, "--strip-components=1", "-C", sdk]);
  for (const name of ["typebox", "@types", "undici-types", "vitest"])
    await symlink(path.join(root, "node_modules", name), path.join(home, "node_modules", name));
  await cp(examples, path.join(home, "examples"), { recursive: true });
  await writeFile(path.join(home, "package.json"), '{ "type": "module" }\n');
});
afterAll(() => rm(home, { recursive: true, force: true, maxRetries: 3 }));

test("the packed SDK holds its README and what was compiled, and no sources or tests", async () => {
  const sdk = path.join(home, "node_modules/@rclaw/plugin-sdk");
  const entries = await readdir(sdk, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(sdk, path.join(entry.parentPath, entry.name)));
  expect(files).toEqual(
    expect.arrayContaining(["package.json", "README.md", "dist/index.js", "dist/index.d.ts"]),
  );
  expect(files).toEqual(expect.arrayContaining(["dist/testing/index.js", "dist/testing/index.d.ts"]));
  expect(files.filter((file) => !file.startsWith("dist/"))).toHaveLength(2);
  expect(files.filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))).toEqual([]);
});

test("the README's examples are well typed against the packed SDK, under strict flags", async () => {
  const { compilerOptions } = JSON.parse(await readFile(path.join(root, "tsconfig.base.json"), "utf8")) as {
    compilerOptions: object;
  };
  const options = { ...compilerOptions, noEmit: true, types: ["node"] };
  await writeFile(
    path.join(home, "tsconfig.json"),
    JSON.stringify({ compilerOptions: options, include: ["examples"] }),
  );
  await run(home, path.join(root, "node_modules/.bin/tsc"), ["-p", "."]);
});

test("a plugin that was bundled with the packed SDK registers its tool, and its errors are known here", async () => {
  const outfile = path.join(home, "index.mjs");
  await build({
    entryPoints: [path.join(home, "examples/exchange/index.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
  });
  const plugin = (await import(pathToFileURL(outfile).href)) as {
    default: { activate(context: object): void };
  };
  const names: string[] = [];
  plugin.default.activate({ tools: { register: ({ name }: { name: string }) => names.push(name) } });
  expect(names).toEqual(["exchange_rate"]);

  // A plugin carries its own copy of the SDK, so errors must be recognised by their shape.
  const theirs = (await import(
    pathToFileURL(path.join(home, "node_modules/@rclaw/plugin-sdk/dist/index.js")).href
  )) as { RclawError: new (code: string, message: string) => Error };
  const { isRclawError, RclawError } = await import("@rclaw/plugin-sdk");
  const error = new theirs.RclawError("TIMEOUT", "too late");
  expect(error).not.toBeInstanceOf(RclawError);
  expect(isRclawError(error)).toBe(true);
});
