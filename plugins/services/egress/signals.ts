/** Not `AbortSignal.any`: a gateway's signals live for months, and what that one leaves behind on them lives as long. */
export function linkSignals(
  a: AbortSignal | undefined,
  b: AbortSignal | null | undefined,
): { signal: AbortSignal | undefined; release(): void } {
  if (!a || !b) return { signal: a ?? b ?? undefined, release: () => undefined };
  const controller = new AbortController();
  const onA = (): void => controller.abort(a.reason);
  const onB = (): void => controller.abort(b.reason);
  a.addEventListener("abort", onA, { once: true });
  b.addEventListener("abort", onB, { once: true });
  if (a.aborted) onA();
  if (b.aborted) onB();
  return {
    signal: controller.signal,
    release() {
      a.removeEventListener("abort", onA);
      b.removeEventListener("abort", onB);
    },
  };
}
