/** Runs what it is given one after the other, in the order it came; a task that fails holds up nobody. */
export function createTurns(): <T>(task: () => T | Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const done = last.then(task);
    last = done.catch(() => undefined);
    return done;
  };
}
