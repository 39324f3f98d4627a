/**
 * Turns many calls into few: the first runs soon, and the next not before the pause is
 * over. The pause grows with the audience, because what runs is sent to all of it - ten
 * thousand clients that connect in a row must not cause ten thousand broadcasts.
 */
export function coalesce(run: () => void, audience: () => number, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined;
  let notBefore = 0;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return () => {
    if (timer || signal.aborted) return;
    timer = setTimeout(
      () => {
        timer = undefined;
        notBefore = performance.now() + Math.max(100, audience() / 2);
        run();
      },
      Math.max(0, notBefore - performance.now()),
    );
    timer.unref();
  };
}
