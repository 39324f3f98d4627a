import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";

/** The refusal for a path that is, or might be, outside the workspace. */
export function outside(file: string, why: string): RclawError {
  return new RclawError(
    "PATH_OUTSIDE_WORKSPACE",
    `"${printable(file)}" ${why}. Use a path inside the workspace, relative to it.`,
    { details: { path: printable(file) } },
  );
}

/**
 * Splits what a caller wrote into names below the root, or refuses it. Spellings that other
 * programs expand (`~`, `@/`, `file://`) are refused rather than taken as odd file names: who
 * writes them means a place outside.
 */
export function namesBelow(roots: readonly string[], file: string): readonly string[] {
  if (file === "")
    throw new RclawError("INVALID_REQUEST", 'The path is empty. Use "." for the workspace itself.');
  if (file.includes("\0")) throw outside(file, "contains a NUL character");
  if (file.length > 4096) throw outside(file, "is longer than any path may be");
  if (/^(~|@[/\\]|\\\\|[a-z][a-z0-9+.-]+:\/)/i.test(file)) throw outside(file, "is not a plain path");
  const first = roots[0] ?? path.sep;
  const absolute = path.resolve(first, file);
  for (const root of roots) {
    const relative = path.relative(root, absolute);
    if (relative === "") return [];
    if (relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative))
      return relative.split(path.sep);
  }
  throw outside(file, "leaves the workspace");
}

const protectedNames = new Set(
  (
    ".bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv .zprofile .zlogin " +
    ".npmrc .yarnrc .yarnrc.yml .pypirc .netrc _netrc .ssh .gnupg .aws .gitconfig .gitmodules .envrc " +
    ".husky .exrc .vimrc .gdbinit .lldbinit .pam_environment"
  ).split(" "),
);

/** Case, compatibility forms, invisible characters and trailing dots make two spellings of one name on some file systems. */
function folded(name: string): string {
  return name
    .normalize("NFKD")
    .replaceAll(/\p{Cf}|\p{Mn}/gu, "")
    .toLowerCase()
    .replace(/[. ]+$/, "");
}

/**
 * Why a file must not be changed, or undefined. These are files that another program
 * runs or trusts later, outside of any sandbox: writing one is running code as the user.
 */
export function protectedReason(names: readonly string[]): string | undefined {
  const plain = names.map(folded);
  for (const [index, name] of plain.entries()) {
    if (protectedNames.has(name) || /^\.env(\..+)?$/.test(name) || name === ".rusty_claw")
      return `"${printable(names[index] ?? "")}"`;
    // Modules and worktrees keep their own hooks below .git/modules/<name>/ and .git/worktrees/<name>/.
    if (
      (name === ".git" || name === "git~1") &&
      plain.slice(index + 1).some((part) => part === "hooks" || part.startsWith("config"))
    ) {
      return "git's hooks and configuration";
    }
    if ((name === ".git" || name === "git~1") && index === plain.length - 1) return '".git"';
  }
  return undefined;
}

/** A path for a message: no control characters, not endless. */
export function printable(file: string): string {
  const plain = file.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return plain.length > 200 ? `${plain.slice(0, 200)}...` : plain;
}
