import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { componentize } from "componentize-qjs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { importsAllowed, transpile } from "../../../plugins/services/lanes/transpile.ts";
import { componentSource, transpilerChild } from "./component.support.ts";

const witPath = path.resolve(import.meta.dirname, "../../../wit/since-v0.1.0");
let folder: string;
let bytes: Uint8Array;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-transpile-"));
  const jsSource = "export const reactor = { handle: () => [] };";
  const world = "reactor-plugin";
  bytes = (await componentize({ witPath, jsSource, world, optSize: true, stubWasi: true, sync: true }))
    .component;
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = async (input = bytes, signal = AbortSignal.timeout(30_000), ms = 30_000) =>
  transpile(componentSource(input), folder, signal, { child: await transpilerChild(), ms });

test("a component becomes a script and its modules, which wants nothing but the clock", async () => {
  const { script, imports, world } = await run();
  expect(world).toBe("reactor-plugin");
  expect(imports).toEqual(["rclaw:plugin/clock"]);
  expect(await readFile(script, "utf8")).toContain("instantiate");
});

test("the same bytes are transpiled once, and nothing half-done stays behind", async () => {
  const first = await run();
  const again = await transpile(componentSource(bytes), folder, AbortSignal.timeout(5_000), {
    child: "/nowhere",
  });
  expect(again).toEqual(first);
  expect(await readdir(folder)).toEqual([path.basename(first.folder)]);
});

test("a damaged or changed cache is made anew", async () => {
  const { script, folder: made } = await run();
  const good = await readFile(script, "utf8");
  await writeFile(script, `${good}\nglobalThis.stolen = true;`);
  await run();
  expect(await readFile(script, "utf8")).toBe(good);
  await writeFile(path.join(made, "guest.core99.wasm"), "");
  await run();
  expect(await readdir(made)).not.toContain("guest.core99.wasm");
});

test("what is no component is refused, and so is one of another contract", async () => {
  await expect(run(new TextEncoder().encode("hello"))).rejects.toMatchObject({ code: "ARTEFACT_REFUSED" });
  const cut = bytes.subarray(0, bytes.length / 2);
  await expect(run(cut)).rejects.toMatchObject({ code: "ARTEFACT_REFUSED" });
});

test("one that takes too long, or that nobody waits for, is ended", async () => {
  const other = Buffer.concat([bytes, Buffer.from([0, 2, 1, 0x61])]);
  await expect(run(other, AbortSignal.timeout(30_000), 1)).rejects.toMatchObject({
    code: "ARTEFACT_REFUSED",
  });
  await expect(run(other, AbortSignal.abort())).rejects.toMatchObject({ code: "ABORTED" });
});

test("an import needs its grant, and the refusal has the line to add", () => {
  const free = ["rclaw:plugin/clock", "rclaw:plugin/log@0.1.0", "rclaw:plugin/storage", "rclaw:plugin/types"];
  importsAllowed(free, {});
  importsAllowed(["rclaw:plugin/http"], { permissions: { net: ["a.example"] } });
  expect(() => importsAllowed(["rclaw:plugin/http"], {})).toThrow(/permissions: \{ net: \[/);
  expect(() => importsAllowed(["rclaw:plugin/secrets"], { permissions: { net: ["a"] } })).toThrow(
    /secrets: \[/,
  );
  expect(() => importsAllowed(["rclaw:plugin/tools"], {})).toThrow(/tools: \[/);
  for (const name of ["wasi:sockets/tcp@0.2.0", "wasi:filesystem/types", "env", "rclaw:plugin/constructor"])
    expect(() => importsAllowed([name], { permissions: { net: ["*"] } })).toThrow(name);
  expect(() => importsAllowed(["rclaw:plugin/clock@0.9.0"], {})).toThrow(/has rclaw:plugin@0\.1\.0/);
});
