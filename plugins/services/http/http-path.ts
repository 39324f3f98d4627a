/**
 * One spelling for every way to write a path, so that what is decided about one of them
 * holds for all. Decoded exactly once; what would change again if somebody decoded or
 * resolved it a second time is refused.
 */
export type CanonicalPath =
  | { readonly ok: true; readonly path: string; readonly query: string }
  | { readonly ok: false; readonly status: 400 | 404 };

export function canonicalPath(url: string): CanonicalPath {
  const [raw, query] = splitOnce(url.split("#", 1)[0] ?? "", "?");
  if (!raw.startsWith("/")) return { ok: false, status: 400 };
  let decoded: string;
  try {
    decoded = decodeURIComponent(raw);
  } catch {
    return { ok: false, status: 400 };
  }
  if (/%[0-9a-f]{2}/i.test(decoded)) return { ok: false, status: 400 };
  if (/[\p{Cc}\\]/u.test(decoded)) return { ok: false, status: 404 };
  const segments = decoded.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.some((segment) => /^\.\.+$/.test(segment.split(";", 1)[0] ?? "")))
    return { ok: false, status: 404 };
  return { ok: true, path: `/${segments.join("/")}`, query };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
