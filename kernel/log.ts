import type { Logger } from "@rclaw/plugin-sdk";
import { pino } from "pino";
import type { Redactor } from "./redact.ts";

export interface LogOptions {
  readonly level: string;
  readonly redactor: Redactor;
  /** Receives whole JSON lines. */
  write(line: string): void;
}

export interface Log extends Logger {
  child(fields: object): Logger;
  /** From here on, for its children as well. */
  setLevel(level: string): void;
}

const maxLine = 16_384;

/**
 * pino with a plain destination: its transports would be worker threads. Each line
 * passes the redactor as text, so no path of an object can be forgotten; pino has
 * already escaped control characters, so a log line cannot forge another.
 */
export function createLog({ level, redactor, write }: LogOptions): Log {
  let least = rankOf(level);
  const log = pino(
    {
      level: "trace",
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      // A child keeps the level it was born with, so pino takes everything and this decides.
      hooks: {
        logMethod(args, method, rank) {
          if (rank >= least) method.apply(this, args);
        },
      },
    },
    {
      write(line: string) {
        const safe = redactor.text(line);
        write(
          safe.length <= maxLine
            ? safe
            : `${JSON.stringify({ level: 40, msg: "a log line was cut", length: safe.length, start: safe.slice(0, 4_096) })}\n`,
        );
      },
    },
  );
  return Object.assign(log, { setLevel: (next: string) => void (least = rankOf(next)) });
}

/** "silent" is above every level there is. */
function rankOf(level: string): number {
  return pino.levels.values[level] ?? Number.POSITIVE_INFINITY;
}

/** Nothing is written. */
export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
