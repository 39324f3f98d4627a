import { type Channel, isRclawError, type Manifest, type Plugin, RclawError } from "@rclaw/plugin-sdk";
import { deadline } from "../hooks/bus.ts";
import { Lifetime } from "../lifetime.ts";
import { createPluginContext, type KernelPorts } from "../plugins/context.ts";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import { createRegistries } from "../ports.ts";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";

export interface ProbeOptions {
  readonly found: FoundManifest;
  /** The configuration to try, which may never be kept. */
  readonly config: unknown;
  readonly version: string;
  readonly kernel: KernelPorts;
  load(manifest: Manifest, entry: string): Promise<Plugin>;
  readonly signal: AbortSignal;
}

const probeMs = 20_000;

/**
 * Tries settings on the real platform: the plugin is brought to life a second time
 * beside the running one, registers into the void, is asked, and is gone again.
 */
export async function probePlugin({
  found,
  config,
  version,
  kernel,
  load,
  signal,
}: ProbeOptions): Promise<{ ok: boolean; name?: string; error?: string } | undefined> {
  const { manifest, entry } = found;
  if (!manifest.contributes.channels) return undefined;
  const filled = manifest.configSchema ? withDefaults(manifest.configSchema, config) : config;
  const issues = manifest.configSchema ? compile(manifest.configSchema).issues(filled) : [];
  if (issues.length > 0)
    throw new RclawError("INVALID_REQUEST", `the settings do not fit: ${describeIssues(issues)}`, {
      details: { plugin: manifest.id },
    });

  const registries = createRegistries();
  const nowhere = { [Symbol.dispose]: () => undefined };
  const apart: KernelPorts = {
    ...kernel,
    registries,
    provideMethod: () => nowhere,
    hooks: { ...kernel.hooks, on: () => nowhere },
  };
  await using lifetime = new Lifetime();
  const plugin = await load(manifest, entry);
  await plugin.activate(createPluginContext({ manifest, version, config: filled, lifetime, kernel: apart }));
  const channels = (manifest.contributes.channels ?? [])
    .map((id) => registries.channels.get(id))
    .filter((item) => item !== undefined);
  // Awaited here: the lifetime ends with this function, and what it asks with ends with the lifetime.
  return await deadline(
    askAll(channels, AbortSignal.any([signal, lifetime.signal])),
    probeMs,
    `asking ${manifest.name}`,
  );
}

async function askAll(
  channels: readonly Channel[],
  signal: AbortSignal,
): Promise<{ ok: boolean; name?: string; error?: string }> {
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
