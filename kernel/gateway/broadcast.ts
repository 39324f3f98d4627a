import type { Caller, Scope } from "@rclaw/plugin-sdk";
import { coversScope } from "@rclaw/plugin-sdk/services/devices";
import type { Connection } from "./connection.ts";
import { eventPrefix, type StateVersion, wsFrame } from "./frames.ts";

export interface BroadcastOptions {
  /** A client that reads too slowly misses this one event instead of losing its connection. */
  readonly dropIfSlow?: boolean;
  readonly scope?: Scope;
  readonly stateVersion?: StateVersion;
}

export interface Broadcaster {
  readonly size: number;
  add(connection: Connection): void;
  remove(connection: Connection): void;
  all(): readonly Connection[];
  broadcast(event: string, payload: unknown, options?: BroadcastOptions): void;
  /** To one client, without a sequence number. False when it is gone. */
  send(connId: string, event: string, payload: unknown): boolean;
  /** Ticks, and pings that find half-open sockets, until the signal aborts. */
  start(tickMs: number, signal: AbortSignal): void;
}

/** Events that carry what an ordinary client must not see, by the start of their name. */
const guarded: readonly (readonly [string, Scope])[] = [
  ["exec.approval.", "operator.approvals"],
  ["plugin.approval.", "operator.approvals"],
  ["egress.", "operator.approvals"],
  ["device.pair.", "operator.pairing"],
  ["node.pair.", "operator.pairing"],
];

export function createBroadcaster({
  maxBufferedBytes,
  now,
}: {
  maxBufferedBytes: number;
  now(): number;
}): Broadcaster {
  const ready = new Map<string, Connection>();
  let seq = 0;

  function broadcast(event: string, payload: unknown, options: BroadcastOptions = {}): void {
    seq++;
    if (ready.size === 0) return;
    const scope = guarded.find(([start]) => event.startsWith(start))?.[1] ?? options.scope;
    const frameOf = framesBySeq(eventPrefix(event, payload, options.stateVersion));
    for (const connection of ready.values()) {
      // An event one may not see takes no number: a gap would tell that there was one, and make the client refetch.
      if (scope && !maySee(connection.caller, scope)) continue;
      connection.seq++;
      if (connection.buffered <= maxBufferedBytes) connection.write(frameOf(connection.seq));
      else if (!options.dropIfSlow) connection.close(1008, "slow consumer");
    }
  }

  function sweep(mayEnd: boolean): void {
    for (const connection of ready.values()) connection.sweep(mayEnd);
  }

  return {
    get size() {
      return ready.size;
    },
    add(connection) {
      // Everybody counts along from the same number, so that one frame serves all who miss nothing.
      connection.seq = seq;
      ready.set(connection.id, connection);
    },
    remove(connection) {
      ready.delete(connection.id);
    },
    all: () => [...ready.values()],
    broadcast,
    send(connId, event, payload) {
      const connection = ready.get(connId);
      connection?.write(wsFrame(`${eventPrefix(event, payload)}}`));
      return connection !== undefined;
    },
    start(tickMs, signal) {
      let last = now();
      const timer = setInterval(() => {
        const time = now();
        broadcast("tick", { ts: time }, { dropIfSlow: true });
        // After a machine wakes up, the answers to the last pings are still unread: judge nobody by them.
        sweep(time - last < tickMs * 1.5);
        last = time;
      }, tickMs);
      timer.unref();
      signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    },
  };
}

function maySee(caller: Caller | undefined, scope: Scope): boolean {
  if (caller?.role !== "operator") return false;
  return coversScope(caller.scopes, scope);
}

/** The frame for each number; nearly always one, because nearly all clients have the same. */
function framesBySeq(prefix: string): (seq: number) => Buffer {
  const others = new Map<number, Buffer>();
  let lastSeq = -1;
  let last: Buffer = Buffer.alloc(0);
  return (seq) => {
    if (seq === lastSeq) return last;
    let frame = others.get(seq);
    if (!frame) others.set(seq, (frame = wsFrame(`${prefix},"seq":${seq}}`)));
    lastSeq = seq;
    last = frame;
    return frame;
  };
}
