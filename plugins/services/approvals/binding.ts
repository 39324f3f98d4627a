import { createHash } from "node:crypto";
import { said } from "./text.ts";

/** What exactly was allowed: the words, where, for whom, and with which environment. */
export interface Binding {
  readonly version: 1;
  readonly argv: readonly string[];
  readonly cwd: string | null;
  readonly agentId: string | null;
  readonly sessionKey: string | null;
  readonly envHash: string | null;
}

/** What a node has made of a command before anybody is asked, in the words of protocol 3 and of 4. */
export interface Plan {
  readonly argv: readonly string[];
  readonly cwd: string | null;
  readonly text: string | null;
  readonly agentId: string | null;
  readonly sessionKey: string | null;
  /** As it came, for the node that made it. */
  readonly given: Readonly<Record<string, unknown>>;
  readonly isNew: boolean;
}

export function planOf(given: unknown): Plan | undefined {
  if (typeof given !== "object" || given === null) return undefined;
  const fields = given as Readonly<Record<string, unknown>>;
  const argv = Array.isArray(fields["argv"]) ? fields["argv"].map(String) : [];
  const isNew = fields["version"] === undefined;
  if (argv.length === 0 || !(isNew || fields["version"] === 2)) return undefined;
  const own = {
    argv,
    cwd: said(fields["cwd"]) ?? null,
    agentId: said(fields["agentId"]) ?? null,
    sessionKey: said(fields["sessionKey"]) ?? null,
  };
  const text = said(fields[isNew ? "commandText" : "rawCommand"]) ?? null;
  return {
    ...own,
    text,
    isNew,
    given: isNew ? { ...fields, ...own } : { version: 2, ...own, rawCommand: text },
  };
}

export function bindingOf({
  argv,
  env,
  ...where
}: {
  argv: readonly string[];
  cwd: unknown;
  agentId: unknown;
  sessionKey: unknown;
  env: unknown;
}): { readonly binding: Binding; readonly envKeys: readonly string[] } {
  const entries = Object.entries(typeof env === "object" && env !== null && !Array.isArray(env) ? env : {})
    .flatMap(([key, value]): [string, string][] =>
      typeof value === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(key.trim()) ? [[key.trim(), value]] : [],
    )
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const envHash =
    entries.length === 0 ? null : createHash("sha256").update(JSON.stringify(entries)).digest("hex");
  return {
    binding: {
      version: 1,
      argv,
      cwd: said(where.cwd) ?? null,
      agentId: said(where.agentId) ?? null,
      sessionKey: said(where.sessionKey) ?? null,
      envHash,
    },
    envKeys: entries.map(([key]) => key),
  };
}

/** Why what is to run is not what was allowed; undefined when it is. */
export function differenceOf(
  allowed: Binding,
  { binding: wanted, envKeys }: { binding: Binding; envKeys: readonly string[] },
): { readonly message: string; readonly details: Readonly<Record<string, unknown>> } | undefined {
  const isSame =
    allowed.argv.length > 0 &&
    allowed.argv.length === wanted.argv.length &&
    allowed.argv.every((word, index) => word === wanted.argv[index]) &&
    allowed.cwd === wanted.cwd &&
    allowed.agentId === wanted.agentId &&
    allowed.sessionKey === wanted.sessionKey;
  if (!isSame)
    return {
      message: "approval id does not match request",
      details: { code: "APPROVAL_REQUEST_MISMATCH" },
    };
  if (allowed.envHash === wanted.envHash) return undefined;
  if (allowed.envHash === null)
    return {
      message: "approval id missing env binding for requested env overrides",
      details: { code: "APPROVAL_ENV_BINDING_MISSING", envKeys },
    };
  return {
    message: "approval id env binding mismatch",
    details: {
      code: "APPROVAL_ENV_MISMATCH",
      envKeys,
      expectedEnvHash: allowed.envHash,
      actualEnvHash: wanted.envHash,
    },
  };
}
