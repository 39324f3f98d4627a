import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import * as esbuild from "esbuild";
import { expect, test } from "vitest";
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

test(
  `after each of ${kills} kills at a random operation the old version or the new one is there, whole`,
  { timeout: 120_000 },
  async () => {
    console.log(`STORE_KILL_SEED=${seed}`);
    await using place = await createPlace();
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

    const lane = async (number: number): Promise<void> => {
      const stateDir = path.join(place.root, `state-${number}`);
      await mkdir(stateDir);
      for (let round = 0; round < kills / lanes; round += 1) {
        const own = seed + number * 1_000 + round;
        const killAt = 1 + (((own * 2_654_435_761) >>> 0) % 110);
        const where = `seed ${own}, operation ${killAt}`;
        await killed(program, [stateDir, place.source, String(own), String(killAt)]);
        const { found, refused } = await store.installed(stateDir);
        expect(refused, where).toEqual([]);
        for (const { id, version, digest, previous } of found) {
          expect(digests.get(digest), where).toBe(`${id}@${version}`);
          if (previous) expect(digests.get(previous.digest), where).toBe(`${id}@${previous.version}`);
        }
        for (const row of await store.verify({ stateDir, log }))
          expect(row, where).toMatchObject({ ok: true });
      }
      // Whatever was left lying about, the next operation takes away.
      const ports = { stateDir, log };
      await install({ ports, options: place.options }, "./ant-1.0.0.tgz");
      await install({ ports, options: place.options }, "./ant-2.0.0.tgz");
      await store.rollback(ports, "ant");
      const plugins = path.join(stateDir, "plugins");
      expect(await readdir(path.join(plugins, ".staging"))).toEqual([]);
      expect(await readdir(path.join(plugins, ".store/ant"))).toHaveLength(2);
      expect(await readdir(plugins)).not.toContain(".turn");
    };
    await Promise.all(Array.from({ length: lanes }, (_value, number) => lane(number)));
  },
);
