import type { ConfigMethodOptions, KeyPath, LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import { type Caller, defineMethod, RclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { setIn } from "./edit.ts";
import { readConfigFile } from "./load.ts";
import { maxBytes } from "./files.ts";
import { formMethods } from "./form-methods.ts";
import { keepPersonsText } from "./form-text.ts";
import { mergePatch } from "./merge.ts";
import { applyParams, editParams, getParams, patchParams, setParams } from "./methods.schema.ts";
import {
  type CurrentText,
  redactConfig,
  restoreInValue,
  restoreRedacted,
  restoreReferences,
} from "./redact.ts";
import { maxDepth } from "./syntax.ts";
import { dotted, forbiddenKeys, isObject } from "./values.ts";
import { changeBetween } from "./watch.ts";
import { createWriteLimits } from "./write-limit.ts";

interface Replacement {
  readonly method: string;
  readonly caller: Caller;
  readonly baseHash: string | undefined;
  readonly isOnlyLook?: boolean;
}

const maxLookChars = 65_536;

/** `config.*` of the gateway protocol. */
export function configMethods(options: ConfigMethodOptions): KernelMethod[] {
  const { current, write, configure, plugins } = options;
  const { count, countConflict } = createWriteLimits();

  /** One write after the other, so that the hash that was compared is the one that is replaced. */
  const inTurn = createTurns();

  async function replace(
    { method, caller, baseHash, isOnlyLook: needsNoHash = false }: Replacement,
    next: (file: CurrentText) => string,
  ): Promise<{ answer: object; changedPaths: readonly string[]; requiresRestart: boolean }> {
    refusePlugin(method, caller);
    count(method, caller);
    const before = current();
    const file = await readConfigFile(before.path);
    const isLastWriter = needsNoHash && baseHash === undefined;
    if (file.exists && !isLastWriter) requireHash(baseHash, file.hash, () => countConflict(method, caller));
    const raw = next(currentText(file.raw, before));
    // To apply is to make sure that this is what runs, also when somebody has just saved the same by hand.
    const loaded = raw === file.raw && method !== "config.apply" ? before : await write(raw);
    const change = changeBetween(before, loaded);
    const { config } = redactConfig(loaded, plugins());
    return {
      answer: { ok: true, path: loaded.path, hash: loaded.hash, config },
      changedPaths: change?.changedPaths ?? [],
      requiresRestart: (change?.restartNeeded.length ?? 0) > 0,
    };
  }

  /** A client's whole text: what it was not shown, and what it was shown filled in, is put back. */
  const whole =
    (raw: string) =>
    (file: CurrentText): string => {
      parse(raw);
      const text = restoreReferences(restoreRedacted(raw, file, plugins()), file);
      const { source, config } = current();
      return source === "file" ? keepPersonsText(text, file, config) : text;
    };

  const get = defineMethod({
    name: "config.get",
    since: "2026.2.17",
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
    since: "2026.2.17",
    params: setParams,
    handle: ({ params: { raw, baseHash }, caller }) =>
      inTurn(async () => (await replace({ method: "config.set", caller, baseHash }, whole(raw))).answer),
  });
  const apply = defineMethod({
    name: "config.apply",
    since: "2026.2.17",
    params: applyParams,
    handle: ({ params, caller }) =>
      inTurn(async () => {
        const { raw, baseHash } = params;
        const { answer, requiresRestart } = await replace(
          { method: "config.apply", caller, baseHash },
          whole(raw),
        );
        return { ...answer, ...withoutRestart("apply", params, requiresRestart, current().path) };
      }),
  });
  const patch = defineMethod({
    name: "config.patch",
    since: "2026.2.17",
    params: patchParams,
    handle: ({ params, caller }) =>
      inTurn(async () => {
        const { raw, baseHash } = params;
        const { answer, changedPaths, requiresRestart } = await replace(
          { method: "config.patch", caller, baseHash, isOnlyLook: isOnlyLook(raw) },
          (file) => {
            const changes = parse(raw);
            if (!isObject(changes))
              throw new RclawError("INVALID_REQUEST", "config.patch raw must be an object");
            refuseUnsafe(changes, []);
            const before = file.raw ?? "{}\n";
            return setIn(before, [], mergePatch(file.parsed, restoreInValue(changes, file.parsed)));
          },
        );
        const rest = withoutRestart("patch", params, requiresRestart, current().path);
        return { ...answer, changedPaths, ...rest };
      }),
  });
  /** For a person's own request, taken by another plugin: it names places, and needs no text of the file. */
  const edit = defineMethod({
    name: "config.edit",
    since: "rclaw",
    params: editParams,
    handle: ({ params: { values, baseHash }, caller }) =>
      inTurn(async () => {
        refusePlugin("config.edit", caller);
        // Places in a list mean nothing in another text than the one they were counted in.
        if (baseHash !== undefined) requireHash(baseHash, current().hash, () => undefined);
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
    { ...apply, scope: "operator.admin" },
    { ...patch, scope: "operator.admin" },
    ...formMethods(options),
  ];
}

/**
 * OpenClaw's gateway restarts to take a configuration over, and leaves itself a note for afterwards. Here it is in
 * force already: `restart` is null, the note is the same and kept nowhere, and what waits for a start is named.
 */
function withoutRestart(
  word: "apply" | "patch",
  { sessionKey, note }: { readonly sessionKey?: string; readonly note?: string },
  requiresRestart: boolean,
  root: string,
): object {
  const stats = { mode: `config.${word}`, root, requiresRestart };
  const payload = {
    kind: `config-${word}`,
    status: "ok",
    ts: Date.now(),
    sessionKey,
    message: note ?? null,
    stats,
  };
  return { restart: null, sentinel: { path: null, persisted: false, payload } };
}

/** Grants, lanes and tokens stand there: what gives rights is for people. */
function refusePlugin(method: string, { kind, principal }: Caller): void {
  if (kind !== "plugin") return;
  throw new RclawError("PERMISSION_DENIED", `${principal} called ${method}, which is for people only`);
}

/** How a page looks: of two who choose at once the later one is right, and nobody has to read it first. */
function isOnlyLook(raw: string): boolean {
  if (raw.length > maxLookChars) return false;
  let changes: unknown;
  try {
    changes = json5.parse(raw);
  } catch {
    return false;
  }
  if (!isObject(changes) || Object.keys(changes).join() !== "ui") return false;
  const { ui } = changes;
  return isObject(ui) && Object.keys(ui).join() === "prefs" && isObject(ui["prefs"]);
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
  const { resolved } = loaded;
  try {
    return { raw, parsed: raw === null ? {} : json5.parse<unknown>(raw), resolved };
  } catch {
    return { raw, parsed: loaded.unresolved, resolved };
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
