import { RclawError } from "@rclaw/plugin-sdk";
import { limits } from "./limits.ts";
import { quoted } from "./text.ts";

/** Names that are devices on Windows, whatever the ending. */
const devices = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * A path of a package as its segments, or a refusal. What is left is a plain relative path on every system: a
 * package is refused for a name that would mean something else on another machine, so that it is the same everywhere.
 */
export function segmentsOf(file: string): readonly string[] {
  const refuse = (why: string): never => {
    throw new RclawError(
      "INVALID_REQUEST",
      `the package holds the path ${quoted(file)}, which ${why}. Nothing was installed; tell the plugin's author`,
      { details: { path: quoted(file) } },
    );
  };
  if (file === "") refuse("is empty");
  if (Buffer.byteLength(file) > limits.pathBytes) refuse(`is longer than ${limits.pathBytes} bytes`);
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(file)) refuse("holds control characters");
  if (/[\\:]/.test(file)) refuse("holds a backslash or a colon, which mean a drive or a folder elsewhere");
  if (file.startsWith("/")) refuse("is absolute");
  const segments = file.split("/");
  if (segments.length > limits.depth) refuse(`is deeper than ${limits.depth} folders`);
  for (const segment of segments) {
    if (segment === "..") refuse("leaves the package");
    if (segment === "" || segment === ".") refuse("is no plain path");
    if (segment === "__proto__") refuse("names the prototype of an object");
    if (/[. ]$/.test(segment) || devices.test(segment)) refuse("is no file name on every system");
  }
  return segments;
}

/** Two spellings with one key are one file on some file system. */
const folded = (name: string): string => name.normalize("NFKC").toUpperCase().toLowerCase().normalize("NFC");

/** Remembers what a package holds; refuses what would be there twice, or be both file and folder. */
export function createNames(): { add(file: string, isFolder: boolean): readonly string[] } {
  const seen = new Map<string, { readonly exact: string; readonly isFolder: boolean }>();
  let files = 0;
  let folders = 0;

  function remember(exact: string, isFolder: boolean): void {
    const key = folded(exact);
    const there = seen.get(key);
    if (!there) {
      seen.set(key, { exact, isFolder });
      if (isFolder) folders += 1;
      else files += 1;
      if (files > limits.files || folders > limits.folders)
        throw new RclawError(
          "TOO_LARGE",
          `the package holds more than ${limits.files} files or ${limits.folders} folders. Nothing was installed; bundle it into fewer files`,
        );
      return;
    }
    if (isFolder && there.isFolder && there.exact === exact) return;
    throw new RclawError(
      "INVALID_REQUEST",
      `the package holds ${quoted(exact)} and ${quoted(there.exact)}, which are the same file on some systems. Nothing was installed; tell the plugin's author`,
      { details: { path: quoted(exact) } },
    );
  }

  return {
    add(file, isFolder) {
      const segments = segmentsOf(file);
      for (let depth = 1; depth < segments.length; depth += 1)
        remember(segments.slice(0, depth).join("/"), true);
      remember(file, isFolder);
      return segments;
    },
  };
}
