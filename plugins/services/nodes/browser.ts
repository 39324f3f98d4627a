import { RclawError } from "@rclaw/plugin-sdk";
import type { LiveNode } from "./live.ts";
import type { NodesConfig } from "./policy.ts";

export interface BrowserRequest {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

/** The params as `browser.request` takes them: it looks at what it knows and at nothing else. */
export function browserRequestOf(params: Readonly<Record<string, unknown>>): BrowserRequest {
  const { query, body, timeoutMs } = params;
  const method = typeof params["method"] === "string" ? params["method"].trim().toUpperCase() : "";
  const path = typeof params["path"] === "string" ? params["path"].trim() : "";
  if (method === "" || path === "") throw new RclawError("INVALID_REQUEST", "method and path are required");
  if (!["GET", "POST", "DELETE"].includes(method))
    throw new RclawError("INVALID_REQUEST", "method must be GET, POST, or DELETE");
  return {
    method,
    path,
    ...(typeof query === "object" && query !== null && { query: query as Record<string, unknown> }),
    ...(body !== undefined && { body }),
    ...(typeof timeoutMs === "number" &&
      Number.isFinite(timeoutMs) && { timeoutMs: Math.max(1, Math.floor(timeoutMs)) }),
  };
}

/** The node whose browser is meant; undefined when there is none, or nobody can tell which. */
export function browserNode(nodes: readonly LiveNode[], { browser }: NodesConfig): LiveNode | undefined {
  if (browser.mode === "off") return undefined;
  const able = nodes.filter(
    ({ claim: { caps, commands } }) => caps.includes("browser") || commands.includes("browser.proxy"),
  );
  const wanted = browser.node?.trim() ?? "";
  if (wanted === "") return browser.mode === "auto" && able.length === 1 ? able[0] : undefined;
  if (able.length === 0) throw unavailable("No connected browser-capable nodes.");
  const found = able.filter((node) => isMeant(node, wanted));
  if (found.length > 1) {
    const names = found.map(({ claim, remoteIp, nodeId }) => claim.client.displayName ?? remoteIp ?? nodeId);
    throw unavailable(`ambiguous node: ${wanted} (matches: ${names.join(", ")})`);
  }
  if (!found[0]) throw unavailable(`Configured browser node not connected: ${wanted}`);
  return found[0];
}

function isMeant({ nodeId, remoteIp, claim }: LiveNode, wanted: string): boolean {
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "");
  const name = claim.client.displayName ?? "";
  if (nodeId === wanted || remoteIp === wanted) return true;
  if (name !== "" && plain(name) === plain(wanted)) return true;
  return wanted.length >= 6 && nodeId.startsWith(wanted);
}

/** What changes the node's own browser profiles for good: whoever may merely write must not. */
export function changesProfiles(params: unknown): boolean {
  if (typeof params !== "object" || params === null) return false;
  const { method, path } = params as { method?: unknown; path?: unknown };
  if (typeof method !== "string" || typeof path !== "string") return false;
  const verb = method.trim().toUpperCase();
  const place = `/${path.trim()}`.replaceAll(/\/{2,}/g, "/").replace(/(?<=.)\/$/, "");
  if (verb === "POST") return place === "/profiles/create" || place === "/reset-profile";
  return verb === "DELETE" && /^\/profiles\/[^/]+$/.test(place);
}

export const proxyParams = ({ query, ...request }: BrowserRequest): object => ({
  ...request,
  ...(query && { query }),
  ...(typeof query?.["profile"] === "string" && { profile: query["profile"] }),
});

/** What the node's browser answered. */
export function proxyResult(payload: unknown): unknown {
  if (typeof payload === "object" && payload !== null && "result" in payload) return payload.result;
  throw unavailable("browser proxy failed");
}

export const unavailable = (message: string): RclawError => new RclawError("UNAVAILABLE", message);
