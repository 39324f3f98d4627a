import { RclawError } from "../errors.ts";
import type { PluginContext } from "../plugin.ts";

/**
 * What a plugin keeps under a key, if it is what it wrote: anything else was put there by somebody,
 * and taking it for nothing would replace it with the next write.
 */
export async function kept<Value>(
  storage: Pick<PluginContext["storage"], "get" | "where">,
  key: string,
  isRight: (value: unknown) => boolean,
): Promise<Value | undefined> {
  const value = await storage.get(key);
  if (value === undefined || isRight(value)) return value as Value | undefined;
  throw new RclawError(
    "STORE_DEGRADED",
    `what ${await storage.where()} holds as "${key}" is damaged; restore the file from a backup or remove it`,
    { details: { key } },
  );
}
