import { RclawError } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { SessionList } from "./listing.ts";
import type { resolveParams } from "./methods.schema.ts";
import type { SessionStore } from "./store.ts";

type ResolveParams = Static<typeof resolveParams>;

const maxLabel = 64;

/** `sessions.resolve`: the one session that a key, an id or a label means. */
export function resolveKey(
  params: ResolveParams,
  { store, list }: { readonly store: SessionStore; readonly list: SessionList },
): object {
  const key = (params.key ?? params.reference?.key)?.trim() ?? "";
  const sessionId = params.sessionId?.trim() ?? "";
  const label = params.label?.trim() ?? "";
  const shortId = params.shortId?.trim().toLowerCase() ?? "";
  const given = [key, sessionId, label, shortId].filter((value) => value !== "");
  if (given.length > 1) throw refused("Provide either key, sessionId, or label (not multiple)");
  if (given.length === 0) throw refused("Either key, sessionId, or label is required");
  const missing = (message: string): object => {
    if (params.allowMissing) return { ok: false };
    throw refused(message);
  };
  if (key !== "") {
    const canonical = store.canonical(key);
    return store.find(canonical) ? { ok: true, key: canonical } : missing(`No session found: ${key}`);
  }
  if (label.length > maxLabel) throw refused(`invalid label: too long (max ${maxLabel})`);
  const found = list.matching(params, ({ entry, key: own }) => {
    if (label !== "") return entry.label === label;
    if (shortId !== "") return own.slice(own.lastIndexOf(":") + 1).startsWith(shortId);
    return entry.sessionId === sessionId || own === sessionId;
  });
  const [only] = found;
  const what = label === "" ? "sessionId" : "label";
  const value = label || sessionId || shortId;
  if (only === undefined)
    return missing(label === "" ? `No session found: ${value}` : `No session found with label: ${value}`);
  if (found.length > 1)
    throw refused(
      `Multiple sessions found for ${what}: ${value} (${found.join(", ")})`.replace(
        "for label",
        "with label",
      ),
    );
  return { ok: true, key: only };
}

function refused(message: string): RclawError {
  return new RclawError("INVALID_REQUEST", message);
}
