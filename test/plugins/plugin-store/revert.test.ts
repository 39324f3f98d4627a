import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { createPlace, install, plugin, store, writeFolder } from "./store.support.ts";

type Place = Awaited<ReturnType<typeof createPlace>>;

const lockOf = ({ stateDir }: Place): Promise<string> =>
  readFile(path.join(stateDir, "plugins/rclaw.lock"), "utf8");
const foldersOf = ({ stateDir }: Place): Promise<string[]> =>
  readdir(path.join(stateDir, "plugins/.store/weather"));

async function update(place: Place, version: string): Promise<{ digest: string; folder: string }> {
  await writeFolder(path.join(place.source, "weather"), plugin({ version }));
  return install(place, "./weather");
}

/** Version in force, what a rollback leads to, and what an undone update would bring back. */
async function versions({ stateDir }: Place): Promise<readonly (string | undefined)[]> {
  const [item] = (await store.installed(stateDir)).found;
  return [item?.version, item?.previous?.version, item?.earlier?.version];
}

test("an update that is undone leaves the lock and the store as they were", async () => {
  await using place = await createPlace();
  await update(place, "1.0.0");
  const first = { lock: await lockOf(place), folders: await foldersOf(place) };
  const { digest: second } = await update(place, "2.0.0");
  const after = await versions(place);
  expect(await store.revert(place.ports, "weather", second)).toBe(true);
  expect({ lock: await lockOf(place), folders: await foldersOf(place) }).toEqual(first);
  expect(after).toEqual(["2.0.0", "1.0.0", undefined]);

  await update(place, "2.0.0");
  const before = { lock: await lockOf(place), folders: await foldersOf(place) };
  const { digest: third } = await update(place, "3.0.0");
  expect(await versions(place)).toEqual(["3.0.0", "2.0.0", "1.0.0"]);
  await store.revert(place.ports, "weather", third);
  expect({ lock: await lockOf(place), folders: await foldersOf(place) }).toEqual(before);
  expect(await store.verify(place.ports)).toMatchObject([{ ok: true }]);
  expect(await store.rollback(place.ports, "weather")).toMatchObject({ version: "1.0.0" });
});

test("a rollback that is undone keeps what it led to, as it was before", async () => {
  await using place = await createPlace();
  const { digest } = await update(place, "1.0.0");
  await update(place, "2.0.0");
  const before = await lockOf(place);
  await store.rollback(place.ports, "weather");
  await store.revert(place.ports, "weather", digest);
  expect(await lockOf(place)).toBe(before);
});

test("the same content again changes nothing of what an undone update brings back", async () => {
  await using place = await createPlace();
  for (const version of ["1.0.0", "2.0.0", "3.0.0", "3.0.0"]) await update(place, version);
  expect(await versions(place)).toEqual(["3.0.0", "2.0.0", "1.0.0"]);
});

test("where the lock was changed meanwhile, only the version that does not live is forgotten", async () => {
  await using place = await createPlace();
  await update(place, "1.0.0");
  const { digest: second } = await update(place, "2.0.0");
  await update(place, "3.0.0");
  expect(await store.revert(place.ports, "weather", second)).toBe(true);
  expect(await versions(place)).toEqual(["3.0.0", "1.0.0", undefined]);
  expect(await foldersOf(place)).toHaveLength(2);

  // Somebody was faster, and has gone back already.
  const { digest: fourth } = await update(place, "4.0.0");
  await store.rollback(place.ports, "weather");
  await store.revert(place.ports, "weather", fourth);
  expect(await versions(place)).toEqual(["3.0.0", undefined, undefined]);

  const now = await lockOf(place);
  for (const digest of [second, fourth])
    expect(await store.revert(place.ports, "weather", digest)).toBe(false);
  expect(await store.revert(place.ports, "nobody", second)).toBe(false);
  expect(await lockOf(place)).toBe(now);
});

test("there is no way back to a version that is damaged, or that never was", async () => {
  await using place = await createPlace();
  const first = await update(place, "1.0.0");
  await expect(store.revert(place.ports, "weather", first.digest)).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
  const { digest } = await update(place, "2.0.0");
  const before = await lockOf(place);
  await writeFile(path.join(first.folder, "plugin.wasm"), "other");
  const damaged = { code: "PLUGIN_FAILED", message: expect.stringContaining("version 1.0.0") };
  await expect(store.revert(place.ports, "weather", digest)).rejects.toMatchObject(damaged);
  await rm(first.folder, { recursive: true });
  await expect(store.revert(place.ports, "weather", digest)).rejects.toMatchObject(damaged);
  expect(await lockOf(place)).toBe(before);
});

test("a state that was made equal to a lock keeps nothing for undoing", async () => {
  await using place = await createPlace();
  for (const version of ["1.0.0", "2.0.0", "3.0.0"]) await update(place, version);
  await store.ci(place.ports, undefined, place.options);
  expect(await versions(place)).toEqual(["3.0.0", "2.0.0", undefined]);
  expect(await foldersOf(place)).toHaveLength(2);
});
