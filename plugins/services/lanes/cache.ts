import { access, mkdir, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";

/** The version that runs, the one before, and one that is tried: versions follow each other by the minute while somebody works on one. */
const versionsKept = 3;

/**
 * Which plugins the remembered artefacts belong to: a folder each, a file for each artefact by its hash. What is made
 * of an artefact is the same whoever has it, so it goes when the last one has no use for it.
 */
export function createUses(cacheFolder: string, forgetArtefact: (hash: string) => Promise<void>) {
  const uses = path.join(cacheFolder, "uses");

  async function drop(id: string, hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) await rm(path.join(uses, id, hash), { force: true });
    const others = await readdir(uses).catch(() => []);
    for (const hash of hashes) {
      const isUsed = await Promise.all(others.map((other) => exists(path.join(uses, other, hash))));
      if (!isUsed.includes(true)) await forgetArtefact(hash);
    }
  }

  return {
    async note(id: string, hash: string): Promise<void> {
      const folder = path.join(uses, id);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const file = path.join(folder, hash);
      const now = new Date();
      await utimes(file, now, now).catch(() => writeFile(file, ""));
      await drop(id, (await newestFirst(folder)).slice(versionsKept));
    },
    async forget(id: string): Promise<void> {
      await drop(id, await readdir(path.join(uses, id)).catch(() => []));
      await rm(path.join(uses, id), { recursive: true, force: true });
    },
  };
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

async function newestFirst(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder);
  if (names.length <= versionsKept) return names;
  const dated = await Promise.all(
    names.map(async (name) => ({
      name,
      at: (await stat(path.join(folder, name)).catch(() => undefined))?.mtimeMs ?? 0,
    })),
  );
  return dated.sort((a, b) => b.at - a.at).map(({ name }) => name);
}
