import { defineMethod, type JsonSchema, RclawError } from "@rclaw/plugin-sdk";
import type { Runtime } from "@rclaw/plugin-sdk/services/lanes";
import { logFileOf } from "@rclaw/plugin-sdk/services/log-file";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type {
  FoundManifest,
  PluginAdminPorts,
  PluginStatus,
  RefusedPlugin,
} from "@rclaw/plugin-sdk/services/plugin-admin";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { cageMethods, forPeople, placeOf } from "./cages.ts";
import { createGoingBack } from "./going-back.ts";
import { addParams, idParams, logoutParams, noParams, reloadParams } from "./methods.schema.ts";
import { logsMethod } from "./logs.ts";
import { probePlugin } from "./probe.ts";
import { secretsIn, secretsMethod } from "./secrets.ts";
import { storeMethods } from "./store.ts";
import { isLinked, unlink, workbenchMethods } from "./workbench.ts";

/** Ids of what changed in the plugins folder since it was last looked at, and what was not taken. */
interface Rescan {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  readonly refused: readonly RefusedPlugin[];
}

interface Question {
  readonly key: string;
  readonly title: string;
  readonly description?: string;
  readonly secret: boolean;
  readonly required: boolean;
  readonly isSet: boolean;
}

/** rclaw's own methods around plugins; the command line is their first client. */
export function pluginMethods(options: PluginAdminPorts): KernelMethod[] {
  const { version, config, configPathOf } = options;

  function found(id: string): FoundManifest {
    const item = options.plugins().get(id);
    if (item) return item;
    const refused = options.refused().find((other) => other.id === id);
    if (refused) throw new RclawError("CONFLICT", `plugin "${id}" was refused: ${refused.reason}`);
    const near = [...options.plugins().keys()].find((known) => known.startsWith(id.slice(0, 3)));
    throw new RclawError(
      "NOT_FOUND",
      `there is no plugin "${id}"${near ? `; did you mean "${near}"?` : "."} See: rclaw plugin list. If its folder is new: rclaw plugin reload`,
    );
  }

  function row(item: FoundManifest): Record<string, unknown> {
    const { manifest, builtIn, installed } = item;
    const { id, isConflict, ...status }: PluginStatus =
      options.isService(manifest.id) ?? options.status(manifest.id);
    const next = nextStep({ id, ...status, ...(isConflict && { isConflict }) });
    const { name, description, contributes } = manifest;
    const { runtime, refusal } = placeOf(item, config());
    return {
      id,
      name,
      description,
      version: manifest.version ?? version,
      runtime,
      builtIn,
      ...(installed && { source: installed.source }),
      ...status,
      ...(refusal !== undefined && status.enabled && isConflict === undefined && { error: refusal }),
      ...(next !== undefined && { next }),
      contributes,
    };
  }

  /** Switching on what a list keeps off would look as if it had worked. */
  function refuseIfBarred(id: string): void {
    const { enabled, allow, deny } = rulesOf(config());
    const isStranger = !found(id).builtIn;
    const bar = deny.includes(id)
      ? `plugins.deny names it; take it out: rclaw config get plugins.deny`
      : isStranger && !enabled
        ? `plugins.enabled is false; undo it: rclaw config unset plugins.enabled`
        : isStranger && allow && !allow.includes(id)
          ? `plugins.allow is there and does not name it; add it: rclaw config get plugins.allow`
          : undefined;
    const { refusal } = placeOf(found(id), config());
    if (refusal) throw new RclawError("CONFLICT", refusal, { details: { plugin: id } });
    if (bar)
      throw new RclawError("CONFLICT", `plugin "${id}" stays off: ${bar}`, { details: { plugin: id } });
  }

  let scanning: Promise<unknown> = Promise.resolve();
  /** One at a time: two that overlap would each see half of what the other did. */
  async function rescan(): Promise<Rescan> {
    const done = scanning.then(async () => {
      await watch();
      const before = new Set(options.plugins().keys());
      const ids = await options.rescan();
      const isThere = (id: string): boolean => options.plugins().has(id);
      return {
        added: ids.filter((id) => !before.has(id)),
        removed: ids.filter((id) => !isThere(id)),
        changed: ids.filter((id) => before.has(id) && isThere(id)),
        refused: options.refused(),
      };
    });
    scanning = done.catch(() => undefined);
    return done;
  }

  const { goBack, watch } = createGoingBack({ ...options, rescan });

  async function reload(id: string | undefined): Promise<unknown> {
    const known = id === undefined ? undefined : options.plugins().get(id);
    const wasActive = known !== undefined && options.status(known.manifest.id).state === "active";
    // What came with rclaw does not change while it runs.
    const seen = known?.builtIn ? undefined : await rescan();
    if (id === undefined) return seen;
    found(id);
    if (wasActive && (await options.swap(id))) return { id, state: "active", swapped: true };
    await options.deactivate(id);
    if (wasActive || options.isServing()) await options.activate(id);
    return { id, state: options.status(id).state };
  }

  /** What is a plugin's alone: below its place there may be others'. */
  function ownPaths(base: string): readonly string[] {
    const taken = [...options.plugins().values()]
      .map(({ manifest }) => configPathOf(manifest))
      .filter((path) => path.startsWith(`${base}.`));
    if (taken.length === 0) return [base];
    return Object.keys((valueAt(config(), base) as object | undefined) ?? {})
      .map((key) => `${base}.${key}`)
      .filter((path) => !taken.includes(path));
  }

  async function setEnabled(id: string, enabled: boolean): Promise<unknown> {
    found(id);
    if (options.isService(id) && !enabled) {
      throw new RclawError(
        "INVALID_REQUEST",
        `plugin "${id}" is a part of the gateway itself and cannot be disabled`,
      );
    }
    if (enabled) refuseIfBarred(id);
    await options.configure([{ path: `plugins.entries.${id}.enabled`, value: enabled }]);
    return { id, state: options.status(id).state };
  }

  async function questions({ manifest }: FoundManifest): Promise<Question[]> {
    const current = valueAt(config(), configPathOf(manifest));
    const result: Question[] = [];
    for (const [key, property] of Object.entries(propertiesOf(manifest.configSchema))) {
      if (!isCredential(property) && !requiredOf(manifest.configSchema).includes(key)) continue;
      if (property["x-ask"] === false) continue;
      const value = valueAt(current, key);
      result.push({
        key,
        title: typeof property["title"] === "string" ? property["title"] : key,
        ...(typeof property["description"] === "string" && { description: property["description"] }),
        secret: property["writeOnly"] === true,
        required: requiredOf(manifest.configSchema).includes(key) || property["writeOnly"] === true,
        isSet: typeof value === "string" && value !== "",
      });
    }
    return result;
  }

  async function add({
    id,
    account,
    values = {},
  }: {
    id: string;
    account?: string;
    values?: Record<string, string>;
  }): Promise<unknown> {
    const item = found(id);
    refuseIfBarred(id);
    const { manifest } = item;
    const known = propertiesOf(manifest.configSchema);
    for (const key of Object.keys(values)) {
      if (!Object.hasOwn(known, key))
        throw new RclawError("INVALID_REQUEST", `plugin "${id}" has no setting "${key}"`);
    }
    const base = configPathOf(manifest);
    const at = account ? `${base}.accounts.${account}` : base;
    const isSecret = (key: string): boolean => known[key]?.["writeOnly"] === true;
    const current = (valueAt(config(), base) as Record<string, unknown> | undefined) ?? {};
    const candidate = account
      ? { ...current, accounts: { ...(current["accounts"] as object | undefined), [account]: values } }
      : { ...current, ...values };
    const probe = Object.keys(values).length > 0 ? await probePlugin(item, candidate, options) : undefined;
    if (probe && !probe.ok) {
      throw new RclawError(
        "UNAVAILABLE",
        `${manifest.name} refused the settings: ${probe.error ?? "no reason given"}. Nothing was stored`,
        { details: { plugin: id } },
      );
    }
    const changes: { path: string; value: unknown }[] = [];
    for (const [key, value] of Object.entries(values)) {
      const name = `${id}.${account ?? "default"}${key === "botToken" || key === "apiKey" || key === "token" ? "" : `.${key}`}`;
      if (isSecret(key)) await options.setSecret(name, value);
      changes.push({ path: `${at}.${key}`, value: isSecret(key) ? `secret:${name}` : value });
    }
    changes.push({ path: `plugins.entries.${id}.enabled`, value: true });
    await options.configure(changes);
    const started = options.status(id).state === "active";
    const next = options.isServing()
      ? started
        ? "rclaw channels status"
        : `rclaw plugin info ${id}`
      : "rclaw gateway";
    return { id, enabled: true, started, ...(probe && { probe }), next };
  }

  /** Takes away what an account, or a provider, logs in with. The rest of its settings waits for the next login. */
  async function logout(params: { channel?: string; provider?: string; account?: string }): Promise<unknown> {
    const { channel, provider, account = "default" } = params;
    const [kind, name = ""] =
      channel === undefined ? (["provider", provider] as const) : ["channel", channel];
    const owner = [...options.plugins().values()].find(({ manifest: { contributes } }) =>
      (channel === undefined ? contributes.providers : contributes.channels)?.includes(name),
    );
    if (!owner) throw new RclawError("NOT_FOUND", `there is no ${kind} "${name}". See: rclaw plugin list`);
    const base = configPathOf(owner.manifest);
    const places =
      account === "default" ? [base, `${base}.accounts.default`] : [`${base}.accounts.${account}`];
    const keys = Object.entries(propertiesOf(owner.manifest.configSchema))
      .filter(([, property]) => isCredential(property))
      .map(([key]) => key);
    const stored = places
      .flatMap((place) => keys.map((key) => `${place}.${key}`))
      .filter((path) => valueAt(config(), path) !== undefined);
    const names = stored.flatMap((path) => secretsIn(valueAt(config(), path)));
    if (stored.length > 0) await options.configure(stored.map((path) => ({ path, value: undefined })));
    const used = new Set(secretsIn(config()));
    for (const secret of names.filter((given) => !used.has(given)))
      await options.setSecret(secret, undefined);
    return {
      ...(channel === undefined ? { provider } : { channel, accountId: account }),
      cleared: stored.length > 0,
    };
  }

  return [
    ...cageMethods(options, found),
    ...workbenchMethods({ ...options, rescan }),
    secretsMethod(options),
    logsMethod(() => logFileOf(config(), options.stateDir), found),
    ...storeMethods({
      ...options,
      found,
      rescan,
      goBack,
      enable: async (id) => void (await setEnabled(id, true)),
    }),
    {
      scope: "operator.read",
      ...defineMethod({
        name: "plugins.list",
        since: "rclaw",
        params: noParams,
        handle: async () => ({
          plugins: [...options.plugins().values()].map(row),
          refused: options.refused(),
        }),
      }),
    },
    {
      scope: "operator.read",
      ...defineMethod({
        name: "plugins.info",
        since: "rclaw",
        params: idParams,
        async handle({ params: { id } }) {
          const item = found(id);
          return {
            ...row(item),
            manifest: item.manifest,
            file: item.file,
            configPath: configPathOf(item.manifest),
            permissions: item.manifest.permissions ?? {},
            ...(item.installed && {
              digest: item.installed.digest,
              previous: item.installed.previous?.digest,
            }),
          };
        },
      }),
    },
    {
      scope: "operator.read",
      ...defineMethod({
        name: "plugins.plan",
        since: "rclaw",
        params: idParams,
        async handle({ params: { id } }) {
          const item = found(id);
          return {
            version: item.manifest.version ?? version,
            ...capabilities(item, placeOf(item, config()).runtime),
            questions: await questions(item),
          };
        },
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.add",
        since: "rclaw",
        params: addParams,
        handle({ params, caller }) {
          forPeople(caller, "plugins.add");
          return add(params);
        },
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.enable",
        since: "rclaw",
        params: idParams,
        handle({ params: { id }, caller }) {
          forPeople(caller, "plugins.enable");
          return setEnabled(id, true);
        },
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.disable",
        since: "rclaw",
        params: idParams,
        handle: ({ params: { id } }) => setEnabled(id, false),
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.reload",
        since: "rclaw",
        params: reloadParams,
        handle: ({ params: { id } }) => reload(id),
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.logout",
        since: "rclaw",
        params: logoutParams,
        handle: ({ params }) => logout(params),
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.remove",
        since: "rclaw",
        params: idParams,
        async handle({ params: { id } }) {
          const item = found(id);
          const { manifest, installed } = item;
          const linked = await isLinked(options.stateDir, id);
          await options.deactivate(id);
          const own = ownPaths(configPathOf(manifest));
          for (const name of own.flatMap((path) => secretsIn(valueAt(config(), path))))
            await options.setSecret(name, undefined);
          await options.configure([
            ...own.map((path) => ({ path, value: undefined })),
            { path: `plugins.entries.${id}`, value: { enabled: false } },
          ]);
          await options.forget(item);
          if (linked) return unlink({ ...options, rescan }, id);
          if (installed) {
            await (await options.store()).remove({ stateDir: options.stateDir, log: options.log }, id);
            await options.configure([{ path: `plugins.entries.${id}`, value: undefined }]);
            await rescan();
            return { id, state: "removed" };
          }
          return { id, state: options.status(id).state };
        },
      }),
    },
  ];
}

/** What a person can do about a plugin that is not well. */
function nextStep({ id, state, isConflict, trouble }: PluginStatus): string | undefined {
  if (isConflict) return "correct its manifest or remove its folder, then: rclaw plugin reload";
  if (state === "failed") return `rclaw plugin reload ${id} tries it now, rclaw plugin disable ${id} ends it`;
  if (trouble) return `the gateway's log has the whole error; rclaw plugin disable ${id} ends it`;
  return undefined;
}

function rulesOf(config: unknown): {
  readonly enabled: boolean;
  readonly allow: readonly unknown[] | undefined;
  readonly deny: readonly unknown[];
} {
  const list = (name: string): readonly unknown[] | undefined => {
    const value = valueAt(config, `plugins.${name}`);
    return Array.isArray(value) ? value : undefined;
  };
  return {
    enabled: valueAt(config, "plugins.enabled") !== false,
    allow: list("allow"),
    deny: list("deny") ?? [],
  };
}

/** The same list for every place that asks a person for consent. */
function capabilities({ manifest, builtIn }: FoundManifest, runtime: Runtime) {
  const { contributes, permissions = {} } = manifest;
  const trust =
    runtime === "in-process"
      ? "in-process (full trust)"
      : runtime === "worker"
        ? "worker thread (trusted code)"
        : "WASM sandbox";
  const adds = Object.entries(contributes).flatMap(([kind, value]) => {
    const names = Array.isArray(value)
      ? value.map((item) => (typeof item === "string" ? item : item.name))
      : Object.keys(value);
    return names.map((name) => `${kind.replace(/s$/, "")} ${name}`);
  });
  const verbs = (["tools", "providers", "channels", "methods", "events"] as const).flatMap((kind) =>
    (permissions[kind] ?? []).map((name) => `${kind.replace(/s$/, "")} ${name}`),
  );
  return {
    manifest,
    builtIn,
    trust,
    adds,
    mayReach: (permissions.net ?? []).map(wordsOfGrant),
    mayRead: [
      ...(permissions.secrets ?? []).map(wordsOfSecret),
      ...(permissions.env ?? []).map((name) => `environment ${name}`),
      ...(permissions.sessions && permissions.sessions !== "none"
        ? [`sessions (${permissions.sessions})`]
        : []),
    ],
    mayUse: [...verbs, ...(permissions.process ? ["programs on this machine"] : [])],
  };
}

type Listed<Kind extends "net" | "secrets"> = NonNullable<
  NonNullable<FoundManifest["manifest"]["permissions"]>[Kind]
>[number];

function wordsOfGrant(entry: Listed<"net">): string {
  if (typeof entry === "string") return entry;
  const { host, methods, paths } = entry;
  return [methods?.join("/"), host, paths && `(${paths.join(" ")})`].filter(Boolean).join(" ");
}

function wordsOfSecret(entry: Listed<"secrets">): string {
  return typeof entry === "string"
    ? `secret ${entry}`
    : `secret ${entry.name} (for ${entry.hosts.join(", ")})`;
}

function propertiesOf(schema: JsonSchema | undefined): Record<string, Record<string, unknown>> {
  return (schema?.["properties"] as Record<string, Record<string, unknown>> | undefined) ?? {};
}

function requiredOf(schema: JsonSchema | undefined): readonly string[] {
  return (schema?.["required"] as readonly string[] | undefined) ?? [];
}

/** A secret that is only for some uses, such as a webhook's, is not asked of everybody and logs nobody in. */
function isCredential(property: Readonly<Record<string, unknown>>): boolean {
  return property["writeOnly"] === true && property["x-ask"] !== false;
}
