import path from "node:path";
import { isKnown, type Scope } from "./scope.ts";
import { placeOf, readArgs } from "./rules.ts";

/**
 * What is refused besides when there is no sandbox: everything that reaches outside the
 * workspace, becomes somebody else, or runs code that cannot be seen in the command itself.
 */
export interface Reach {
  readonly workspace: string;
  readonly scope: Scope;
}

const foreign =
  /^(sudo|doas|su|pkexec|runuser|sg|chroot|nsenter|unshare|setpriv|capsh|docker|podman|nerdctl|kubectl|lxc|machinectl|systemd-run|systemctl|mount|umount|insmod|modprobe|at|batch|crontab|gdb|strace|ltrace|watch|parallel|entr|screen|tmux|script|expect|start-stop-daemon|daemonize|iptables|nft|useradd|usermod|passwd|visudo|kill|killall|pkill|trap|enable|hash|ssh|scp|sftp|rsync|telnet|nc|ncat|socat|ld\.so|ld-.*\.so.*)$/;
const fetching = /^(npx|pnpx|bunx|uvx|pipx)$/;
const changing =
  /^(rm|rmdir|unlink|mv|cp|install|ln|tee|truncate|touch|mkdir|chmod|chown|chgrp|shred|dd|tar|unzip|sed|patch)$/;
/** Why a program with these arguments is refused without a sandbox, or undefined. */
export function strictProblem(program: string, args: readonly string[], reach: Reach): string | undefined {
  if (foreign.test(program)) return `${program} reaches beyond this command`;
  if (hidesItself(program, args)) return "what it starts could not be found and ended with it";
  if (
    fetching.test(program) ||
    /^(npm|pnpm|yarn) (exec|x|dlx|create|init)\b/.test(`${program} ${args[0] ?? ""}`)
  )
    return `${program} fetches a program and runs it`;
  if (/^pip[\d.]*$/.test(program) && args.some((arg) => /^(git\+|https?:)/.test(arg)))
    return `${program} installs from an address`;
  if (!changing.test(program)) return undefined;
  const { operands } = readArgs(args);
  const targets =
    program === "cp" || program === "install" || program === "ln" ? operands.slice(-1) : operands;
  if (/^(tar|unzip|sed|patch)$/.test(program)) {
    return args.some((arg) => /^(-C|--directory|-d|-P|--absolute-names)/.test(arg)) &&
      operands.some((word) => isOutside(word, reach))
      ? `${program} writes outside of the workspace`
      : undefined;
  }
  const words =
    program === "dd" ? args.filter((arg) => arg.startsWith("of=")).map((arg) => arg.slice(3)) : targets;
  const target = words.find((word) => isOutside(word, reach));
  return target === undefined ? undefined : `${program} changes ${target}, which is outside of the workspace`;
}

/** Daemons are found by a variable that they inherit. */
function hidesItself(program: string, args: readonly string[]): boolean {
  if (args.some((arg) => arg.includes("RCLAW_EXEC_ID"))) return true;
  if (program === "env")
    return args.some((arg) => /^(-|-[a-zA-Z]*i[a-zA-Z]*|--ignore-environment)$/.test(arg));
  return program === "exec" && args.some((arg) => /^-[al]*c/.test(arg));
}

/** Where a command may write without a sandbox: the workspace, /tmp, and devices that swallow. */
export function isOutside(word: string, { workspace, scope }: Reach): boolean {
  const place = placeOf(word, scope);
  if (place === undefined) return isKnown(word);
  if (/^\/dev\/(null|stdout|stderr|tty|fd\/\d+|zero)$/.test(place)) return false;
  return ![workspace, "/tmp"].some((folder) => place === folder || place.startsWith(`${folder}/`));
}

/** Files that another shell or program reads later. */
export function isStartFile(word: string): boolean {
  return /^(\.bashrc|\.bash_.*|\.profile|\.zsh.*|\.zprofile|\.npmrc|\.netrc|\.ssh|\.gitconfig|\.env(\..*)?|authorized_keys)$/.test(
    path.posix.basename(word),
  );
}
