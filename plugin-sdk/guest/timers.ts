import { act, nextId, outstanding } from "./outbox.ts";

type Callback = (...args: never[]) => unknown;

function start(callback: Callback, delay: unknown, args: unknown[], every: boolean): number {
  if (typeof callback !== "function") throw new TypeError("a timer needs a function");
  const delayMs = Math.min(Math.max(Number(delay) || 0, every ? 1 : 0), 2_147_483_647);
  const id = nextId();
  const arm = (): void => act({ tag: "timer", val: { id, delayMs } });
  outstanding.set(id, () => {
    if (every) arm();
    else outstanding.delete(id);
    callback(...(args as never[]));
    // The callback may have cleared it, and with every = false it is gone already.
    return false;
  });
  arm();
  return id;
}

export function setGuestTimeout(callback: Callback, delay?: unknown, ...args: unknown[]): number {
  return start(callback, delay, args, false);
}

export function setGuestInterval(callback: Callback, delay?: unknown, ...args: unknown[]): number {
  return start(callback, delay, args, true);
}

export function clearGuestTimer(id: unknown): void {
  if (typeof id === "number" && outstanding.delete(id)) act({ tag: "timer-cancel", val: id });
}
