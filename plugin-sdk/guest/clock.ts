/** Interface `clock`: all that a guest has of the machine it runs on. */
export interface Clock {
  nowMs(): number;
  monotonicMs(): number;
  randomBytes(count: number): Uint8Array;
}

/**
 * A component is a snapshot: modules are evaluated while it is built. What they roll then would be the same in
 * every copy, and nobody would notice.
 */
export let clock: Clock = {
  nowMs: () => 0,
  monotonicMs: () => 0,
  randomBytes() {
    throw new Error(
      "there is no chance while a component is built: use random numbers and ids in activate() or later, not at the top of a module",
    );
  },
};

export function useClock(imported: Clock): void {
  clock = imported;
}
