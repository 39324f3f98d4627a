import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildComponent, installed } from "../../plugins/services/cli/author/build-component.ts";

const root = path.resolve(import.meta.dirname, "../..");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-author-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function build(source: string): Promise<Uint8Array> {
  const entry = path.join(folder, "index.ts");
  await writeFile(entry, source);
  return buildComponent({
    entry,
    witFolder: path.join(root, "wit/since-v0.1.0"),
    sdkFolder: path.join(root, "plugin-sdk"),
    serve: path.join(root, "test/fixtures/guest/serve.ts"),
  });
}

const message = (source: string): Promise<string> =>
  build(source).then(
    () => "it was built",
    (error: Error) => error.message,
  );

test("a plugin with a schema of its own becomes a component", async () => {
  const bytes = await build(`
    import { Type } from "typebox";
    import { RclawError } from "@rclaw/plugin-sdk";
    const params = Type.Object({ a: Type.Optional(Type.String()) });
    export default () => async () => { if (!params) throw new RclawError("NOT_FOUND", "x"); return params; };`);
  expect([...bytes.subarray(0, 8)]).toEqual([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]);
}, 60_000);

test("a schema file may use all of typebox, and costs what plain data costs", async () => {
  await writeFile(
    path.join(folder, "own.schema.ts"),
    'import { Type } from "typebox";\nexport const own = Type.Array(Type.TemplateLiteral("a${string}"));',
  );
  const bytes = await build('import { own } from "./own.schema.ts";\nexport default () => async () => own;');
  expect(bytes.length).toBeLessThan(2_500_000);
  expect(
    await message('import { Type } from "typebox";\nType.TemplateLiteral("a");\nexport default 1;'),
  ).toMatch(/Type\.TemplateLiteral cannot be used inside a component/);
}, 60_000);

test("mistakes come with file, line and column", async () => {
  expect(await message("export default () =>\n  async () => { let x = ; };")).toMatch(
    /index\.ts:2:25: Unexpected ";"/,
  );
  expect(await message('\nimport x from "./missing.ts";\nexport default x;')).toMatch(
    /index\.ts:2:\d+: Could not/,
  );
});

test("what a sandbox does not have is named, with what to use instead", async () => {
  expect(
    await message('import { randomUUID } from "node:crypto";\nexport default () => randomUUID;'),
  ).toMatch(/index\.ts:1:\d+: node:crypto is not there in a sandbox: use the global crypto/);
});

test("code that fails while the component is built says why", async () => {
  const why = await message('throw new Error("at the top");\nexport default () => async () => 1;');
  expect(why).toMatch(/at the top/);
  const chance = await message("const id = crypto.randomUUID();\nexport default () => async () => id;");
  expect(chance).toMatch(/there is no chance while a component is built/);
}, 60_000);

test("a tool that is not installed is named with the command that installs it", async () => {
  await expect(installed("no-such-tool", path.join(folder, "index.ts"))).rejects.toMatchObject({
    code: "NOT_FOUND",
    message: expect.stringContaining("npm install --save-dev no-such-tool"),
  });
});
