import { lstat, mkdir, realpath, rename } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import type { Logger } from "@rclaw/plugin-sdk";

interface DiscardOptions {
  /** Workspaces of the agents that stay. */
  readonly others: readonly string[];
  readonly stateDir: string;
  readonly log: Logger;
}

/**
 * Moves a workspace into the state folder's `trash`, where it can be taken back from. Only a folder
 * inside the state folder or the home goes, and none that something else still needs.
 */
export async function discard(folder: string, { others, stateDir, log }: DiscardOptions): Promise<void> {
  const own = await realpath(folder).catch(() => undefined);
  if (own === undefined) return;
  // A link is somebody's way of saying that the files are kept for another purpose.
  const isLink = (await lstat(folder)).isSymbolicLink();
  const [state = stateDir, home = "/", ...rest] = await Promise.all(
    [stateDir, homedir(), ...others].map((place) => realpath(place).catch(() => path.resolve(place))),
  );
  const isNeeded = [state, ...rest].some((place) => isWithin(own, place) || own === place);
  const isShared = rest.some((place) => isWithin(place, own));
  const isAllowed = isWithin(state, own) || isWithin(home, own);
  if (isLink || isNeeded || isShared || !isAllowed) {
    log.warn({ folder }, "the workspace of a deleted agent stays where it is: it is not its alone");
    return;
  }
  const trash = path.join(stateDir, "trash");
  try {
    await mkdir(trash, { recursive: true, mode: 0o700 });
    await rename(own, path.join(trash, `${path.basename(own)}-${Date.now()}`));
  } catch (error) {
    log.warn({ err: error, folder }, "the workspace of a deleted agent could not be moved to the trash");
  }
}

function isWithin(place: string, inner: string): boolean {
  const relative = path.relative(place, inner);
  return relative !== "" && relative.split(path.sep)[0] !== ".." && !path.isAbsolute(relative);
}
