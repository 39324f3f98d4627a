/**
 * Whether a path is one that a pattern means. The path is judged as it stands and as the far side may read it:
 * a pattern has to cover both, and what servers read differently (`..`, `//`, a backslash, a doubly encoded
 * character) is covered by none.
 */
export function pathFits(pattern: string, pathname: string): boolean {
  const read = decoded(pathname);
  if (read === undefined || /\\|\/\/|[\0-\x1f\x7f]/.test(read) || /\/\.{1,2}(?:[/;]|$)/.test(read))
    return false;
  return covers(pattern, pathname) && covers(decoded(pattern) ?? pattern, read);
}

/** Undefined when it is not text, or is encoded more than once. */
function decoded(pathname: string): string | undefined {
  try {
    const text = decodeURIComponent(pathname);
    return /%[0-9a-f]{2}/i.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function covers(pattern: string, path: string): boolean {
  const rest = pattern.endsWith("*") ? pattern.slice(0, -1) : undefined;
  const wanted = (rest ?? pattern).split("/");
  const given = path.split("/");
  if (rest === undefined && given.length !== wanted.length) return false;
  if (given.length < wanted.length) return false;
  const last = wanted.length - 1;
  return wanted.every((segment, i) =>
    segmentFits(i === last && rest !== undefined ? `${segment}*` : segment, given[i] ?? ""),
  );
}

/** Text with stars, without going back over it more than once for each star: a pattern cannot make this slow. */
function segmentFits(pattern: string, text: string): boolean {
  const parts = pattern.split("*");
  const first = parts.shift() ?? "";
  const last = parts.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
