import { RclawError } from "@rclaw/plugin-sdk";
import { printable } from "@rclaw/plugin-sdk/printable";
import type { PresenceEntry } from "@rclaw/plugin-sdk/services/health";

type Fields = Readonly<Record<string, unknown>>;

export interface Beacon {
  readonly text: string;
  /** It only says how a machine is, which is nothing for the assistant. */
  readonly isNode: boolean;
  readonly wake: { readonly mode: "now" | "next-heartbeat"; readonly sessionKey?: string };
  /** Whose row it changes; undefined when it names nobody. */
  readonly key: string | undefined;
  readonly entry: Omit<PresenceEntry, "ts">;
}

const maxText = 512;
const maxField = 256;
const maxList = 32;
const strings = [
  ...["host", "ip", "version", "platform", "deviceFamily", "modelIdentifier"],
  ...["mode", "reason", "deviceId", "instanceId"],
];

/** What older apps say in one line only. */
const line =
  /^Node:\s*([^ (]+)\s*\(([^)]+)\)\s*·\s*app\s*([^·]+?)\s*·\s*last input\s*(\d{1,9})s ago\s*·\s*mode\s*([^·]+?)\s*·\s*reason\s*(.+)$/i;

/** Reads what apps send; a member of the wrong kind is left out, as OpenClaw does. */
export function readBeacon(params: unknown): Beacon {
  const fields: Fields = typeof params === "object" && params !== null ? (params as Fields) : {};
  const text = typeof fields["text"] === "string" ? fields["text"].trim() : "";
  if (text === "") throw new RclawError("INVALID_REQUEST", "text required");
  const isNode = text.startsWith("Node:");
  if (isNode && fields["wake"] === true)
    throw new RclawError("INVALID_REQUEST", "wake is not supported for node presence events");
  const entry = { ...spoken(text), ...named(fields), text: printable(text, maxText) };
  const { deviceId, instanceId, host, ip } = entry;
  const key = deviceId ?? instanceId ?? host ?? ip ?? (isNode ? text.slice(0, 64) : undefined);
  const sessionKey = typeof fields["sessionKey"] === "string" ? fields["sessionKey"].trim() : "";
  return {
    text,
    isNode,
    wake: {
      mode: fields["wake"] === true ? "now" : "next-heartbeat",
      ...(sessionKey !== "" && { sessionKey }),
    },
    key: key?.toLowerCase(),
    entry,
  };
}

function named(fields: Fields): Partial<PresenceEntry> {
  const given = strings.flatMap((name) => {
    const value = fields[name];
    return typeof value === "string" && value.trim() !== "" ? [[name, shown(value)]] : [];
  });
  const { lastInputSeconds } = fields;
  const roles = listOf(fields["roles"]);
  const scopes = listOf(fields["scopes"]);
  return {
    ...(Object.fromEntries(given) as Partial<PresenceEntry>),
    ...(typeof lastInputSeconds === "number" && Number.isFinite(lastInputSeconds) && { lastInputSeconds }),
    ...(roles && { roles }),
    ...(scopes && { scopes }),
  };
}

function spoken(text: string): Partial<PresenceEntry> {
  // The expression is only for lines of the length that apps write.
  const [, host, ip, version, seconds, mode, reason] = line.exec(text.slice(0, maxText)) ?? [];
  if (host === undefined || ip === undefined || version === undefined || mode === undefined) return {};
  return {
    host: shown(host),
    ip: shown(ip),
    version: shown(version),
    lastInputSeconds: Number(seconds),
    mode: shown(mode),
    reason: shown(reason ?? ""),
  };
}

function listOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.some((item) => typeof item !== "string")) return undefined;
  return (value as readonly string[]).slice(0, maxList).map(shown);
}

const shown = (value: string): string => printable(value.trim(), maxField);
