import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { groupNameParams, groupRenameParams, groupsPutParams, noParams } from "./methods.schema.ts";

interface Groups {
  readonly names: readonly string[];
  /** The sidebar's sections, groups among them, from top to bottom. */
  readonly sectionOrder: readonly string[];
}

export interface GroupsOptions {
  readonly context: PluginContext;
  /** Tells those who follow all sessions. */
  changed(): void;
}

const since = "2026.9";
const maxGroups = 200;
const key = "groups";

/** `sessions.groups.*`: a session is in the group its category names; what is kept here is their order, and empty ones. */
export function groupMethods({ context, changed }: GroupsOptions): readonly Method[] {
  const { sessions, methods, storage } = context;
  const inTurn = createTurns();

  async function members(): Promise<ReadonlyMap<string, readonly string[]>> {
    const found = new Map<string, string[]>();
    for (const entry of await sessions.list()) {
      const name = entry["category"];
      if (typeof name !== "string" || name === "") continue;
      found.set(name, [...(found.get(name) ?? []), entry.key]);
    }
    return found;
  }

  /** Also a group that came to be by a session's category is one. */
  async function read(used: ReadonlyMap<string, unknown>): Promise<Groups> {
    const stored = await kept<Partial<Record<keyof Groups, unknown>>>(storage, key, isRecord);
    const list = (value: unknown): string[] =>
      Array.isArray(value) ? value.filter((name) => typeof name === "string") : [];
    return {
      names: [...new Set([...list(stored?.names), ...used.keys()])],
      sectionOrder: list(stored?.sectionOrder),
    };
  }

  async function keep(groups: Groups): Promise<object> {
    await storage.set(key, groups);
    changed();
    return shown(groups);
  }

  async function put(names: readonly string[], sectionOrder: readonly string[] | undefined): Promise<object> {
    const wanted = unique(names);
    if (wanted.length > maxGroups)
      throw new RclawError(
        "INVALID_REQUEST",
        `there can be ${maxGroups} session groups; these are ${wanted.length}`,
      );
    const used = await members();
    const lost = [...used].flatMap(([name, { length }]) =>
      wanted.includes(name) ? [] : [`"${name}" (${length})`],
    );
    if (lost.length > 0)
      throw new RclawError(
        "INVALID_REQUEST",
        `sessions.groups.put cannot drop groups that still have member sessions: ${lost.join(", ")}; include them in names or remove them via sessions.groups.delete`,
      );
    const before = await read(used);
    return keep({ names: wanted, sectionOrder: sectionOrder ? unique(sectionOrder) : before.sectionOrder });
  }

  /** Moves the members first: stopped in between, the rest is still in a group that is there. */
  async function move(given: string, to: string | null): Promise<object> {
    const used = await members();
    const name = given.trim();
    const { names, sectionOrder } = await read(used);
    if (!names.includes(name)) {
      if (to === null) return { ...shown({ names, sectionOrder }), updatedSessions: 0 };
      throw new RclawError("INVALID_REQUEST", `unknown session group: ${name}`);
    }
    const inGroup = used.get(name) ?? [];
    for (const sessionKey of inGroup) await methods.call("sessions.patch", { key: sessionKey, category: to });
    const renamed = (list: readonly string[]): string[] =>
      unique(list.flatMap((item) => (item !== name ? [item] : to === null ? [] : [to])));
    const groups = await keep({ names: renamed(names), sectionOrder: renamed(sectionOrder) });
    return { ...groups, updatedSessions: inGroup.length };
  }

  return [
    defineMethod({
      name: "sessions.groups.list",
      since,
      params: noParams,
      async handle() {
        const { ok: _ok, ...groups } = shown(await read(await members()));
        return groups;
      },
    }),
    defineMethod({
      name: "sessions.groups.put",
      since,
      params: groupsPutParams,
      handle: ({ params: { names, sectionOrder } }) => inTurn(() => put(names, sectionOrder)),
    }),
    defineMethod({
      name: "sessions.groups.rename",
      since,
      params: groupRenameParams,
      async handle({ params: { name, to } }) {
        if (to.trim() === "") throw new RclawError("INVALID_REQUEST", "session group name must not be empty");
        return inTurn(() => move(name, to.trim()));
      },
    }),
    defineMethod({
      name: "sessions.groups.delete",
      since,
      params: groupNameParams,
      handle: ({ params: { name } }) => inTurn(() => move(name, null)),
    }),
  ];
}

const unique = (names: readonly string[]): string[] => [
  ...new Set(names.map((name) => name.trim()).filter((name) => name !== "")),
];

function shown({ names, sectionOrder }: Groups) {
  return { ok: true, groups: names.map((name, position) => ({ name, position })), sectionOrder };
}
