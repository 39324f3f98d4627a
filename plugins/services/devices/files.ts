import { readFile } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { storeAtomic } from "@rclaw/plugin-sdk/services/disk-fault";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import type { Static } from "typebox";
import { pairedFile, pendingFile } from "./devices.schema.ts";

export type Pending = Static<typeof pendingFile>[string];
export type Paired = Static<typeof pairedFile>[string];
export type Token = NonNullable<Paired["tokens"]>[string];

/** Both files, in OpenClaw's form, so that devices need not be paired anew when somebody moves over. */
export interface DeviceTables {
  readonly pending: Map<string, Pending>;
  readonly paired: Map<string, Paired>;
  /** Durable when it resolves. Changes that come while one is being written share the next one. */
  save(which: "pending" | "paired"): Promise<void>;
}

export async function openTables(stateDir: string): Promise<DeviceTables> {
  const folder = path.join(stateDir, "devices");
  const fileOf = (which: "pending" | "paired"): string => path.join(folder, `${which}.json`);
  const tables = {
    pending: new Map(Object.entries(await read<Static<typeof pendingFile>>(fileOf("pending"), pendingFile))),
    paired: new Map(Object.entries(await read<Static<typeof pairedFile>>(fileOf("paired"), pairedFile))),
  };
  const writing = { pending: Promise.resolve(), paired: Promise.resolve() };
  const waiting: { pending?: Promise<void> | undefined; paired?: Promise<void> | undefined } = {};

  return {
    ...tables,
    save(which) {
      const write = async (): Promise<void> => {
        waiting[which] = undefined;
        await storeAtomic(fileOf(which), `${JSON.stringify(Object.fromEntries(tables[which]), null, 2)}\n`);
      };
      waiting[which] ??= writing[which].then(write);
      writing[which] = waiting[which].catch(() => undefined);
      return waiting[which];
    },
  };
}

async function read<T extends object>(file: string, schema: object): Promise<T | Record<string, never>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new RclawError("UNAVAILABLE", `${file} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const damaged = (why: string): RclawError =>
    new RclawError(
      "STORE_DEGRADED",
      `${file} is damaged (${why}); mend it, or remove it and pair the devices again`,
    );
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    // The parser's message would quote the tokens.
    throw damaged("not valid JSON");
  }
  const check = compile(schema);
  if (!check.valid(data)) throw damaged(describeIssues(check.issues(data)));
  return data as T;
}
