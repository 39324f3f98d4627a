import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";

/** What was made of a plugin's versions: nothing that could not be made again. */
export const cacheOf = (stateDir: string, id: string): string => path.join(stateDir, "cache/plugins", id);

export async function forgetCache(stateDir: string, id: string): Promise<void> {
  await rm(cacheOf(stateDir, id), { recursive: true, force: true });
}

/** Versions follow each other by the minute while somebody works on one. */
export async function keepNewest(folder: string, count: number): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  if (names.length <= count) return;
  const dated = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      return { file, at: (await stat(file).catch(() => undefined))?.mtimeMs ?? 0 };
    }),
  );
  for (const { file } of dated.sort((a, b) => b.at - a.at).slice(count))
    await rm(file, { recursive: true, force: true });
}
