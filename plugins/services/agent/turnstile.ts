/** How a run that was let in says that it is out again. */
export type Leave = () => void;

type Enter = (leave: Leave) => void;

/** So many new ones a place between two openings are a rush. */
const rushPerPlace = 2;
const compactAt = 1_024;
/** So that what was acknowledged and what came of it are read apart. */
const apartMs = 25;

/**
 * Lets `places` runs work at a time, in order: hundreds that work at once would hold up
 * everybody who only wants to hear that a message was taken. While messages come in a rush,
 * hearing that comes first and a single run works. One that is still there after
 * `patienceMs` waits for a model or a tool, and takes nobody's place by that.
 */
export function createTurnstile(places: number, patienceMs: number): () => Promise<Leave> {
  /** Those before `first` have entered; taking them off one by one would move all the others each time. */
  let queue: Enter[] = [];
  let first = 0;
  let arrived = 0;
  /** Since when each has been inside, the longest first. */
  const inside = new Map<Leave, number>();
  let isOpening = false;
  let timer: NodeJS.Timeout | undefined;

  function openSoon(): void {
    if (isOpening || first === queue.length) return;
    isOpening = true;
    // OpenClaw's terminal takes an answer that it reads together with "started" for an older one, and waits on.
    const isAlone = inside.size === 0 && queue.length - first === 1;
    if (isAlone) setTimeout(open, apartMs);
    else setImmediate(open);
  }

  function open(): void {
    isOpening = false;
    const now = performance.now();
    for (const [leave, since] of inside) {
      if (now - since < patienceMs) break;
      inside.delete(leave);
    }
    const room = arrived > places * rushPerPlace ? 1 : places;
    arrived = 0;
    while (first < queue.length && inside.size < room) letIn(now);
    if (first === queue.length) {
      queue = [];
      first = 0;
      return;
    }
    timer ??= setTimeout(() => {
      timer = undefined;
      openSoon();
    }, patienceMs);
  }

  function letIn(now: number): void {
    const enter = queue[first++];
    if (first >= compactAt && first * 2 > queue.length) {
      queue = queue.slice(first);
      first = 0;
    }
    const leave = (): void => {
      if (inside.delete(leave)) openSoon();
    };
    inside.set(leave, now);
    enter?.(leave);
  }

  return () =>
    new Promise((resolve) => {
      queue.push(resolve);
      arrived++;
      openSoon();
    });
}
