/** Counts who is there, by key, so that no one of them can be too many. */
export interface Crowd {
  /** Lets one more in and answers with what lets it out again, or undefined when there are `max` already. */
  enter(key: string, max: number): (() => void) | undefined;
  /** How many there are, of all keys or of one. */
  size(key?: string): number;
}

export function createCrowd(): Crowd {
  const counts = new Map<string, number>();
  let all = 0;
  return {
    enter(key, max) {
      const count = counts.get(key) ?? 0;
      if (count >= max) return undefined;
      counts.set(key, count + 1);
      all++;
      let isIn = true;
      return () => {
        if (!isIn) return;
        isIn = false;
        all--;
        const left = (counts.get(key) ?? 1) - 1;
        if (left > 0) counts.set(key, left);
        else counts.delete(key);
      };
    },
    size: (key) => (key === undefined ? all : (counts.get(key) ?? 0)),
  };
}
