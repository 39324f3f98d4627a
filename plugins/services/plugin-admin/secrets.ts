import { defineMethod, RclawError } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { PluginAdminPorts } from "@rclaw/plugin-sdk/services/plugin-admin";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { anyParams } from "./methods.schema.ts";

type Ports = Pick<
  PluginAdminPorts,
  "reloadSecrets" | "plugins" | "status" | "activate" | "deactivate" | "config" | "configPathOf" | "log"
>;

/** `secrets.reload`: what was changed in the file by hand counts from here on. */
export function secretsMethod(ports: Ports): KernelMethod {
  return {
    scope: "operator.admin",
    ...defineMethod({
      name: "secrets.reload",
      since: "2026.2.26",
      params: anyParams,
      handle: async () => ({ ok: true, warningCount: await reload(ports) }),
    }),
  };
}

/** Resolves with the number of secrets that the configuration names and nobody has. */
async function reload(ports: Ports): Promise<number> {
  const { names, changed } = await ports.reloadSecrets().catch((error: unknown) => {
    throw new RclawError("UNAVAILABLE", (error as Error).message, { cause: error });
  });
  await startAnew(ports, new Set(changed));
  const missing = new Set(secretsIn(ports.config()).filter((name) => !names.includes(name)));
  for (const secret of missing)
    ports.log.warn({ secret }, "the configuration names a secret that is not there");
  return missing.size;
}

/** A channel that is logged in with the old secret would go on with it. */
async function startAnew(
  { plugins, status, activate, deactivate, config, configPathOf, log }: Ports,
  changed: ReadonlySet<string>,
): Promise<void> {
  for (const [id, { manifest }] of plugins()) {
    const own = secretsIn(valueAt(config(), configPathOf(manifest)));
    // One that failed may have done so for want of just this secret.
    if (!own.some((name) => changed.has(name)) || !/^(active|failed)$/.test(status(id).state)) continue;
    await deactivate(id);
    await activate(id).catch((error: unknown) =>
      log.error({ err: error, plugin: id }, "plugin did not start with its changed secrets"),
    );
  }
}

/** Names of the secrets that a plugin's configuration refers to. */
export function secretsIn(value: unknown): string[] {
  if (typeof value === "string") return value.startsWith("secret:") ? [value.slice("secret:".length)] : [];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(secretsIn) : [];
}
