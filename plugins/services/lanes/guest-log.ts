import type { Endpoint } from "@rclaw/plugin-sdk/boundary/endpoint";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Characters of a line that are kept. */
const maxLine = 4_096;

export interface GuestLog {
  /** There is room for a line in this second; a line that has none is counted. Ask before making the text. */
  hasRoom(): boolean;
  write(level: LogLevel, message: string, fields?: object): void;
  /** Says what is still to be said. */
  end(): void;
}

/** A guest's lines on their way to the gateway's log, at most `perSecond`; of the others one line tells how many they were. */
export function guestLog(host: Pick<Endpoint, "call">, perSecond: number): GuestLog {
  let [since, written, dropped] = [0, 0, 0];
  let timer: NodeJS.Timeout | undefined;

  // Nobody waits for a line, and a gateway that is gone needs none.
  const send = (level: LogLevel, message: string, fields: object): void =>
    void host.call("log", { level, message, fields }).catch(() => undefined);

  function tellDropped(): void {
    clearTimeout(timer);
    timer = undefined;
    if (dropped === 0) return;
    const message = `${dropped} more log lines of this plugin were dropped: it may write ${perSecond} a second`;
    dropped = 0;
    send("warn", message, {});
  }

  function hasRoom(): boolean {
    const now = performance.now();
    if (written === 0 || now - since >= 1_000) {
      tellDropped();
      [since, written] = [now, 0];
    }
    if (++written <= perSecond) return true;
    dropped++;
    timer ??= setTimeout(tellDropped, 1_000 - (now - since)).unref();
    return false;
  }

  return {
    hasRoom,
    write: (level, message, fields = {}) => send(level, message.slice(0, maxLine), fields),
    end: tellDropped,
  };
}
