import { type Channel, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import type { FoundManifest, PluginAdminPorts } from "@rclaw/plugin-sdk/services/plugin-admin";

export interface ProbeResult {
  readonly ok: boolean;
  readonly name?: string;
  readonly error?: string;
}

const probeMs = 20_000;

/** Tries settings on the real platform without keeping anything. Undefined when there is nothing to try. */
export async function probePlugin(
  found: FoundManifest,
  config: unknown,
  { tryOut }: Pick<PluginAdminPorts, "tryOut">,
): Promise<ProbeResult | undefined> {
  const { manifest } = found;
  if (!manifest.contributes.channels) return undefined;
  const filled = manifest.configSchema ? withDefaults(manifest.configSchema, config) : config;
  const issues = manifest.configSchema ? compile(manifest.configSchema).issues(filled) : [];
  if (issues.length > 0)
    throw new RclawError("INVALID_REQUEST", `the settings do not fit: ${describeIssues(issues)}`, {
      details: { plugin: manifest.id },
    });
  return tryOut(found, filled, (channels, signal) =>
    intime(askAll(channels, AbortSignal.any([signal, AbortSignal.timeout(probeMs)])), manifest.name),
  );
}

/** A channel that ignores its signal must not hold up the person who waits for the answer. */
async function intime<T>(promise: Promise<T>, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new RclawError("TIMEOUT", `asking ${name} took longer than ${probeMs} ms`)),
      probeMs,
    );
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

async function askAll(channels: readonly Channel[], signal: AbortSignal): Promise<ProbeResult> {
  try {
    const accounts = (
      await Promise.all(channels.map((channel) => channel.accounts({ probe: true, signal })))
    ).flat();
    const asked = accounts.filter(({ configured, probe }) => configured && probe);
    const bad = asked.find(({ probe }) => !probe?.ok);
    if (bad?.probe) return { ok: false, error: bad.probe.error ?? "no reason given" };
    if (asked.length === 0) return { ok: false, error: "no account is configured" };
    const name = asked.at(-1)?.probe?.name;
    return { ok: true, ...(name !== undefined && { name }) };
  } catch (error) {
    if (!isRclawError(error)) throw error;
    return { ok: false, error: error.message };
  }
}
