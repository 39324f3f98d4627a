import type { Logger } from "@rclaw/plugin-sdk";
import { pino } from "pino";
import type { Redactor } from "./redact.ts";

export interface LogOptions {
  readonly level: string;
  readonly redactor: Redactor;
  /** Receives whole JSON lines. */
  write(line: string): void;
}

const maxLine = 16_384;

/**
 * pino with a plain destination: its transports would be worker threads. Each line
 * passes the redactor as text, so no path of an object can be forgotten; pino has
 * already escaped control characters, so a log line cannot forge another.
 */
export function createLog({
  level,
  redactor,
  write,
}: LogOptions): Logger & { child(fields: object): Logger } {
  return pino(
    { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` },
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
}

/** Nothing is written. */
export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
