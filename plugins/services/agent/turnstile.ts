/**
 * Lets a few through in each turn of the event loop, in order. Hundreds of runs that begin
 * at once would otherwise hold up everybody who only wants to hear that a message was taken.
 */
export function createTurnstile(perTurn: number): () => Promise<void> {
  const queue: (() => void)[] = [];

  function open(): void {
    for (const enter of queue.splice(0, perTurn)) enter();
    if (queue.length > 0) setImmediate(open);
  }

  return () =>
    new Promise((resolve) => {
      if (queue.push(resolve) === 1) setImmediate(open);
    });
}
