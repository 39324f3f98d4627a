import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import * as esbuild from "esbuild";
import { expect, test } from "vitest";
import { shortDigest } from "../../../plugins/services/plugin-store/digest.ts";
import { createPlace, install, log, plugin, store, writeFolder } from "./store.support.ts";

const root = path.resolve(import.meta.dirname, "../../..");
const kills = 200;
const lanes = 2;
const seed = Number(process.env["STORE_KILL_SEED"] ?? Date.now() % 1_000_000);

/** The loop and the store as one file that Node runs as it is. */
async function bundle(outfile: string): Promise<void> {
  await esbuild.build({
    entryPoints: [path.join(root, "test/fixtures/plugin-store-loop.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    outfile,
    logLevel: "silent",
    plugins: [
      {
        name: "sdk",
        setup(build) {
          build.onResolve({ filter: /^@rclaw\/plugin-sdk(\/|$)/ }, ({ path: target }) => ({
            path: path.join(root, "plugin-sdk", `${target.slice("@rclaw/plugin-sdk/".length) || "index"}.ts`),
          }));
        },
      },
    ],
  });
}

async function killed(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  expect({ code, signal, said }).toEqual({ code: null, signal: "SIGKILL", said: "" });
}

/** Three versions of two plugins, by their digest, and the loop that installs them. */
async function prepare(place: Awaited<ReturnType<typeof createPlace>>) {
  const digests = new Map<string, string>();
  for (const id of ["ant", "bee"])
    for (const version of ["1.0.0", "2.0.0", "3.0.0"]) {
      const folder = path.join(place.root, "made", id);
      await writeFolder(folder, plugin({ id, name: id, version }, { "lib/data.txt": version.repeat(500) }));
      const { tgz, fileName, digest } = await store.pack(folder);
      await writeFile(path.join(place.source, fileName), tgz);
      digests.set(digest, `${id}@${version}`);
    }
  const program = path.join(place.root, "loop.cjs");
  await bundle(program);

  async function expectWhole(stateDir: string, where: string): Promise<void> {
    const { found, refused } = await store.installed(stateDir);
    expect(refused, where).toEqual([]);
    for (const { id, previous, earlier, ...now } of found) {
      for (const item of [now, previous, earlier])
        if (item) expect(digests.get(item.digest), where).toBe(`${id}@${item.version}`);
      if (previous) expect(previous.digest, where).not.toBe(now.digest);
      const kept = await readdir(path.join(stateDir, "plugins/.store", id));
      for (const item of [now, previous, earlier])
        if (item) expect(kept, where).toContain(shortDigest(item.digest));
    }
    for (const row of await store.verify({ stateDir, log })) expect(row, where).toMatchObject({ ok: true });
  }

  /** Whatever was left lying about, the next operation takes away. */
  async function expectTidy(stateDir: string): Promise<void> {
    const at = { ports: { stateDir, log }, options: place.options };
    await install(at, "./ant-1.0.0.tgz");
    await install(at, "./ant-2.0.0.tgz");
    await store.rollback(at.ports, "ant");
    const plugins = path.join(stateDir, "plugins");
    expect(await readdir(path.join(plugins, ".staging"))).toEqual([]);
    expect(await readdir(path.join(plugins, ".store/ant"))).toHaveLength(2);
    expect(await readdir(plugins)).not.toContain(".turn");
  }
  const end = (stateDir: string, own: number, killAt: number): Promise<void> =>
    killed(program, [stateDir, place.source, String(own), String(killAt)]);
  return { end, expectWhole, expectTidy };
}

test(
  `after each of ${kills} kills at a random operation the old version or the new one is there, whole`,
  { timeout: 120_000 },
  async () => {
    console.log(`STORE_KILL_SEED=${seed}`);
    await using place = await createPlace();
    const { end, expectWhole, expectTidy } = await prepare(place);
    const lane = async (number: number): Promise<void> => {
      const stateDir = path.join(place.root, `state-${number}`);
      await mkdir(stateDir);
      for (let round = 0; round < kills / lanes; round += 1) {
        const own = seed + number * 1_000 + round;
        const killAt = 1 + (((own * 2_654_435_761) >>> 0) % 110);
        await end(stateDir, own, killAt);
        await expectWhole(stateDir, `seed ${own}, operation ${killAt}`);
      }
      await expectTidy(stateDir);
    };
    await Promise.all(Array.from({ length: lanes }, (_value, number) => lane(number)));
  },
);

test("two programs that change one state take turns, and one that is killed does not keep the other", async () => {
  await using place = await createPlace();
  const { end, expectWhole, expectTidy } = await prepare(place);
  await mkdir(place.stateDir);
  for (let round = 0; round < 3; round += 1) {
    await Promise.all([end(place.stateDir, seed + round, 150), end(place.stateDir, seed + 10 + round, 300)]);
    await expectWhole(place.stateDir, `seed ${seed}, round ${round}`);
  }
  await expectTidy(place.stateDir);
});
