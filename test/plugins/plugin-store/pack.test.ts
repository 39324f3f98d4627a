import { chmod, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import type { Plan } from "@rclaw/plugin-sdk/services/plugin-store";
import { expect, test } from "vitest";
import { createPlace, install, plugin, store, tgz, writeFolder } from "./store.support.ts";

type Place = Awaited<ReturnType<typeof createPlace>>;

/** Packs the folder, signed by whoever owns that state, and stages the package. */
async function stageSigned(place: Place, folder: string, signer?: string) {
  const { tgz: packed } = await store.pack(
    folder,
    signer === undefined ? {} : { sign: { stateDir: signer } },
  );
  await writeFile(path.join(place.source, "p.tgz"), packed);
  return store.stage(place.ports, "./p.tgz", place.options);
}

async function update(place: Place, folder: string, version: string, signer?: string) {
  await writeFolder(folder, plugin({ version }));
  const staged = await stageSigned(place, folder, signer);
  const plan = await store.inspect(place.ports, staged, place.options);
  const commit = (accepts: Plan["asks"] = plan.asks.filter((kind) => kind !== "signer")) =>
    store.commit(place.ports, staged, { digest: plan.digest, accepts }, place.options);
  return { plan, commit };
}

test("the same files give the same bytes, whenever and with whatever modes", async () => {
  await using place = await createPlace();
  const folder = await writeFolder(path.join(place.source, "a"), plugin({}, { "lib/x.js": "x" }));
  const first = await store.pack(folder);
  await chmod(path.join(folder, "lib/x.js"), 0o755);
  await utimes(path.join(folder, "lib/x.js"), 1, 1);
  const copy = await writeFolder(path.join(place.source, "b"), plugin({}, { "lib/x.js": "x" }));
  for (const again of [await store.pack(folder), await store.pack(copy)]) {
    expect(Buffer.compare(again.tgz, first.tgz)).toBe(0);
    expect(again.digest).toBe(first.digest);
  }
  expect(first.fileName).toBe("weather-1.0.0.tgz");
  expect(Object.keys(first.files)).toEqual(["lib/x.js", "plugin.wasm", "rclaw.plugin.json5"]);
});

test("what belongs to the author alone stays out, and `files` of package.json decides the rest", async () => {
  await using place = await createPlace();
  const folder = await writeFolder(
    path.join(place.source, "a"),
    plugin(
      {},
      {
        ".env": "SECRET=1",
        ".git/config": "x",
        "node_modules/x/index.js": "x",
        "index.test.ts": "x",
        "test/a.ts": "x",
        "src/a.ts": "x",
        "README.md": "x",
        "old-1.0.0.tgz": "x",
      },
    ),
  );
  const names = async () => Object.keys((await store.pack(folder)).files);
  expect(await names()).toEqual(["README.md", "plugin.wasm", "rclaw.plugin.json5", "src/a.ts"]);
  await writeFolder(folder, { "package.json": JSON.stringify({ files: ["*.wasm", "test/"] }) });
  expect(await names()).toEqual([
    "README.md",
    "package.json",
    "plugin.wasm",
    "rclaw.plugin.json5",
    "test/a.ts",
  ]);
  await writeFolder(folder, { "package.json": JSON.stringify({ files: ["src"] }) });
  await expect(store.pack(folder)).rejects.toThrow('entry "plugin.wasm" is no file of the package');
  await symlink("/etc/hostname", path.join(folder, "src/link"));
  await expect(store.pack(folder)).rejects.toMatchObject({ code: "NOT_REGULAR_FILE" });
});

test("the signing key is made once, for its owner's eyes only", async () => {
  await using place = await createPlace();
  const folder = await writeFolder(path.join(place.source, "a"), plugin());
  const me = path.join(place.root, "me");
  await mkdir(me);
  const { signer } = await store.pack(folder, { sign: { stateDir: me } });
  const file = path.join(me, "plugin-signing-key.json");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(signer?.fingerprint).toMatch(/^SHA256:[\w+/]{43}$/);
  expect((await store.pack(folder, { sign: { stateDir: me } })).signer).toEqual(signer);
  const { tgz: packed } = await store.pack(folder, { sign: { stateDir: me } });
  const { privateKey } = JSON.parse(await readFile(file, "utf8")) as { privateKey: string };
  expect(gunzipSync(packed).includes(privateKey)).toBe(false);
  await chmod(file, 0o644);
  await expect(store.pack(folder, { sign: { stateDir: me } })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
});

test("the first signer is remembered: another one, or none, needs a word of its own", async () => {
  await using place = await createPlace();
  const folder = path.join(place.source, "weather");
  const [me, other] = [path.join(place.root, "me"), path.join(place.root, "other")];
  const first = await update(place, folder, "1.0.0", me);
  expect(first.plan.signer.kind).toBe("first-use");
  await first.commit();
  const { digest } = first.plan;
  expect((await store.installed(place.stateDir)).found).toMatchObject([
    { digest, signer: first.plan.signer.signer },
  ]);
  const { folder: kept } = (await store.installed(place.stateDir)).found[0] ?? { folder: "" };
  expect(await readdir(kept)).not.toContain("rclaw.signature.json");

  const second = await update(place, folder, "1.1.0", me);
  expect(second.plan).toMatchObject({ asks: [], signer: { kind: "same" } });
  await second.commit();
  for (const [signer, kind] of [
    [other, "changed"],
    [undefined, "dropped"],
  ] as const) {
    const next = await update(place, folder, "1.2.0", signer);
    expect(next.plan).toMatchObject({ asks: ["signer"], signer: { kind } });
    await expect(next.commit()).rejects.toMatchObject({
      code: "POLICY_DENIED",
      details: { asks: ["signer"] },
    });
  }
  expect((await store.installed(place.stateDir)).found).toMatchObject([{ version: "1.1.0" }]);
  const next = await update(place, folder, "1.3.0", other);
  await next.commit(["signer"]);
  expect((await store.installed(place.stateDir)).found).toMatchObject([{ signer: next.plan.signer.signer }]);
});

test("a key that the old one vouches for is taken without a word", async () => {
  await using place = await createPlace();
  const folder = path.join(place.source, "weather");
  const me = path.join(place.root, "me");
  await (await update(place, folder, "1.0.0", me)).commit();
  const signer = await store.rotateSigningKey(me);
  const next = await update(place, folder, "1.1.0", me);
  expect(next.plan).toMatchObject({ asks: [], signer: { kind: "rotated", signer } });
  await next.commit();
  // Two at once cannot be told from a stranger: the key in between is nowhere.
  await store.rotateSigningKey(me);
  await store.rotateSigningKey(me);
  expect((await update(place, folder, "1.2.0", me)).plan.signer.kind).toBe("changed");
});

test("a package that was changed after it was signed is refused whatever is agreed to", async () => {
  await using place = await createPlace();
  const folder = await writeFolder(path.join(place.source, "weather"), plugin());
  const me = path.join(place.root, "me");
  const staged = await store.pack(folder, { sign: { stateDir: me } });
  const text = /\{\n {2}"algorithm"[\s\S]*?\n\}\n/.exec(gunzipSync(staged.tgz).toString("latin1"))?.[0] ?? "";
  const stage = async (files: Record<string, string | Buffer>) => {
    await writeFile(path.join(place.source, "q.tgz"), tgz(files));
    return store.stage(place.ports, "./q.tgz", place.options);
  };
  expect((await stage({ ...plugin(), "rclaw.signature.json": text })).signer).toEqual(staged.signer);
  await expect(stage({ ...plugin({ version: "1.0.1" }), "rclaw.signature.json": text })).rejects.toThrow(
    "they were changed",
  );
  await expect(stage({ ...plugin({}, { "more.txt": "" }), "rclaw.signature.json": text })).rejects.toThrow(
    "they were changed",
  );
  await expect(stage({ ...plugin(), "rclaw.signature.json": "{}" })).rejects.toThrow("is no signature");
  const forged = JSON.stringify({
    ...JSON.parse(text),
    rotatedFrom: { key: staged.signer?.key, signature: "A".repeat(86) + "==" },
  });
  await expect(stage({ ...plugin(), "rclaw.signature.json": forged })).rejects.toThrow("did not agree");
});

test("a folder and its package are the same plugin", async () => {
  await using place = await createPlace();
  const folder = await writeFolder(
    path.join(place.source, "weather"),
    plugin({}, { ".env": "x", "test/a.ts": "x" }),
  );
  const { digest, tgz: packed } = await store.pack(folder);
  expect((await install(place, "./weather")).digest).toBe(digest);
  await writeFile(path.join(place.source, "p.tgz"), packed);
  expect(await install(place, "./p.tgz")).toMatchObject({ digest, changed: false });
});
