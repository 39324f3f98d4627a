/** How a run that was let in says that it is out again. */
export type Leave = () => void;

/**
 * Lets `places` runs work at a time, in order: hundreds that work at once would hold up
 * everybody who only wants to hear that a message was taken. One that is still there after
 * `patienceMs` waits for a model or a tool, and takes nobody's place by that.
 */
export function createTurnstile(places: number, patienceMs: number): () => Promise<Leave> {
  const queue: ((leave: Leave) => void)[] = [];
  /** Since when each has been inside, the longest first. */
  const inside = new Map<Leave, number>();
  let isOpening = false;
  let timer: NodeJS.Timeout | undefined;

  function openSoon(): void {
    if (isOpening || queue.length === 0) return;
    isOpening = true;
    setImmediate(open);
  }

  function open(): void {
    isOpening = false;
    const now = performance.now();
    for (const [leave, since] of inside) {
      if (now - since < patienceMs) break;
      inside.delete(leave);
    }
    for (const enter of queue.splice(0, places - inside.size)) {
      const leave = (): void => {
        if (inside.delete(leave)) openSoon();
      };
      inside.set(leave, now);
      enter(leave);
    }
    if (queue.length === 0) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      openSoon();
    }, patienceMs);
  }

  return () =>
    new Promise((resolve) => {
      queue.push(resolve);
      openSoon();
    });
}
