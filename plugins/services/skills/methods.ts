import { homedir } from "node:os";
import path from "node:path";
import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import { type Agent, agentIdOf, agentsOf } from "@rclaw/plugin-sdk/services/agents";
import { expandHome } from "@rclaw/plugin-sdk/services/expand-home";
import { configPaths } from "@rclaw/plugin-sdk/services/paths";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { findSkills, type SkillRoot } from "./find.ts";
import { adviceFor } from "./install.ts";
import {
  detailParams,
  installParams,
  noParams,
  searchParams,
  statusParams,
  updateParams,
} from "./methods.schema.ts";
import type { Skill } from "./skill.ts";
import { audienceOf, binFinder, entryOf, statusOf, type Surroundings } from "./status.ts";

interface Update {
  readonly skillKey?: string;
  readonly enabled?: boolean;
  readonly apiKey?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Hub {
  readonly slug?: string;
  readonly all?: boolean;
}

/** `skills.*` of the gateway protocol. */
export function skillMethods(context: PluginContext): readonly Method[] {
  const { methods, sessions, log } = context;
  const env = { HOME: context.env("HOME"), RUSTY_CLAW_STATE_DIR: context.env("RUSTY_CLAW_STATE_DIR") };
  const home = env.HOME ?? homedir();
  const managed = path.join(configPaths(env, home).stateDir, "skills");

  const configNow = async (): Promise<unknown> =>
    ((await methods.call("config.get", {})) as { config: unknown }).config;

  function around(config: unknown): Surroundings {
    // Every skill may ask for another variable, so no manifest could name them. Only whether it is set is told.
    const hasEnv = (name: string): boolean => Boolean(process.env[name]);
    return { config, hasBin: binFinder(context.env("PATH") ?? ""), hasEnv };
  }

  async function skillsOf(
    agent: Agent,
    config: unknown,
  ): Promise<{ workspace: string; skills: readonly Skill[] }> {
    const workspace = await sessions.workspace(agent.id);
    const extra = valueAt(config, "skills.load.extraDirs");
    const roots: SkillRoot[] = [
      ...(Array.isArray(extra) ? extra : []).flatMap((folder: unknown) =>
        typeof folder === "string" && folder.trim()
          ? [{ folder: expandHome(folder.trim(), env), source: "openclaw-extra" }]
          : [],
      ),
      { folder: managed, source: "openclaw-managed" },
      { folder: path.join(home, ".agents", "skills"), source: "agents-skills-personal" },
      { folder: path.join(workspace, ".agents", "skills"), source: "agents-skills-project" },
      { folder: path.join(workspace, "skills"), source: "openclaw-workspace" },
    ];
    return { workspace, skills: await findSkills(roots, log) };
  }

  function agentFor(config: unknown, agentId: string | undefined, sessionKey?: string): Agent {
    const agents = agentsOf(config);
    const ofSession = sessionKey?.startsWith("agent:") ? sessionKey.split(":")[1] : undefined;
    const asked = agentId?.trim() || ofSession;
    const agent = asked
      ? agents.find(({ id }) => id === agentIdOf(asked))
      : agents.find(({ isDefault }) => isDefault);
    if (!agent) throw new RclawError("INVALID_REQUEST", `unknown agent id "${asked}"`);
    return agent;
  }

  async function status({
    params,
    caller,
  }: MethodCall<{ agentId?: string; sessionKey?: string }>): Promise<object> {
    const config = await configNow();
    const agent = agentFor(config, params.agentId, params.sessionKey);
    const { workspace, skills } = await skillsOf(agent, config);
    const surroundings = around(config);
    const isNew = (caller.protocol ?? 3) >= 4;
    return {
      workspaceDir: workspace,
      managedSkillsDir: managed,
      ...(isNew && { agentId: agent.id }),
      skills: skills.map((skill) => {
        const line = statusOf(skill, surroundings);
        return isNew || caller.kind === "plugin" ? { ...line, ...audienceOf(skill, line) } : line;
      }),
    };
  }

  async function bins(): Promise<{ bins: readonly string[] }> {
    const config = await configNow();
    const all = await Promise.all(agentsOf(config).map((agent) => skillsOf(agent, config)));
    const names = all.flatMap(({ skills }) =>
      skills.flatMap(({ metadata: { requires, install } }) => [
        ...requires.bins,
        ...requires.anyBins,
        ...install.flatMap((installer) => installer.bins),
      ]),
    );
    return { bins: [...new Set(names)].sort() };
  }

  async function install(params: {
    agentId?: string;
    name?: string;
    installId?: string;
    source?: string;
  }): Promise<never> {
    if (params.source !== undefined) throw refusal(noHub);
    const { name, installId } = needed("skills.install", params, ["name", "installId"]);
    const config = await configNow();
    const { skills } = await skillsOf(agentFor(config, params.agentId), config);
    throw refusal(
      adviceFor(
        skills.find((skill) => skill.name === name),
        name,
        installId,
        config,
      ),
    );
  }

  async function update(params: Update, caller: Caller): Promise<object> {
    const { skillKey } = needed("skills.update", params, ["skillKey"]);
    if (/[.\n]/.test(skillKey) || skillKey.length > 128)
      throw new RclawError(
        "INVALID_REQUEST",
        "skillKey must be at most 128 characters in one line, without a dot",
      );
    const values = editsOf(skillKey, params, entryOf(await configNow(), skillKey));
    if (values.length > 0) await methods.call("config.edit", { values }, { as: caller });
    // Read back: what is a secret has been taken out of it.
    return { ok: true, skillKey, config: entryOf(await configNow(), skillKey) ?? {} };
  }

  return [
    defineMethod({ name: "skills.status", since: "2026.2.17", params: statusParams, handle: status }),
    defineMethod({ name: "skills.bins", since: "2026.2.17", params: noParams, handle: bins }),
    defineMethod({
      name: "skills.install",
      since: "2026.2.17",
      params: installParams,
      handle: ({ params }) => install(params),
    }),
    defineMethod({
      name: "skills.update",
      since: "2026.2.17",
      params: updateParams,
      handle: ({ params, caller }) =>
        params.source !== undefined ? Promise.reject(hubRefusal(params)) : update(params, caller),
    }),
    defineMethod({
      name: "skills.search",
      since: "2026.5.7",
      params: searchParams,
      // A page that opens asks for what there is: nothing. Whoever looks for something hears why.
      async handle({ params }) {
        if (params.query === undefined) return { results: [] };
        throw new RclawError("UNAVAILABLE", noHub);
      },
    }),
    defineMethod({
      name: "skills.detail",
      since: "2026.5.7",
      params: detailParams,
      handle: () => Promise.reject(new RclawError("UNAVAILABLE", noHub)),
    }),
  ];
}

const noHub =
  "rclaw is connected to no skill registry; put the skill's folder into the workspace's skills folder";

/** The whole result stands beside the error: clients show its message. */
function refusal(message: string): RclawError {
  const payload = { ok: false, message, stdout: "", stderr: "", code: null };
  return new RclawError("UNAVAILABLE", message, { details: { payload } });
}

function hubRefusal({ slug, all }: Hub): RclawError {
  if (slug === undefined && all !== true)
    return new RclawError("INVALID_REQUEST", 'clawhub skills.update requires "slug" or "all"');
  if (slug !== undefined && all === true)
    return new RclawError(
      "INVALID_REQUEST",
      'clawhub skills.update accepts either "slug" or "all", not both',
    );
  return new RclawError("UNAVAILABLE", noHub);
}

/** What only one kind of request needs, refused in the words of a check of all of them. */
function needed<Key extends string>(
  method: string,
  params: Readonly<Partial<Record<Key, string>>>,
  keys: readonly Key[],
): Readonly<Record<Key, string>> {
  const missing = keys.filter((key) => params[key] === undefined);
  if (missing.length === 0) return params as Readonly<Record<Key, string>>;
  const words = missing.map((key) => `must have required property '${key}'`).join("; ");
  throw new RclawError("INVALID_REQUEST", `invalid ${method} params: ${words}`);
}

/** An empty value takes a setting away. */
function editsOf(
  skillKey: string,
  { enabled, apiKey, env = {} }: Update,
  before: unknown,
): readonly { readonly path: string; readonly value?: unknown }[] {
  const place = `skills.entries.${skillKey}`;
  const set = (key: string, text: string): { path: string; value?: string } => {
    const value = text.replaceAll(/[\r\n]/g, "").trim();
    return { path: `${place}.${key}`, ...(value && { value }) };
  };
  const edits = [
    ...(enabled === undefined ? [] : [{ path: `${place}.enabled`, value: enabled }]),
    ...(apiKey === undefined ? [] : [set("apiKey", apiKey)]),
    ...Object.entries(env).flatMap(([name, value]) => {
      const key = name.trim();
      if (key === "") return [];
      if (!/^[A-Za-z_]\w*$/.test(key))
        throw new RclawError("INVALID_REQUEST", `"${key}" is no name of a variable`);
      return [set(`env.${key}`, value)];
    }),
  ];
  // Something of the skill is there from now on, if only its name.
  return edits.length === 0 && before === undefined ? [{ path: place, value: {} }] : edits;
}
