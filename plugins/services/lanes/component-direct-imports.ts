import type { Verbs } from "@rclaw/plugin-sdk/boundary/calls";
import type { Header } from "@rclaw/plugin-sdk/boundary/reactor";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Imports } from "./versions.ts";
import { clockImports } from "./component-clock.ts";
import { toGuest } from "./component-errors.ts";
import { waitingVerb } from "./waiting-verbs.ts";
import type { GuestLog, LogLevel } from "./guest-log.ts";
import { parseGuestJson } from "./guest-json.ts";
import type { GuestPorts } from "./guest.ts";

/** On whose behalf the guest runs now. */
export interface Entry {
  call: number | undefined;
  isTool: boolean;
}

interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly Header[];
  readonly body?: Uint8Array | undefined;
  readonly maxBytes?: number | undefined;
}

/** What a guest that waits may import; each function asks the host and stands still meanwhile. */
export function directImports(ports: GuestPorts, log: GuestLog, entry: Entry): Imports {
  const limits = { maxBytes: ports.limits.resultBytes, maxDepth: 64 };
  const parse = (text: string): unknown => parseGuestJson(text, limits);
  const json = (value: unknown): string => JSON.stringify(value) ?? "null";

  function ask<Name extends keyof Verbs>(
    method: Name,
    params: Omit<Verbs[Name]["params"], "call">,
    { whileTool = false } = {},
  ): Verbs[Name]["result"] {
    if (whileTool && !entry.isTool)
      throw forGuest(new RclawError("INVALID_REQUEST", `${method} can only be asked for while a tool runs`));
    try {
      const given = whileTool ? { ...params, call: entry.call } : params;
      return ports.hostSync(method, given, entry.call);
    } catch (error) {
      throw forGuest(error);
    }
  }

  function call(method: string, text: string): string {
    const verb = waitingVerb(method);
    if (!verb)
      throw forGuest(
        new RclawError(
          "INVALID_REQUEST",
          `"${method.slice(0, 64)}" is no verb; docs/wit.md lists what there is`,
        ),
      );
    const params = parse(text);
    // On whose behalf is not for the guest to say.
    const { call: _call, place: _place, ...rest } = Object(params) as Record<string, unknown>;
    return json(ask(method as "storage.get", rest as { key: string }, { whileTool: verb.call === true }));
  }

  return {
    ...clockImports(),
    log: {
      write(level: LogLevel, message: string, fields: string | undefined): void {
        if (log.hasRoom()) log.write(level, message, fields === undefined ? {} : plain(fields));
      },
    },
    http: {
      send({ method, url, headers, body, maxBytes }: Request) {
        const answer = ask("http.send", {
          method,
          url,
          headers: headers.map(({ name, value }) => [name, value] as const),
          ...(body && { body }),
          ...(maxBytes !== undefined && { maxBytes }),
        });
        return { ...answer, headers: answer.headers.map(([name, value]) => ({ name, value })) };
      },
    },
    storage: {
      get(key: string): string | undefined {
        const value = ask("storage.get", { key });
        return value === undefined || value === null ? undefined : json(value);
      },
      set(key: string, value: string | undefined): void {
        ask("storage.set", { key, ...(value !== undefined && { value: parse(value) }) });
      },
    },
    secrets: {
      get: (name: string) => ask("secrets.get", { name }),
      sign: (name: string, request: string) =>
        ask("secrets.sign", { name, request: Object(parse(request)) as object }),
      verify: (name: string, request: string) =>
        ask("secrets.verify", { name, request: Object(parse(request)) as object }),
    },
    files: {
      read(path: string, maxBytes: number | undefined): Uint8Array {
        const { base64 } = ask("files.read", { path, maxBytes: maxBytes ?? 1_048_576 }, { whileTool: true });
        return new Uint8Array(Buffer.from(base64, "base64"));
      },
      write(path: string, data: Uint8Array): void {
        const base64 = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
        ask("files.write", { path, base64 }, { whileTool: true });
      },
      list: (path: string) => ask("files.list", { path }, { whileTool: true }),
    },
    tools: {
      call(name: string, params: string) {
        const { content, isError, details } = ask(
          "tools.call",
          { name, params: parse(params) },
          { whileTool: true },
        );
        return { content, isError, details: details === undefined ? undefined : json(details) };
      },
    },
    host: { call },
  };
}

function plain(fields: string): object {
  try {
    return Object(parseGuestJson(fields, { maxBytes: 16_384, maxDepth: 16 })) as object;
  } catch {
    return {};
  }
}

/** A guest receives what is thrown with a payload as the error of its interface; anything else ends it. */
function forGuest(error: unknown): Error {
  const payload = toGuest(error);
  return Object.assign(new Error(payload.message), { payload });
}
