import { RclawError } from "@rclaw/plugin-sdk";
import { quoted } from "./text.ts";

export type Source =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "url"; readonly url: URL }
  | { readonly kind: "npm"; readonly name: string; readonly version: string | undefined };

const word = "[a-z0-9][a-z0-9._~-]*";
const packageName = new RegExp(`^(?:@${word}/)?${word}$`);
const versionOrTag = /^[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}$/;

const refuse = (source: string, why: string): RclawError =>
  new RclawError(
    "INVALID_REQUEST",
    `${quoted(source)} ${why}. A plugin comes from a package (name or name@version), a folder (./plugin), a .tgz or .wasm file, or an https:// address of a .tgz`,
  );

/** Unencrypted only where nobody stands in between. */
export function isSafeUrl({ protocol, hostname }: URL): boolean {
  if (protocol === "https:") return true;
  return protocol === "http:" && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname);
}

/**
 * What somebody typed, as what it means. A bare word is always a package: a folder of that name, in a repository that
 * one happens to stand in, is only meant when it is written as a path.
 */
export function sourceOf(text: string): Source {
  if (text === "" || text.length > 2_048 || /[\p{Cc}\p{Cf}]/u.test(text))
    throw refuse(text, "is no source of a plugin");
  if (/^https?:\/\//i.test(text)) return urlOf(text);
  if (/^(?:\.{1,2}(?:$|[\\/])|[\\/]|[A-Za-z]:[\\/])/.test(text)) return { kind: "path", path: text };
  const isAlias = text.startsWith("npm:");
  if (!isAlias && /^[a-z][a-z0-9+.-]*:/i.test(text))
    throw refuse(text, "is of a kind that is not taken: what it would bring cannot be pinned");
  const rest = isAlias ? text.slice("npm:".length) : text;
  if (!isAlias && !rest.startsWith("@") && /[\\/]|\.(?:tgz|wasm)$|\.tar\.gz$/.test(rest))
    return { kind: "path", path: rest };
  const at = rest.indexOf("@", 1);
  const name = at === -1 ? rest : rest.slice(0, at);
  const version = at === -1 ? undefined : rest.slice(at + 1);
  if (!packageName.test(name) || name.length > 214 || /(?:^|[@/])(?:node_modules|favicon\.ico)$/.test(name))
    throw refuse(text, "is no name of a package");
  if (version !== undefined && !versionOrTag.test(version))
    throw refuse(text, "asks for a version that is neither exact, such as 1.2.3, nor a tag");
  return { kind: "npm", name, version };
}

/** What has to be reached to fetch it. Named with its port: whoever typed it may mean a machine of their own. */
export function hostsOf(text: string, registry?: string): readonly string[] {
  const source = sourceOf(text);
  if (source.kind === "path") return [];
  const at = source.kind === "url" ? source.url.href : registry;
  if (at === undefined || !URL.canParse(at)) return [];
  const { hostname, port, protocol } = new URL(at);
  return [`${hostname}:${port || (protocol === "http:" ? "80" : "443")}`];
}

function urlOf(text: string): Source {
  if (!URL.canParse(text)) throw refuse(text, "is no address");
  const url = new URL(text);
  // It would stand in the lock, for everybody to read.
  if (url.username || url.password) throw refuse(url.host, "comes with a user name or password");
  if (!isSafeUrl(url)) throw refuse(text, "is not encrypted, so anybody on the way could change it");
  url.hash = "";
  return { kind: "url", url };
}
