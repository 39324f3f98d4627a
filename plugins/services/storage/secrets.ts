import { chmod, readFile } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { storeAtomic } from "@rclaw/plugin-sdk/services/disk-fault";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { Secrets, StorageService } from "@rclaw/plugin-sdk/services/storage";
import { createTurns } from "@rclaw/plugin-sdk/turns";

/** The secrets of one state folder. */
export const createSecrets: StorageService["createSecrets"] = ({ stateDir, redactor }): Secrets => {
  const file = path.join(stateDir, "secrets.json");
  let cache: Promise<Map<string, string>> | undefined;

  /** One change after the other, so that none is written over what another has just read. */
  const inTurn = createTurns();

  async function read(): Promise<Map<string, string>> {
    let text: string;
    try {
      text = await readFile(file, "utf8");
      // A copy from elsewhere may have come open to others. Where modes mean nothing this changes nothing.
      await chmod(file, 0o600).catch(() => undefined);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
      throw new RclawError("UNAVAILABLE", `${file} cannot be read: ${(error as Error).message}`, {
        cause: error,
      });
    }
    const damaged = (what: string): RclawError =>
      new RclawError("CONFIG_INVALID", `${file} ${what}; mend it or remove it and add the secrets again`);
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      // The parser's message would quote the file.
      throw damaged("is not valid JSON");
    }
    if (!isRecord(parsed)) throw damaged("does not hold names with their secrets");
    const entries = Object.entries(parsed).map(([name, value]): [string, string] => {
      // Left out it would be gone with the next secret that is stored.
      if (typeof value !== "string") throw damaged(`holds no text as the secret "${name}"`);
      return [name, value];
    });
    for (const [, value] of entries) redactor.add(value);
    return new Map(entries);
  }

  const load = (): Promise<Map<string, string>> => {
    // A file that could not be read is tried again: somebody may have mended it.
    cache ??= read().catch((error: unknown) => {
      cache = undefined;
      throw error;
    });
    return cache;
  };

  async function get(name: string): Promise<string> {
    const value = (await load()).get(name);
    if (value !== undefined) return value;
    throw new RclawError(
      "NOT_FOUND",
      `there is no secret "${name}"; the plugin that needs it asks for it with: rclaw plugin add`,
      { details: { secret: name } },
    );
  }

  return {
    get,
    resolve: (value) =>
      value.startsWith("secret:") ? get(value.slice("secret:".length)) : Promise.resolve(value),
    set(name, value) {
      if (value !== undefined) redactor.add(value);
      return inTurn(async () => {
        const map = new Map(await load());
        if (value === undefined) map.delete(name);
        else map.set(name, value);
        await storeAtomic(file, `${JSON.stringify(Object.fromEntries(map), null, 2)}\n`);
        cache = Promise.resolve(map);
      });
    },
    reload: () =>
      inTurn(async () => {
        const before = await (cache ?? new Map<string, string>());
        const now = await read();
        cache = Promise.resolve(now);
        const all = new Set([...before.keys(), ...now.keys()]);
        return {
          names: [...now.keys()],
          changed: [...all].filter((name) => before.get(name) !== now.get(name)),
        };
      }),
  };
};
