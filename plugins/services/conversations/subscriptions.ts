import { RclawError } from "@rclaw/plugin-sdk";

/** One client that follows more conversations than this follows all of them. */
const maxKeys = 512;

interface Wanted {
  /** Every session's changes. */
  all: boolean;
  readonly keys: Set<string>;
}

/** Who wants to hear of which sessions; a connection's wishes end with it. */
export function createSubscriptions() {
  const wanted = new Map<string, Wanted>();

  function of(connId: string): Wanted {
    let wish = wanted.get(connId);
    if (!wish) wanted.set(connId, (wish = { all: false, keys: new Set() }));
    return wish;
  }

  function tidy(connId: string, { all, keys }: Wanted): void {
    if (!all && keys.size === 0) wanted.delete(connId);
  }

  return {
    follow(connId: string, key: string): void {
      const { keys } = of(connId);
      if (keys.size >= maxKeys && !keys.has(key))
        throw new RclawError(
          "RATE_LIMITED",
          `this connection follows ${maxKeys} sessions already; unsubscribe from some of them`,
        );
      keys.add(key);
    },
    unfollow(connId: string, key: string): void {
      const wish = wanted.get(connId);
      wish?.keys.delete(key);
      if (wish) tidy(connId, wish);
    },
    followAll(connId: string, all: boolean): void {
      const wish = of(connId);
      wish.all = all;
      tidy(connId, wish);
    },
    end: (connId: string): void => void wanted.delete(connId),
    /** Who follows all sessions. */
    everybody: (): readonly string[] => [...wanted].filter(([, { all }]) => all).map(([connId]) => connId),
    /** Who follows this one, by itself or with all others. */
    of: (key: string): readonly string[] =>
      [...wanted].filter(([, { all, keys }]) => all || keys.has(key)).map(([connId]) => connId),
    has: (key: string): boolean => {
      if (wanted.size === 0) return false;
      for (const { all, keys } of wanted.values()) if (all || keys.has(key)) return true;
      return false;
    },
  };
}

export type Subscriptions = ReturnType<typeof createSubscriptions>;
