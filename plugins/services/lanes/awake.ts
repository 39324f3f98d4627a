import os from "node:os";

let until = 0;
let isTurning = false;
/** With one processor there is nobody else to wait for while turning. */
const hasCompany = os.availableParallelism() > 1;

function turn(): void {
  if (performance.now() < until) setImmediate(turn);
  else isTurning = false;
}

/**
 * Keeps this thread's loop turning for that long instead of falling asleep: a processor that halts takes
 * 50 us and more to wake, on both sides of each call, which is most of what a short call would take. Everything
 * else that comes is served meanwhile. Below a millisecond only: it is paid in processor time.
 */
export function stayAwake(ms: number): void {
  if (!hasCompany) return;
  until = Math.max(until, performance.now() + ms);
  if (isTurning) return;
  isTurning = true;
  setImmediate(turn);
}
