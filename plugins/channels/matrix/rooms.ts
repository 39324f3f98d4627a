import type { Logger, PluginContext } from "@rclaw/plugin-sdk";
import type { Api } from "./api.ts";
import type { RoomEvent } from "./inbound.ts";

interface Room {
  name?: string;
  readonly members: Map<string, string>;
  /** How many are in it, once they were counted. */
  count?: number;
}

export interface RoomsOptions {
  readonly api: Api;
  readonly accountId: string;
  readonly userId: string;
  readonly storage: PluginContext["storage"];
  readonly log: Logger;
}

export type Rooms = ReturnType<typeof createRooms>;

/** What is known of the rooms: their names, who is in them, and which are between two people. */
export function createRooms({ api, accountId, userId, storage, log }: RoomsOptions) {
  const rooms = new Map<string, Room>();
  const key = `direct:${accountId}`;
  let direct: Set<string> | undefined;

  const of = (id: string): Room => {
    let room = rooms.get(id);
    if (!room) rooms.set(id, (room = { members: new Map() }));
    return room;
  };
  async function known(): Promise<Set<string>> {
    direct ??= new Set(((await storage.get(key)) as readonly string[] | undefined) ?? []);
    return direct;
  }

  return {
    /** A state event, wherever it stood. */
    learn(roomId: string, { type, state_key: subject, content = {} }: RoomEvent): void {
      const room = of(roomId);
      if (type === "m.room.name" && typeof content["name"] === "string") room.name = content["name"];
      if (type !== "m.room.member" || !subject) return;
      delete room.count;
      if (typeof content["displayname"] === "string") room.members.set(subject, content["displayname"]);
    },
    /** `m.direct` of the account, or an invitation to such a room. */
    async learnDirect(ids: readonly string[]): Promise<void> {
      const all = await known();
      if (ids.every((id) => all.has(id))) return;
      for (const id of ids) all.add(id);
      await storage.set(key, [...all].slice(-1_000));
    },
    name: (id: string): string | undefined => rooms.get(id)?.name,
    memberName: (id: string, member: string): string | undefined => rooms.get(id)?.members.get(member),
    /** A room that was begun as a direct chat is one as long as nobody else has joined. */
    async isDirect(id: string, signal: AbortSignal): Promise<boolean> {
      if (!(await known()).has(id)) return false;
      const room = of(id);
      try {
        room.count ??= Object.keys(
          (
            await api.ask<{ joined: object }>("GET", `/rooms/${encodeURIComponent(id)}/joined_members`, {
              signal,
            })
          ).joined,
        ).length;
        return room.count <= 2;
      } catch (error) {
        if (signal.aborted) throw error;
        // The stricter rules apply as long as it is not known.
        log.warn({ err: error, accountId, room: id }, "matrix: the members of a room could not be counted");
        return false;
      }
    },
    async join(id: string, signal: AbortSignal): Promise<void> {
      await api.ask("POST", `/rooms/${encodeURIComponent(id)}/join`, { signal, body: {} });
      log.info({ accountId, room: id, as: userId }, "matrix: joined a room");
    },
  };
}
