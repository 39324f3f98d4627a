import { RclawError, type SessionEntry } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { patchParams } from "./methods.schema.ts";

export type PatchParams = Static<typeof patchParams>;

export interface PatchPlace {
  /** Canonical. */
  readonly key: string;
  readonly entry: SessionEntry | undefined;
  readonly defaults: { readonly modelProvider?: string | undefined; readonly model?: string | undefined };
  readonly now: number;
  /** Another session has this label. */
  isLabelTaken(label: string): boolean;
}

type Fields = Record<string, unknown>;

const maxLabel = 64;
const asGiven = ["sendPolicy", "groupActivation", "fastMode", "category", "icon", "color"] as const;
// Other spellings that people type and OpenClaw takes.
const thinkingSpellings: Readonly<Record<string, string>> = {
  none: "off",
  min: "minimal",
  on: "low",
  enable: "low",
  med: "medium",
  mid: "medium",
  highest: "high",
  max: "high",
  "x-high": "xhigh",
  x_high: "xhigh",
};
const onOff: Readonly<Record<string, string>> = { true: "on", yes: "on", false: "off", no: "off" };

/** The entry's changes that a `sessions.patch` asks for; `null` removes a field. Throws INVALID_REQUEST in the protocol's words. */
export function patchFields(params: PatchParams, place: PatchPlace): Readonly<Record<string, unknown>> {
  const fields: Fields = {};
  if (params.label !== undefined) fields["label"] = labelOf(params.label, place);
  // "xhigh" is not in the text, which the protocol fixes, but providers that know it may be asked for it.
  level(fields, "thinkingLevel", params.thinkingLevel, {
    levels: ["off", "minimal", "low", "medium", "high", "xhigh"],
    spellings: thinkingSpellings,
    use: "off|minimal|low|medium|high",
  });
  level(fields, "verboseLevel", params.verboseLevel, {
    levels: ["on", "off", "full"],
    spellings: onOff,
    use: '"on"|"off"',
  });
  level(fields, "reasoningLevel", params.reasoningLevel, {
    levels: ["on", "off", "stream"],
    spellings: onOff,
    use: '"on"|"off"|"stream"',
    removedBy: "off",
  });
  level(fields, "elevatedLevel", params.elevatedLevel, {
    levels: ["on", "off", "ask", "full"],
    spellings: onOff,
    use: '"on"|"off"|"ask"|"full"',
  });
  level(fields, "responseUsage", params.responseUsage, {
    levels: ["off", "tokens", "full"],
    spellings: { on: "tokens" },
    use: '"off"|"tokens"|"full"',
    removedBy: "off",
  });
  level(fields, "execHost", params.execHost, {
    levels: ["sandbox", "gateway", "node"],
    use: '"sandbox"|"gateway"|"node"',
  });
  level(fields, "execSecurity", params.execSecurity, {
    levels: ["deny", "allowlist", "full"],
    use: '"deny"|"allowlist"|"full"',
  });
  level(fields, "execAsk", params.execAsk, {
    levels: ["off", "on-miss", "always"],
    use: '"off"|"on-miss"|"always"',
  });
  text(fields, "execNode", params.execNode);
  text(fields, "traceLevel", params.traceLevel);
  model(fields, params.model, place);
  for (const name of asGiven) {
    if (params[name] !== undefined) fields[name] = params[name];
  }
  // Not pinned is the same as never having been.
  for (const name of ["pinned", "archived"] as const) {
    if (params[name] !== undefined) fields[name] = params[name] || null;
  }
  unread(fields, params, place);
  if (params.permissionMode)
    throw refused(
      "permission modes are not available on this gateway; tools.profile and exec approvals say what the assistant may do",
    );
  for (const name of [
    "spawnedBy",
    "spawnDepth",
    "spawnedWorkspaceDir",
    "subagentRole",
    "subagentControlScope",
  ] as const) {
    writeOnce(fields, name, params[name], place);
  }
  return fields;
}

/** `provider/model` as the session will ask for it. */
export function resolvedModel(
  entry: SessionEntry | undefined,
  defaults: PatchPlace["defaults"],
): { modelProvider?: string; model?: string } {
  const modelProvider =
    entry?.providerOverride ??
    (entry?.modelOverride === undefined ? textOf(entry, "modelProvider") : undefined) ??
    defaults.modelProvider;
  const name = entry?.modelOverride ?? textOf(entry, "model") ?? defaults.model;
  return {
    ...(modelProvider !== undefined && { modelProvider }),
    ...(name !== undefined && { model: name }),
  };
}

/** Who opens a session has read it, but not what somebody marked as unread meanwhile. */
function unread(
  fields: Fields,
  { unread: wanted, expectedMarkedUnreadAt }: PatchParams,
  place: PatchPlace,
): void {
  const markedAt = place.entry?.["markedUnreadAt"] ?? null;
  const isLate = expectedMarkedUnreadAt !== undefined && expectedMarkedUnreadAt !== markedAt;
  if (wanted === undefined || (!wanted && isLate)) return;
  fields["unread"] = wanted || null;
  fields["markedUnreadAt"] = wanted ? place.now : null;
}

interface Level {
  readonly levels: readonly string[];
  readonly spellings?: Readonly<Record<string, string>>;
  readonly use: string;
  /** The value that is the same as no value. */
  readonly removedBy?: string;
}

function level(
  fields: Fields,
  name: string,
  given: string | null | undefined,
  { levels, spellings = {}, use, removedBy }: Level,
): void {
  if (given === undefined) return;
  const typed = given?.trim().toLowerCase();
  const value = typed !== undefined && Object.hasOwn(spellings, typed) ? spellings[typed] : typed;
  if (value !== undefined && !levels.includes(value)) throw refused(`invalid ${name} (use ${use})`);
  fields[name] = value === undefined || value === removedBy ? null : value;
}

function text(fields: Fields, name: string, given: string | null | undefined): void {
  if (given === undefined) return;
  const value = given?.trim();
  if (value === "") throw refused(`invalid ${name}: empty`);
  fields[name] = value ?? null;
}

function labelOf(given: string | null, { isLabelTaken }: PatchPlace): string | null {
  if (given === null) return null;
  const label = given.trim();
  if (label === "") throw refused("invalid label: empty");
  if (label.length > maxLabel) throw refused(`invalid label: too long (max ${maxLabel})`);
  if (isLabelTaken(label)) throw refused(`label already in use: ${label}`);
  return label;
}

/** The default model is stored as no choice at all, so that the session follows when the default changes. */
function model(fields: Fields, given: string | null | undefined, { entry, defaults }: PatchPlace): void {
  if (given === undefined) return;
  const value = given?.trim();
  if (value === "") throw refused("invalid model: empty");
  const slash = value?.indexOf("/") ?? -1;
  const provider = slash > 0 ? value?.slice(0, slash) : (entry?.providerOverride ?? defaults.modelProvider);
  const name = slash > 0 ? value?.slice(slash + 1) : value;
  if (name === "") throw refused("invalid model: empty");
  if (slash === 0) throw refused(`invalid model: ${value} (use provider/model)`);
  const isDefault = name === undefined || (name === defaults.model && provider === defaults.modelProvider);
  fields["modelOverride"] = isDefault ? null : name;
  fields["providerOverride"] = isDefault ? null : (provider ?? null);
  // What the last run used says nothing about the next one any more.
  for (const stale of ["model", "modelProvider", "contextTokens"])
    if (entry?.[stale] !== undefined) fields[stale] = null;
}

function writeOnce(
  fields: Fields,
  name: string,
  given: string | number | null | undefined,
  { key, entry }: PatchPlace,
): void {
  if (given === undefined) return;
  const before = entry?.[name];
  if (given === null) {
    if (before !== undefined) throw refused(`${name} cannot be cleared once set`);
    return;
  }
  const value = typeof given === "string" ? given.trim() : given;
  if (value === "") throw refused(`invalid ${name}: empty`);
  if (!key.includes(":subagent:")) throw refused(`${name} is only supported for subagent:* sessions`);
  if (before !== undefined && before !== value) throw refused(`${name} cannot be changed once set`);
  fields[name] = value;
}

function textOf(entry: SessionEntry | undefined, name: string): string | undefined {
  const value = entry?.[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function refused(message: string): RclawError {
  return new RclawError("INVALID_REQUEST", message);
}
