import { createCrowd } from "@rclaw/plugin-sdk/services/crowd";
import type { Connection } from "./connection.ts";
import type { Limits } from "./limits.ts";
import { limitKey, type Peer } from "@rclaw/plugin-sdk/services/peer";

/** A seat for a socket that has not said who it is. */
interface Place {
  free(): void;
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
  const local = createCrowd();
  const others = createCrowd();
  let timer: NodeJS.Timeout | undefined;

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
      const max = others.size() < limits.preAuthSockets ? limits.preAuthSocketsPerIp : 0;
      const free = peer.isLoopback
        ? local.enter("", limits.preAuthSocketsLocal)
        : others.enter(limitKey(peer.ip), max);
      return free && { free, isTaken: false };
    },
    enter(connection, place) {
      place.isTaken = true;
      seated.set(connection, { place, deadline: now() + limits.handshakeMs });
      schedule();
    },
    giveBack(place) {
      if (!place.isTaken) place.free();
    },
    leave(connection) {
      const seat = seated.get(connection);
      if (!seat) return;
      seated.delete(connection);
      seat.place.free();
    },
    all: () => [...seated.keys()],
    close() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
