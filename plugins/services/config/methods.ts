import type { ConfigMethodOptions, KeyPath, LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import { type Caller, defineMethod, RclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { setIn } from "./edit.ts";
import { readConfigFile } from "./load.ts";
import { maxBytes } from "./files.ts";
import { getParams, patchParams, setParams } from "./methods.schema.ts";
import { type CurrentText, redactConfig, restoreInValue, restoreRedacted } from "./redact.ts";
import { maxDepth } from "./syntax.ts";
import { dotted, forbiddenKeys, isObject } from "./values.ts";

/** `config.get`, `config.set` and `config.patch` of the gateway protocol. */
export function configMethods({ current, write, plugins }: ConfigMethodOptions): KernelMethod[] {
  let last: Promise<unknown> = Promise.resolve();
  const countWrite = createWriteLimit();

  /** One write after the other, so that the hash that was compared is the one that is replaced. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = last.then(task);
    last = result.catch(() => undefined);
    return result;
  }

  async function replace(
    baseHash: string | undefined,
    next: (file: CurrentText) => string,
  ): Promise<unknown> {
    const file = await readConfigFile(current().path);
    if (file.exists) requireHash(baseHash, file.hash);
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
      inTurn(() => {
        countWrite("config.set", caller);
        return replace(baseHash, (file) => {
          parse(raw);
          return restoreRedacted(raw, file, plugins());
        });
      }),
  });
  const patch = defineMethod({
    name: "config.patch",
    params: patchParams,
    handle: ({ params: { raw, baseHash }, caller }) =>
      inTurn(() => {
        countWrite("config.patch", caller);
        return replace(baseHash, (file) => {
          const changes = parse(raw);
          if (!isObject(changes))
            throw new RclawError("INVALID_REQUEST", "config.patch raw must be an object");
          refuseUnsafe(changes, []);
          const before = file.raw ?? "{}\n";
          return setIn(before, [], mergePatch(file.parsed, restoreInValue(changes, file.parsed)));
        });
      }),
  });
  return [
    { ...get, scope: "operator.read" },
    { ...set, scope: "operator.admin" },
    { ...patch, scope: "operator.admin" },
  ];
}

const writesPerMinute = 30;

/** Refuses a client that writes in a loop, in the words OpenClaw's clients know. */
function createWriteLimit(): (method: string, caller: Caller) => void {
  const recent = new Map<string, readonly number[]>();
  return (method, { kind, principal }) => {
    if (kind !== "client") return;
    const now = Date.now();
    for (const [key, times] of recent) if ((times.at(-1) ?? 0) <= now - 60_000) recent.delete(key);
    const key = `${method} ${principal}`;
    const times = (recent.get(key) ?? []).filter((at) => at > now - 60_000);
    const [oldest = now] = times;
    recent.set(key, times.length < writesPerMinute ? [...times, now] : times);
    if (times.length < writesPerMinute) return;
    const retryAfterMs = oldest + 60_000 - now;
    const message = `rate limit exceeded for ${method}; retry after ${Math.ceil(retryAfterMs / 1_000)}s`;
    const details = { method, limit: `${writesPerMinute} per 60s`, retryAfterMs };
    throw new RclawError("UNAVAILABLE", message, { retryable: true, details });
  };
}

function requireHash(baseHash: string | undefined, hash: string | null): void {
  if (baseHash === undefined)
    throw new RclawError("INVALID_REQUEST", "config base hash required; re-run config.get and retry");
  if (baseHash !== hash)
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
