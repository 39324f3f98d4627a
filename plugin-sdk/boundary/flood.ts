import { types } from "node:util";
import type { MessagePort } from "node:worker_threads";

/** What came over a port: asked for or held back by this side, of the other side's own accord, or nothing that can be read. */
export type Sent = "held" | "free" | "garbage";

export interface Flood {
  /** Resolves when the other side has seen what it was sent so far. */
  ping(): Promise<unknown>;
  /** It was too much, and nothing is read any more. */
  onFlood(reason: string): void;
}

/** Ports that were not read to their end: they share the time. */
let behind = 0;
/** A port is read for so long and for so many messages; then what else waits has its turn. */
const turn = { ms: 4, messages: 500 } as const;
/** After so much, the other side is asked whether it still listens. */
const heard = { messages: 1_000, bytes: 8 * 1_048_576 } as const;
/** So much may be on its way meanwhile. It lies in memory that no limit of the other thread counts. */
const ahead = { messages: 10_000, bytes: 128 * 1_048_576 } as const;
const maxGarbage = 100;
const garbageMs = 1_000;
/** Values of a message that are looked at to learn how large it is. */
const maxLooks = 200;

/**
 * Reads a port whose other side may send as fast as it can, and keeps no process alive for it. Left to itself
 * a port hands over all that waits at once, and as much again has come meanwhile. Who waits for answers, be it
 * for hundreds at a time, sends no more than those; who is far ahead of its answers does not wait for any.
 */
export function readBounded(
  port: MessagePort,
  receive: (value: unknown) => Sent,
  { ping, onFlood }: Flood,
): Disposable {
  let isStopped = false;
  let isPaused = false;
  let isBehind = false;
  let isPinging = false;
  const since = { messages: 0, bytes: 0 };
  const garbage = { count: 0, since: 0 };
  const current = { ends: 0, messages: 0 };

  const forget = (): void => void (since.messages = since.bytes = 0);

  /** Why it is too much, if it is. */
  function excess(value: unknown): string | undefined {
    since.messages++;
    since.bytes += sizeOf(value);
    if (!isPinging && (since.messages >= heard.messages || since.bytes >= heard.bytes)) {
      isPinging = true;
      forget();
      const onHeard = (): void => {
        isPinging = false;
        forget();
      };
      ping().then(onHeard, onHeard);
    }
    if (since.messages > ahead.messages)
      return `sent more than ${ahead.messages} frames without waiting for any answer`;
    if (since.bytes > ahead.bytes)
      return `sent more than ${ahead.bytes / 1_048_576} MiB without waiting for any answer`;
    return undefined;
  }

  function nonsense(): string | undefined {
    const now = performance.now();
    if (now - garbage.since >= garbageMs) Object.assign(garbage, { count: 0, since: now });
    if (++garbage.count <= maxGarbage) return undefined;
    return `sent more than ${maxGarbage} messages within a second that are no frames`;
  }

  function isTurnOver(): boolean {
    const now = performance.now();
    if (current.ends === 0) {
      current.ends = now + turn.ms / Math.max(1, behind);
      setImmediate(() => {
        current.ends = current.messages = 0;
        if (!isPaused) setBehind(false);
      });
    }
    return ++current.messages > turn.messages || now >= current.ends;
  }

  function read(value: unknown): void {
    const isOver = isTurnOver();
    const sent = receive(value);
    if (isStopped) return;
    const reason = sent === "held" ? undefined : sent === "free" ? excess(value) : nonsense();
    if (reason !== undefined) {
      stop();
      onFlood(reason);
    } else if (isOver) pause();
  }

  function setBehind(value: boolean): void {
    if (value !== isBehind) behind += value ? 1 : -1;
    isBehind = value;
  }

  function pause(): void {
    setBehind(true);
    isPaused = true;
    port.off("message", read);
    setImmediate(() => {
      if (!isStopped) listen();
    });
  }

  function listen(): void {
    isPaused = false;
    port.on("message", read);
    port.unref();
  }

  function stop(): void {
    isStopped = true;
    setBehind(false);
    port.off("message", read);
  }

  listen();
  return { [Symbol.dispose]: stop };
}

/** About how many bytes it holds; of what has very many parts, the first ones alone. */
function sizeOf(message: unknown): number {
  let bytes = 0;
  const left: unknown[] = [message];
  for (let looks = 0; left.length > 0 && looks < maxLooks; looks++) {
    const value = left.pop();
    bytes += 16;
    if (typeof value === "string") bytes += value.length;
    else if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) bytes += value.byteLength;
    else if (typeof value === "object" && value !== null)
      for (const key in value) {
        if (left.length >= maxLooks) break;
        left.push((value as Record<string, unknown>)[key]);
      }
  }
  return bytes;
}
