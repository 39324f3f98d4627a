import { collect } from "@rclaw/plugin-sdk/services/collect";

const lookEveryMs = 1_000;
const busyFrom = 0.1;
/** One moves a part of what lies on half-empty pages. */
const collections = 3;

/**
 * Tells V8 that memory matters while there is little to do. Told so all the time it would need
 * half as much processor again under load; never told, it keeps what a rush has left behind on
 * half-empty pages until the next one comes: 3 KB for each of 10,000 clients.
 */
export function beThrifty(signal: AbortSignal): void {
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  setFlagsFromString("--optimize-for-size");
  let isQuiet = true;
  let toCollect = 0;
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const wasQuiet = isQuiet;
    isQuiet = utilization < busyFrom;
    if (isQuiet !== wasQuiet) setFlagsFromString(isQuiet ? "--optimize-for-size" : "--no-optimize-for-size");
    if (!isQuiet) toCollect = collections;
    else if (toCollect > 0) {
      toCollect--;
      collect();
    }
  }, lookEveryMs);
  timer.unref();
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
