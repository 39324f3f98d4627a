import { randomBytes } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Verbs } from "@rclaw/plugin-sdk/boundary/calls";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { GuestPorts } from "./guest.ts";
import type { GuestLog, LogLevel } from "./guest-log.ts";
import { waitingVerb } from "./waiting-verbs.ts";

interface VerbPorts {
  readonly ports: GuestPorts;
  readonly log: GuestLog;
  /** On whose behalf the guest asks. */
  readonly entry: { readonly call: number | undefined; readonly place: object | undefined };
}

type Params = Readonly<Record<string, unknown>>;

const levels: readonly unknown[] = ["debug", "info", "warn", "error"] satisfies LogLevel[];

/** Answers one `{"m": method, "a": params}` of a guest. */
export function performVerb(request: unknown, { ports, log, entry }: VerbPorts): unknown {
  const { m: method, a: given } = isRecord(request) ? request : {};
  if (typeof method !== "string" || !(given === undefined || given === null || isRecord(given)))
    throw new RclawError("INVALID_REQUEST", 'rclaw_call takes {"m": method, "a": {...}}');
  // On whose behalf and from where is not for the guest to say.
  const { call: _call, place: _place, ...params } = given ?? {};
  const own = answeredHere.get(method);
  if (own) return own(params, log);
  const verb = method === "http.send" ? {} : waitingVerb(method);
  if (!verb)
    throw new RclawError(
      "INVALID_REQUEST",
      `a core module cannot ask for "${method.slice(0, 64)}"; docs/wit.md lists what it can ask for`,
    );
  if (verb.call && entry.place === undefined)
    throw new RclawError("INVALID_REQUEST", `"${method}" can only be asked for while a tool runs`);
  const sent = {
    ...(method === "http.send" ? withBytes(params) : params),
    ...(verb.call && { call: entry.call }),
    ...(method === "tools.list" && { place: entry.place ?? {} }),
  };
  const answer = ports.hostSync(method, sent, entry.call);
  return method === "http.send" ? withBase64(answer as Verbs["http.send"]["result"]) : answer;
}

/** What needs no host. A map, because the guest makes up the names that it is asked for. */
const answeredHere = new Map<string, (params: Params, log: GuestLog) => unknown>([
  ["log", writeLine],
  ["clock.now", () => Date.now()],
  ["clock.monotonic", () => performance.now()],
  ["clock.random", randomText],
]);

function writeLine({ level, message, fields }: Params, log: GuestLog): null {
  if (!levels.includes(level) || typeof message !== "string")
    throw new RclawError("INVALID_REQUEST", "log takes level (debug, info, warn, error) and message");
  if (log.hasRoom()) log.write(level as LogLevel, message, isRecord(fields) ? fields : {});
  return null;
}

function randomText({ count }: Params): string {
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0 || count > 65_536)
    throw new RclawError("INVALID_REQUEST", "clock.random takes count, at most 65536");
  return randomBytes(count).toString("base64");
}

/** Bytes are base64 where JSON carries them. */
function withBytes({ body, headers = [], ...rest }: Params): Params {
  if (body === undefined || body === null) return { ...rest, headers };
  if (typeof body !== "string") throw new RclawError("INVALID_REQUEST", "http.send: body is base64 text");
  return { ...rest, headers, body: new Uint8Array(Buffer.from(body, "base64")) };
}

const withBase64 = ({ body, ...head }: Verbs["http.send"]["result"]): object => ({
  ...head,
  body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("base64"),
});
