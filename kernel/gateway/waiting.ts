import type { Connection } from "./connection.ts";
import type { Limits } from "./limits.ts";
import { limitKey, type Peer } from "./peer.ts";

/** A seat for a socket that has not said who it is. */
interface Place {
  /** The address it counts for; undefined on this machine. */
  readonly key: string | undefined;
  isTaken: boolean;
}

/**
 * Sockets between upgrade and hello-ok. Nobody has vouched for them, so they are few and
 * their time is short. All have the same time, so the oldest is the next to run out and
 * one timer serves every one of them.
 */
export interface WaitingRoom {
  /** Undefined when there is no room. */
  take(peer: Peer): Place | undefined;
  enter(connection: Connection, place: Place): void;
  /** Frees a place that nobody entered. */
  giveBack(place: Place): void;
  leave(connection: Connection): void;
  all(): readonly Connection[];
  close(): void;
}

export function createWaitingRoom(limits: Limits, now: () => number): WaitingRoom {
  const seated = new Map<Connection, { readonly place: Place; readonly deadline: number }>();
  const perKey = new Map<string, number>();
  let local = 0;
  let others = 0;
  let timer: NodeJS.Timeout | undefined;

  function release({ key }: Place): void {
    if (key === undefined) return void local--;
    others--;
    const left = (perKey.get(key) ?? 1) - 1;
    if (left > 0) perKey.set(key, left);
    else perKey.delete(key);
  }

  function schedule(): void {
    const [first] = seated.values();
    if (timer || !first) return;
    timer = setTimeout(expire, Math.max(1, first.deadline - now()));
    timer.unref();
  }

  function expire(): void {
    timer = undefined;
    const time = now();
    for (const [connection, { deadline }] of seated) {
      if (deadline > time) break;
      connection.close(1000, "");
    }
    schedule();
  }

  return {
    take(peer) {
      if (peer.isLoopback) {
        if (local >= limits.preAuthSocketsLocal) return undefined;
        local++;
        return { key: undefined, isTaken: false };
      }
      const key = limitKey(peer.ip);
      const count = perKey.get(key) ?? 0;
      if (others >= limits.preAuthSockets || count >= limits.preAuthSocketsPerIp) return undefined;
      others++;
      perKey.set(key, count + 1);
      return { key, isTaken: false };
    },
    enter(connection, place) {
      place.isTaken = true;
      seated.set(connection, { place, deadline: now() + limits.handshakeMs });
      schedule();
    },
    giveBack(place) {
      if (!place.isTaken) release(place);
    },
    leave(connection) {
      const seat = seated.get(connection);
      if (!seat) return;
      seated.delete(connection);
      release(seat.place);
    },
    all: () => [...seated.keys()],
    close() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
