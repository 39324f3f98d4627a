import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { readFile, rename } from "node:fs/promises";
import path from "node:path";
import type { Logger, SessionEntry } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { codeOf } from "./disk.ts";
import { openLine, seal } from "./lines.ts";
import type { Head } from "./scan.ts";

/** What `sessions.json` remembers of a session, so that a start need not read its transcript. */
export interface CatalogRow {
  readonly key: string;
  readonly entry: SessionEntry;
  readonly file: Head & {
    readonly size: number;
    /** Changes with every write, also one that keeps the size; 0 when it was not at rest. */
    readonly mtimeMs: number;
  };
}

/** The cache as it was written, or nothing: it is rebuilt from the transcripts. A damaged one is kept aside. */
export async function readCatalog(file: string, log: Logger): Promise<readonly CatalogRow[]> {
  let data: Buffer;
  try {
    data = await readFile(file);
  } catch (error) {
    if (codeOf(error) !== "ENOENT")
      log.warn({ err: error, file }, "cannot read the session index; it is rebuilt from the transcripts");
    return [];
  }
  const opened = openLine(data.at(-1) === 10 ? data.subarray(0, -1) : data, true);
  const sessions = opened.ok ? opened.value["sessions"] : undefined;
  if (isRecord(sessions)) {
    return Object.entries(sessions).map(([key, row]) => ({ key, ...(row as Omit<CatalogRow, "key">) }));
  }
  const backup = `${file}.corrupt-${new Date().toISOString().replaceAll(":", "-")}`;
  await rename(file, backup).catch(() => undefined);
  log.warn({ file, backup }, "the session index is damaged; it is rebuilt from the transcripts");
  return [];
}

export async function writeCatalog(file: string, rows: readonly CatalogRow[]): Promise<void> {
  const sessions = Object.fromEntries(
    rows.map(({ key, entry, file: facts }) => [key, { entry, file: facts }]),
  );
  await writeAtomic(file, `${seal(JSON.stringify({ version: 1, sessions }))}\n`);
}

export function catalogFile(dir: string): string {
  return path.join(dir, "sessions.json");
}
