import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { type Caller, defineMethod, type Method, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import {
  type Agent,
  agentIdOf,
  agentsOf,
  defaultAgentOf,
  mainAgent,
} from "@rclaw/plugin-sdk/services/agents";
import { expandHome } from "@rclaw/plugin-sdk/services/expand-home";
import { configPaths } from "@rclaw/plugin-sdk/services/paths";
import { kindOf, readPlain } from "@rclaw/plugin-sdk/services/plain-file";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { folderOf } from "@rclaw/plugin-sdk/services/workspaces";
import { type Edit, entriesOf, namesOf, pathOf, placeOf, type Snapshot } from "./configuration.ts";
import type { RosterOptions } from "./files.ts";
import { type Identity, withIdentity } from "./identity.ts";
import { createParams, deleteParams, noParams, updateParams } from "./methods.schema.ts";
import { discard } from "./trash.ts";

interface Wanted {
  readonly name?: string;
  readonly workspace?: string;
  readonly model?: string | null;
  readonly emoji?: string;
  readonly avatar?: string;
}

const maxAgents = 256;
const maxFileBytes = 2 * 1_024 * 1_024;
/** Folders of the state folder that are no place to work in, and that folder itself. */
const gatewaysOwn: ReadonlySet<string> = new Set([
  "",
  "sessions",
  "credentials",
  "plugins",
  "devices",
  "nodes",
  "tls",
  "cache",
  "trash",
]);

/** `agents.list`, and the three that change it. Each change is one edit of the configuration, in the caller's name. */
export function rosterMethods({ context, configuration }: RosterOptions): readonly Method[] {
  const { sessions, log } = context;
  const env = { HOME: context.env("HOME"), RUSTY_CLAW_STATE_DIR: context.env("RUSTY_CLAW_STATE_DIR") };
  const { stateDir } = configPaths(env, env.HOME ?? homedir());

  /** Makes the folder before anything names it: one that cannot be made leaves no agent behind. */
  async function makeWorkspace(given: string): Promise<string> {
    const folder = given === "~" && env.HOME ? env.HOME : expandHome(given, env);
    const [first = ""] = path.relative(stateDir, folder).split(path.sep);
    if (folder.includes("\0") || gatewaysOwn.has(first))
      throw new RclawError(
        "INVALID_REQUEST",
        `workspace "${given}" belongs to the gateway; choose another folder`,
      );
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    } catch (cause) {
      const { code = "failed" } = cause as NodeJS.ErrnoException;
      throw new RclawError("INVALID_REQUEST", `workspace "${given}" cannot be made (${code})`, { cause });
    }
    return folder;
  }

  async function writeIdentity(workspace: string, identity: Identity): Promise<void> {
    if (Object.values(identity).every((value) => value === undefined)) return;
    const file = path.join(workspace, "IDENTITY.md");
    const kind = await kindOf(file);
    const before = kind === "plain" ? await readPlain(file, maxFileBytes) : undefined;
    if ((kind !== "plain" && kind !== "missing") || (before && before.size > maxFileBytes))
      throw new RclawError("INVALID_REQUEST", 'unsafe workspace file "IDENTITY.md"');
    await writeAtomic(file, withIdentity(before?.text ?? "", identity), before?.mode);
  }

  async function create(params: Wanted, caller: Caller): Promise<object> {
    const name = line(params.name) ?? "";
    const agentId = agentIdOf(name);
    if (agentId === mainAgent) throw new RclawError("INVALID_REQUEST", `"${mainAgent}" is reserved`);
    const model = line(params.model);
    const answer = await configuration.change(caller, async (snapshot) => {
      const entries = entriesOf(snapshot);
      if (pathOf(snapshot, agentId) !== undefined)
        throw new RclawError("INVALID_REQUEST", `agent "${agentId}" already exists`);
      if (entries.length >= maxAgents)
        throw new RclawError("INVALID_REQUEST", `there are ${entries.length} agents; delete one first`);
      const workspace = await makeWorkspace(params.workspace?.trim() || usualFolder(snapshot, agentId));
      const shown = { emoji: line(params.emoji), avatar: line(params.avatar) };
      const entry = {
        id: agentId,
        name,
        workspace,
        model,
        ...((shown.emoji ?? shown.avatar) && { identity: { name, ...shown } }),
      };
      // Whoever was the only agent is not said anywhere, and must not be the second one from now on.
      const values: Edit[] =
        entries.length > 0
          ? [{ path: `agents.list.${entries.length}`, value: entry }]
          : [{ path: "agents.list", value: [{ id: defaultAgentOf(snapshot.config) }, entry] }];
      return { values, result: { ok: true, agentId, name, workspace, ...(model && { model }) } };
    });
    await writeIdentity(answer.workspace, { name, emoji: line(params.emoji), avatar: line(params.avatar) });
    const { model: chosen, ...plain } = answer;
    return isNew(caller) && chosen ? { ...plain, model: chosen } : plain;
  }

  function usualFolder({ config }: Snapshot, agentId: string): string {
    const roster = {
      list: [...agentsOf(config).map(({ entry, id }) => ({ ...entry, id })), { id: agentId }],
    };
    const defaults = valueAt(config, "agents.defaults");
    return folderOf({ agents: { ...roster, defaults } }, agentId, { env, stateDir });
  }

  async function update(
    params: Wanted & { agentId: string; agentRuntime?: string },
    caller: Caller,
  ): Promise<object> {
    const agentId = agentIdOf(params.agentId);
    if (params.agentRuntime !== undefined)
      throw new RclawError("INVALID_REQUEST", `agent runtime "${params.agentRuntime}" is not available`);
    const name = line(params.name);
    const shown = { emoji: line(params.emoji), avatar: line(params.avatar) };
    await configuration.change(caller, async (snapshot) => {
      const at = pathOf(snapshot, agentId);
      if (at === undefined) throw notFound(agentId);
      const workspace = line(params.workspace);
      const identity = {
        ...shown,
        name: valueAt(snapshot.parsed, `${at}.identity.name`) === undefined ? undefined : name,
      };
      const changes: Readonly<Record<string, unknown>> = {
        name,
        workspace: workspace === undefined ? undefined : await makeWorkspace(workspace),
        model: line(params.model),
        "identity.name": identity.name,
        "identity.emoji": identity.emoji,
        "identity.avatar": identity.avatar,
      };
      const values: Edit[] = Object.entries(changes)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => ({ path: `${at}.${key}`, value }));
      if (params.model === null) values.push({ path: `${at}.model` });
      return { values, result: undefined };
    });
    await writeIdentity(await sessions.workspace(agentId), { name, ...shown });
    return { ok: true, agentId };
  }

  async function remove(params: { agentId: string; deleteFiles?: boolean }, caller: Caller): Promise<object> {
    const agentId = agentIdOf(params.agentId);
    if (agentId === mainAgent) throw new RclawError("INVALID_REQUEST", `"${mainAgent}" cannot be deleted`);
    const { folders, removedBindings } = await configuration.change(caller, async (snapshot) => {
      if (pathOf(snapshot, agentId) === undefined) throw notFound(agentId);
      if (agentId === defaultAgentOf(snapshot.config))
        throw new RclawError(
          "INVALID_REQUEST",
          `"${agentId}" cannot be deleted: it is the default agent; set default on another one first`,
        );
      const { bindings, ...plan } = removal(snapshot, agentId);
      const folders = agentsOf(snapshot.config).map((agent) => ({
        agent,
        folder: folderOf(snapshot.config, agent.id, { env, stateDir }),
      }));
      return { values: plan.values, result: { folders, removedBindings: bindings } };
    });
    if (params.deleteFiles === true) {
      await forget(agentId, caller);
      const own = folders.find(({ agent }) => agent.id === agentId)?.folder;
      const others = folders.filter(({ agent }) => agent.id !== agentId).map(({ folder }) => folder);
      if (own) await discard(own, { others, stateDir, log });
    }
    return { ok: true, agentId, removedBindings };
  }

  /** Without a model the Control UI takes no message, and one answers also where nobody chose it. */
  async function usualModel(config: unknown): Promise<unknown> {
    const chosen = valueAt(config, "agents.defaults.model");
    if (Object.keys(modelOf(chosen)).length > 0) return chosen;
    const answering = await context.methods.call("models.default", {}).catch(() => undefined);
    const [provider, model] = [valueAt(answering, "provider"), valueAt(answering, "model")];
    return typeof provider === "string" && typeof model === "string" ? `${provider}/${model}` : undefined;
  }

  /** Its conversations go the way every deleted session goes: their transcripts are kept under another name. */
  async function forget(agentId: string, caller: Caller): Promise<void> {
    for (const { key } of await sessions.list()) {
      if (!key.startsWith(`agent:${agentId}:`)) continue;
      await context.methods
        .call("sessions.delete", { key }, { as: caller })
        .catch((error: unknown) => log.warn({ err: error, sessionKey: key }, "a session was not deleted"));
    }
  }

  return [
    defineMethod({
      name: "agents.list",
      since: "2026.2.17",
      params: noParams,
      async handle({ caller }) {
        const { config } = await configuration.read();
        const scope = valueAt(config, "session.scope") === "global" ? "global" : "per-sender";
        const usual = isNew(caller) ? await usualModel(config) : undefined;
        return {
          defaultId: defaultAgentOf(config),
          mainKey: valueAt(config, "session.mainKey") ?? "main",
          scope,
          agents: agentsOf(config).map((agent) => ({
            ...shownAs(agent),
            ...(isNew(caller) && {
              workspace: folderOf(config, agent.id, { env, stateDir }),
              ...modelOf(agent.entry["model"] ?? usual),
            }),
          })),
        };
      },
    }),
    defineMethod({
      name: "agents.create",
      since: "2026.2.17",
      params: createParams,
      handle: ({ params, caller }) => create(params, caller),
    }),
    defineMethod({
      name: "agents.update",
      since: "2026.2.17",
      params: updateParams,
      handle: ({ params, caller }) => update(params, caller),
    }),
    defineMethod({
      name: "agents.delete",
      since: "2026.2.17",
      params: deleteParams,
      handle: ({ params, caller }) => remove(params, caller),
    }),
  ];
}

/** Clients of protocol 4 want to know more of each agent; those of 3 have no place for it. */
const isNew = ({ protocol = 3 }: Caller): boolean => protocol >= 4;

function shownAs({ id, entry }: Agent): object {
  const name = line(entry["name"]);
  const given = entry["identity"];
  const identity = Object.fromEntries(
    ["name", "theme", "emoji", "avatar"].flatMap((key) => {
      const value = line(valueAt(given, key));
      return value === undefined ? [] : [[key, value]];
    }),
  );
  return {
    id,
    ...(name !== undefined && { name }),
    ...(Object.keys(identity).length > 0 && { identity }),
  };
}

function modelOf(model: unknown): object {
  if (typeof model === "string") return { model: { primary: model } };
  const primary = valueAt(model, "primary");
  const fallbacks = valueAt(model, "fallbacks");
  const known = {
    ...(typeof primary === "string" && { primary }),
    ...(Array.isArray(fallbacks) && { fallbacks }),
  };
  return Object.keys(known).length > 0 ? { model: known } : {};
}

/** The edits that take an agent out, and whatever would send messages its way. */
function removal(
  snapshot: Snapshot,
  agentId: string,
): { readonly values: readonly Edit[]; readonly bindings: number } {
  const { parsed } = snapshot;
  const entries = entriesOf(snapshot);
  const place = placeOf(entries, agentId);
  const values: Edit[] = namesOf(snapshot, agentId).map((name) => ({ path: name }));
  if (place >= 0) values.push({ path: entries.length === 1 ? "agents.list" : `agents.list.${place}` });
  const isOwn = (id: unknown): boolean => typeof id === "string" && agentIdOf(id) === agentId;
  const without = (at: string, isGone: (item: unknown) => boolean): number => {
    const list = valueAt(parsed, at);
    if (!Array.isArray(list)) return 0;
    const left = list.filter((item) => !isGone(item));
    if (left.length < list.length) values.push(left.length > 0 ? { path: at, value: left } : { path: at });
    return list.length - left.length;
  };
  const bindings = without("bindings", (item) => isOwn(valueAt(item, "agentId")));
  without("tools.agentToAgent.allow", isOwn);
  return { values, bindings };
}

/** One line of text, or nothing. */
function line(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() ? value.replaceAll(/\s+/g, " ").trim() : undefined;
}

function notFound(agentId: string): RclawError {
  return new RclawError("INVALID_REQUEST", `agent "${agentId}" not found`);
}
