import type { ConfigMethodOptions, KeyPath, LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import { type Caller, defineMethod, RclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { setIn } from "./edit.ts";
import { readConfigFile } from "./load.ts";
import { maxBytes } from "./files.ts";
import { editParams, getParams, patchParams, setParams } from "./methods.schema.ts";
import { type CurrentText, redactConfig, restoreInValue, restoreRedacted } from "./redact.ts";
import { maxDepth } from "./syntax.ts";
import { dotted, forbiddenKeys, isObject } from "./values.ts";

/** `config.get`, `config.set` and `config.patch` of the gateway protocol. */
export function configMethods({ current, write, configure, plugins }: ConfigMethodOptions): KernelMethod[] {
  let last: Promise<unknown> = Promise.resolve();
  const { count, countConflict } = createWriteLimit();

  /** One write after the other, so that the hash that was compared is the one that is replaced. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = last.then(task);
    last = result.catch(() => undefined);
    return result;
  }

  async function replace(
    { method, caller, baseHash }: { method: string; caller: Caller; baseHash: string | undefined },
    next: (file: CurrentText) => string,
  ): Promise<unknown> {
    refusePlugin(method, caller);
    count(method, caller);
    const file = await readConfigFile(current().path);
    if (file.exists) requireHash(baseHash, file.hash, () => countConflict(method, caller));
    const raw = next(currentText(file.raw, current()));
    const loaded = raw === file.raw ? current() : await write(raw);
    return { ok: true, path: loaded.path, config: redactConfig(loaded, plugins()).config };
  }

  const get = defineMethod({
    name: "config.get",
    params: getParams,
    handle: async () => {
      const loaded = current();
      const { path, exists, hash, issues, warnings } = loaded;
      const { raw, parsed, resolved, config } = redactConfig(loaded, plugins());
      const valid = issues.length === 0;
      return { path, exists, raw, parsed, resolved, valid, config, hash, issues, warnings, legacyIssues: [] };
    },
  });
  const set = defineMethod({
    name: "config.set",
    params: setParams,
    handle: ({ params: { raw, baseHash }, caller }) =>
      inTurn(() =>
        replace({ method: "config.set", caller, baseHash }, (file) => {
          parse(raw);
          return restoreRedacted(raw, file, plugins());
        }),
      ),
  });
  const patch = defineMethod({
    name: "config.patch",
    params: patchParams,
    handle: ({ params: { raw, baseHash }, caller }) =>
      inTurn(() =>
        replace({ method: "config.patch", caller, baseHash }, (file) => {
          const changes = parse(raw);
          if (!isObject(changes))
            throw new RclawError("INVALID_REQUEST", "config.patch raw must be an object");
          refuseUnsafe(changes, []);
          const before = file.raw ?? "{}\n";
          return setIn(before, [], mergePatch(file.parsed, restoreInValue(changes, file.parsed)));
        }),
      ),
  });
  /** For a person's own request, taken by another plugin: it names places, and needs no text of the file. */
  const edit = defineMethod({
    name: "config.edit",
    since: "rclaw",
    params: editParams,
    handle: ({ params: { values }, caller }) =>
      inTurn(async () => {
        refusePlugin("config.edit", caller);
        for (const { path, value } of values) {
          // As if it were the patch that sets it, so that the place is judged like the value.
          refuseUnsafe(
            path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value),
            [],
          );
        }
        await configure(values);
        return { ok: true };
      }),
  });
  return [
    { ...edit, scope: "operator.admin" },
    { ...get, scope: "operator.read" },
    { ...set, scope: "operator.admin" },
    { ...patch, scope: "operator.admin" },
  ];
}

/** Grants, lanes and tokens stand there: what gives rights is for people. */
function refusePlugin(method: string, { kind, principal }: Caller): void {
  if (kind !== "plugin") return;
  throw new RclawError("PERMISSION_DENIED", `${principal} called ${method}, which is for people only`);
}

/** Who writes in a loop is stopped; who keeps patching what somebody else has changed is, as in OpenClaw, stopped sooner. */
const perMinute = { write: 30, conflict: 3 };

type Kind = keyof typeof perMinute;
type Count = (method: string, caller: Caller) => void;

/** Refuses a client that goes on too long, in the words OpenClaw's clients know. */
function createWriteLimit(): { count: Count; countConflict: Count } {
  const recent = new Map<string, readonly number[]>();
  // All command lines share one principal: one that comes too late must not shut out the next.
  const keyOf = (kind: Kind, method: string, { principal, connId = "" }: Caller): string =>
    `${kind} ${method} ${kind === "write" ? principal : connId}`;
  const add = (kind: Kind, method: string, caller: Caller): void => {
    const key = keyOf(kind, method, caller);
    recent.set(key, [...(recent.get(key) ?? []), Date.now()].slice(-perMinute[kind]));
  };

  function check(kind: Kind, method: string, caller: Caller): void {
    const now = Date.now();
    const times = (recent.get(keyOf(kind, method, caller)) ?? []).filter((at) => at > now - 60_000);
    const [oldest = now] = times;
    if (times.length < perMinute[kind]) return;
    const retryAfterMs = oldest + 60_000 - now;
    const message = `rate limit exceeded for ${method}; retry after ${Math.ceil(retryAfterMs / 1_000)}s`;
    const details = { method, limit: `${perMinute[kind]} per 60s`, retryAfterMs };
    throw new RclawError("UNAVAILABLE", message, { retryable: true, details });
  }

  return {
    count(method, caller) {
      if (caller.kind !== "client") return;
      for (const [key, times] of recent) if ((times.at(-1) ?? 0) <= Date.now() - 60_000) recent.delete(key);
      check("conflict", method, caller);
      check("write", method, caller);
      add("write", method, caller);
    },
    countConflict(method, caller) {
      if (caller.kind === "client" && method === "config.patch") add("conflict", method, caller);
    },
  };
}

function requireHash(baseHash: string | undefined, hash: string | null, onConflict: () => void): void {
  if (baseHash === undefined)
    throw new RclawError("INVALID_REQUEST", "config base hash required; re-run config.get and retry");
  if (baseHash === hash) return;
  onConflict();
  throw new RclawError("INVALID_REQUEST", "config changed since last load; re-run config.get and retry");
}

/** The file itself: it may be newer than what is loaded. A broken one has no values; what the gateway runs on has. */
function currentText(raw: string | null, loaded: LoadedConfig): CurrentText {
  try {
    return { raw, parsed: raw === null ? {} : json5.parse<unknown>(raw) };
  } catch {
    return { raw, parsed: loaded.unresolved };
  }
}

function parse(raw: string): unknown {
  if (Buffer.byteLength(raw) > maxBytes)
    throw new RclawError("TOO_LARGE", `the configuration is larger than ${maxBytes} bytes`);
  try {
    return json5.parse<unknown>(raw);
  } catch (error) {
    throw new RclawError("INVALID_REQUEST", String(error), { cause: error });
  }
}

function refuse(path: KeyPath, message: string): never {
  throw new RclawError("INVALID_REQUEST", "invalid config", {
    details: { issues: [{ path: dotted(path), message }] },
  });
}

function refuseUnsafe(value: unknown, path: KeyPath): void {
  if (path.length > maxDepth) refuse(path.slice(0, 1), `is nested deeper than ${maxDepth} levels`);
  if (Array.isArray(value)) value.forEach((item, index) => refuseUnsafe(item, [...path, index]));
  if (!isObject(value)) return;
  for (const [key, item] of Object.entries(value)) {
    const here = [...path, key];
    if (forbiddenKeys.has(key)) refuse(here, `the key "${key}" is not allowed`);
    refuseUnsafe(item, here);
  }
}

/** RFC 7396, and as in OpenClaw lists whose elements have an `id` are merged element by element. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (Array.isArray(target) && Array.isArray(patch) && [...target, ...patch].every(hasId))
    return mergeById(target, patch);
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (forbiddenKeys.has(key)) continue;
    if (value === null) delete result[key];
    else result[key] = mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value);
  }
  return result;
}

function hasId(item: unknown): item is { id: string } {
  return isObject(item) && typeof item["id"] === "string";
}

function mergeById(target: readonly { id: string }[], patch: readonly { id: string }[]): unknown[] {
  const merged = target.map((item) =>
    patch.filter(({ id }) => id === item.id).reduce<unknown>(mergePatch, item),
  );
  const added = patch.filter(({ id }) => !target.some((item) => item.id === id));
  return [...merged, ...added.map((item) => mergePatch({}, item))];
}
