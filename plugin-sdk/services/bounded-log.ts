import type { Logger } from "../plugin.ts";

export interface BoundedLogOptions {
  readonly log: Logger;
  /** Lines that may be written in one window. */
  readonly lines?: number;
  readonly windowMs?: number;
  now?(): number;
  /** Told once a window, when the first line of it is dropped. */
  onFlood(message: string): void;
}

/** A logger whose owner cannot drown what everybody else has to say. */
export function boundedLog({
  log,
  lines = 1_000,
  windowMs = 60_000,
  now = Date.now,
  onFlood,
}: BoundedLogOptions): Logger {
  let since = now();
  let count = 0;

  function mayWrite(): boolean {
    const time = now();
    if (time - since >= windowMs) {
      if (count > lines)
        log.warn({ dropped: count - lines }, `${count - lines} lines of the log were dropped`);
      since = time;
      count = 0;
    }
    count++;
    if (count === lines + 1)
      onFlood(`wrote more than ${lines} lines of log within ${windowMs / 1_000} s; the rest is dropped`);
    return count <= lines;
  }

  const level =
    (name: keyof Logger): Logger[keyof Logger] =>
    (fields, message) => {
      if (mayWrite()) log[name](fields, message);
    };
  return { debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
}
