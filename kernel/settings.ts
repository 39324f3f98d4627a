import type { Logger, Manifest } from "@rclaw/plugin-sdk";
import { RclawError } from "@rclaw/plugin-sdk";
import type {
  Config,
  ConfigPaths,
  ConfigService,
  LoadedConfig,
  PluginConfigSchema,
} from "@rclaw/plugin-sdk/services/config";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { type Catalog, configPathOf, entryPathOf } from "./plugins/catalog.ts";
import type { Redactor } from "./redact.ts";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import { plainSecrets } from "@rclaw/plugin-sdk/schema/secrets";

export interface SettingsOptions {
  readonly service: ConfigService;
  readonly paths: ConfigPaths;
  readonly env: NodeJS.ProcessEnv;
  readonly redactor: Redactor;
  readonly log: Logger;
  catalog(): Catalog;
}

/** The running configuration: what was loaded, what plugins see of it, and the one way to change it. */
export interface Settings {
  current(): LoadedConfig;
  config(): Config;
  reload(): Promise<LoadedConfig>;
  /** Replaces the file's text and takes it over. */
  write(raw: string): Promise<LoadedConfig>;
  /** Sets or removes values by dotted path, keeping comments. */
  configure(values: readonly { readonly path: string; readonly value?: unknown }[]): Promise<void>;
  pluginSchemas(): readonly PluginConfigSchema[];
  /** A plugin's own part, defaults filled in; CONFIG_INVALID when it does not fit its schema. */
  pluginConfig(manifest: Manifest): unknown;
  isEnabled(manifest: Manifest, builtIn: boolean): boolean;
  /** Called after every change that was taken over, with the dotted paths that differ. */
  onChange(listener: (changed: readonly string[]) => Promise<void>): void;
  takeOver(loaded: LoadedConfig, changed: readonly string[]): Promise<void>;
}

export async function openSettings({
  service,
  paths,
  env,
  redactor,
  log,
  catalog,
}: SettingsOptions): Promise<Settings> {
  const listeners: ((changed: readonly string[]) => Promise<void>)[] = [];
  const pluginSchemas = (): PluginConfigSchema[] =>
    [...catalog().plugins.values()].map(({ manifest }) => ({
      owner: manifest.id,
      // One in conflict may claim a place that is another's: its schema judges nothing there.
      path: catalog().conflicts.has(manifest.id) ? entryPathOf(manifest) : configPathOf(manifest),
      schema: manifest.configSchema ?? {},
    }));
  const load = (): Promise<LoadedConfig> => service.loadConfig({ paths, env, plugins: pluginSchemas() });

  let loaded = await load();
  keepSecrets(loaded);

  /** Secrets that stand in the file itself must not be seen either. */
  function keepSecrets({ config }: LoadedConfig): void {
    const { auth, remote } = config.gateway;
    const own = [auth.token, auth.password, remote?.token, remote?.password];
    for (const secret of [...own, env["RUSTY_CLAW_GATEWAY_TOKEN"]])
      if (secret && !secret.startsWith("secret:")) redactor.add(secret);
    for (const { path, schema } of pluginSchemas())
      for (const secret of plainSecrets(schema, valueAt(config, path))) redactor.add(secret.value);
  }

  async function takeOver(next: LoadedConfig, changed: readonly string[]): Promise<void> {
    loaded = next;
    keepSecrets(next);
    for (const listener of listeners) {
      await listener(changed).catch((error: unknown) =>
        log.error({ err: error }, "a configuration change was not taken over everywhere"),
      );
    }
  }

  async function write(raw: string): Promise<LoadedConfig> {
    const before = loaded;
    const next = await service.writeConfig({ paths, env, plugins: pluginSchemas(), raw });
    await takeOver(next, service.changeBetween(before, next)?.changedPaths ?? []);
    return next;
  }

  return {
    current: () => loaded,
    config: () => loaded.config,
    reload: load,
    write,
    async configure(values) {
      const { raw } = loaded;
      if (raw === null)
        throw new RclawError(
          "CONFIG_INVALID",
          `${paths.configFile} cannot be read; mend it before changing it`,
        );
      const text = values.reduce(
        (result, { path, value }) => service.setIn(result, path.split("."), value),
        raw,
      );
      if (text !== raw) await write(text);
    },
    pluginSchemas,
    pluginConfig(manifest) {
      const given = valueAt(loaded.config, configPathOf(manifest));
      const schema = manifest.configSchema;
      if (!schema) return given ?? {};
      const filled = withDefaults(schema, given) ?? {};
      // A key that is unknown here was warned about when the file was loaded; a migrated configuration has many.
      const issues = compile(schema)
        .issues(filled)
        .filter(({ keyword }) => keyword !== "additionalProperties");
      if (issues.length === 0) return filled;
      throw new RclawError(
        "CONFIG_INVALID",
        `the configuration of plugin "${manifest.id}" at ${configPathOf(manifest)} is invalid: ${describeIssues(issues)}`,
        {
          details: { plugin: manifest.id },
        },
      );
    },
    isEnabled: (manifest, builtIn) => isEnabled(loaded.config, manifest, builtIn),
    onChange: (listener) => void listeners.push(listener),
    takeOver,
  };
}

/** What did not come with rclaw is off until somebody switches it on; `allow` can only narrow that. */
function isEnabled(config: Config, manifest: Manifest, builtIn: boolean): boolean {
  const { id, contributes, activation } = manifest;
  const { enabled, allow, deny, entries } = config.plugins;
  if (deny.includes(id)) return false;
  if (!builtIn && (!enabled || allow?.includes(id) === false)) return false;
  const own = entries[id]?.enabled;
  if (own !== undefined) return own;
  if (contributes.channels?.includes(id) && valueAt(config, `channels.${id}.enabled`) === false) return false;
  if (!builtIn) return allow !== undefined;
  if (!activation?.includes("opt-in")) return true;
  const settings = valueAt(config, configPathOf(manifest));
  return (
    settings !== undefined &&
    valueAt(withDefaults(manifest.configSchema ?? {}, settings), "enabled") !== false
  );
}
