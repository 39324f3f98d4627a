import { type Manifest, RclawError } from "@rclaw/plugin-sdk";

type Listed = "env" | "secrets" | "tools" | "providers" | "channels" | "methods" | "events";

/** Throws unless the manifest's list of that kind holds the name; the error is the line to add. */
export function require(manifest: Manifest, kind: Listed, name: string): void {
  const list: readonly (string | { readonly name: string })[] = manifest.permissions?.[kind] ?? [];
  if (list.some((entry) => covers(typeof entry === "string" ? entry : entry.name, name))) return;
  throw denied(manifest, `${kind}: [${JSON.stringify(name)}]`, `uses ${kind.replace(/s$/, "")} "${name}"`);
}

export function requireSessions(manifest: Manifest, need: "read" | "write"): void {
  const have = manifest.permissions?.sessions ?? "none";
  if (have === "write" || have === need) return;
  throw denied(manifest, `sessions: "${need}"`, need === "write" ? "writes sessions" : "reads sessions");
}

export function requireClients(manifest: Manifest): void {
  if (manifest.permissions?.clients) return;
  throw denied(manifest, "clients: true", "looks at the gateway's clients");
}

function denied({ id }: Manifest, line: string, what: string): RclawError {
  return new RclawError(
    "PERMISSION_DENIED",
    `plugin "${id}" ${what}, which its manifest does not permit; it needs permissions: { ${line} }`,
    {
      details: { plugin: id, needs: line },
    },
  );
}

function covers(entry: string, name: string): boolean {
  if (entry === "*" || entry === name) return true;
  return entry.endsWith(".*") && name.startsWith(entry.slice(0, -1));
}
