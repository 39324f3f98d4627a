import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { readRegular, walk } from "./digest.ts";
import { manifestName, signatureName } from "./layout.ts";
import { limits, mebibytes } from "./limits.ts";
import { createNames } from "./names.ts";
import { codeOf, own, quoted } from "./text.ts";

/** Never part of a plugin: what other programs keep in a folder, and what would be there twice. */
const never = /(?:^|\/)(?:node_modules$|\.[^/]+$|coverage$)|^[^/]+\.tgz$/;
/** Left out unless `files` of package.json asks for it. */
const tests = /(?:^|\/)(?:tests?|__tests__)$|\.(?:test|spec)\.[cm]?[jt]sx?$/;
const always = /^(?:package\.json|(?:readme|license|licence|changelog|skill)(?:\.[a-z]+)?)$/i;

/** A pattern of package.json's `files`: a file, a folder, `*` within a name, `**` across folders. */
function patternOf(text: string): RegExp {
  const plain = text.replace(/^\.?\//, "").replace(/\/+$/, "");
  const body = plain
    .split("**")
    .map((part) =>
      part
        .split("*")
        .map((word) => word.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"))
        .join("[^/]*"),
    )
    .join(".*");
  return new RegExp(`^${body}(?:/.*)?$`);
}

/** A folder's package.json, as far as it can be read; a plugin need not have one. */
export async function packageJson(folder: string): Promise<unknown> {
  try {
    const text = await readRegular(path.join(folder, "package.json"), limits.manifestBytes);
    return JSON.parse(text.toString("utf8"));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new RclawError(
      "INVALID_REQUEST",
      `package.json of ${quoted(folder)}: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

/** The files of a folder that belong into a package, in order, with their content. */
export async function selectFiles(
  folder: string,
): Promise<{ readonly path: string; readonly content: Buffer }[]> {
  const listed = own(await packageJson(folder), "files");
  const patterns = Array.isArray(listed)
    ? listed.filter((item) => typeof item === "string").map(patternOf)
    : undefined;
  const found = await walk(
    folder,
    (file) => !never.test(file) && file !== signatureName && (patterns !== undefined || !tests.test(file)),
  );
  const names = createNames();
  const selected: { path: string; content: Buffer }[] = [];
  let bytes = 0;
  for (const { path: file, kind, size } of found) {
    const isWanted =
      !patterns || file === manifestName || always.test(file) || patterns.some((item) => item.test(file));
    if (kind === "folder" || !isWanted) continue;
    if (kind === "other")
      throw new RclawError(
        "NOT_REGULAR_FILE",
        `${quoted(path.join(folder, file))} is a link or a device; a plugin holds only files. Put a copy in its place`,
      );
    names.add(file, false);
    bytes += size;
    if (bytes > limits.unpackedBytes)
      throw new RclawError(
        "TOO_LARGE",
        `${quoted(folder)} holds more than ${mebibytes(limits.unpackedBytes)}; is it the plugin's own folder? Name what belongs to it in "files" of its package.json`,
      );
    selected.push({ path: file, content: await readRegular(path.join(folder, file), limits.unpackedBytes) });
  }
  return selected;
}
