import path from "node:path";
import { isKnown, type Scope } from "./scope.ts";

/** Options and operands of a command line in GNU style, where they may stand in any order. */
export interface Args {
  readonly short: string;
  readonly long: readonly string[];
  readonly operands: readonly string[];
}

export function readArgs(args: readonly string[]): Args {
  const end = args.indexOf("--");
  const before = end === -1 ? args : args.slice(0, end);
  const isOption = (arg: string) => arg.startsWith("-") && arg !== "-";
  return {
    short: before
      .filter((arg) => isOption(arg) && !arg.startsWith("--"))
      .map((arg) => arg.slice(1))
      .join(""),
    long: before.filter((arg) => arg.startsWith("--")),
    operands: [...before.filter((arg) => !isOption(arg)), ...(end === -1 ? [] : args.slice(end + 1))],
  };
}

const systemFolders = new Set(
  (
    "bin boot dev etc home lib lib32 lib64 media mnt opt proc root run sbin srv sys usr var " +
    "Applications Library System Users Volumes private"
  )
    .split(" ")
    .map((name) => `/${name}`),
);

/** Where a word points to, links made by the same command followed; undefined when that is not known. */
export function placeOf(word: string, scope: Scope): string | undefined {
  if (!isKnown(word)) return undefined;
  if (!word.startsWith("/") && !isKnown(scope.cwd)) return undefined;
  let place = path.posix.resolve(scope.cwd, word);
  for (let links = 0; links < 8; links += 1) {
    const link = [...scope.links].find(([from]) => place === from || place.startsWith(`${from}/`));
    if (link === undefined) return place;
    place = path.posix.resolve(path.posix.dirname(link[0]), link[1], `.${place.slice(link[0].length)}`);
  }
  return undefined;
}

/** The root, a home or a folder of the system, or everything in one of them. */
export function isVital(word: string, scope: Scope): boolean {
  const place = placeOf(word, scope);
  if (place === undefined) return false;
  const allInside =
    /^[*?.[\]!{},^]+$/.test(path.posix.basename(place)) && /[*?[{]/.test(path.posix.basename(place));
  const folder = (allInside ? path.posix.dirname(place) : place).replace(
    /^\/proc\/[^/]+\/(root|cwd)(?=\/|$)\/?/,
    "/",
  );
  if (folder === "/" || systemFolders.has(folder) || /^\/(home|Users)\/[^/]+$/.test(folder)) return true;
  if (folder === scope.variables.get("HOME") && folder !== "/tmp") return true;
  // "/e*" may be /etc as well as anything else.
  return /^\/[^/]*[*?[][^/]*$/.test(folder);
}

const harmlessDevices =
  /^\/dev\/(null|zero|full|random|urandom|tty|stdin|stdout|stderr|fd(\/.*)?|shm\/.+|pts\/.+|tcp\/.*|udp\/.*)$/;
const blockDevices =
  /^\/dev\/(sd|hd|vd|xvd|nvme|mmcblk|disk|dm-|md|mapper|loop|ram|zram|nbd|sr|rdisk|mem$|kmem$|port$|mtd)/;

/** Why this must not be opened for writing, or undefined. */
export function writeProblem(word: string, scope: Scope): string | undefined {
  const place = placeOf(word, scope) ?? word;
  if (blockDevices.test(place)) return `it writes to the device ${word}`;
  if (/^\/proc\/(sysrq-trigger|sys\/kernel\/sysrq)$/.test(place))
    return "it can restart the machine through /proc";
  return undefined;
}

/** Programs, and the options with which they overwrite a device. */
const destroying: readonly (readonly [RegExp, RegExp])[] = [
  [/^sgdisk$/, /^(-\w*[Zzo]|--zap|--clear)/],
  [/^parted$/, /^(mklabel|mktable|mkpart|rm)$/],
  [/^cryptsetup$/, /^(luksFormat|luksErase|erase|reencrypt)$/],
  [/^hdparm$/, /^--(security-erase|trim-sector|write-sector|make-bad)/],
  [/^nvme$/, /^(format|sanitize|write-zeroes)$/],
  [/^badblocks$/, /^-\w*w/],
  [/^zpool$/, /^(destroy|labelclear)$/],
];

/** The files that a program is told to write. */
function writtenBy(program: string, args: readonly string[], operands: readonly string[]): readonly string[] {
  if (/^(rm|shred|srm|wipe|mv|tee|install|truncate|unlink|sponge)$/.test(program)) return operands;
  if (program === "cp") return operands.slice(-1);
  if (program === "sfdisk" || program === "fdisk")
    return args.some((arg) => /^(-\w*[ldxs]|--(list|dump|show|version|help))/.test(arg)) ? [] : operands;
  if (program !== "curl" && program !== "wget") return [];
  return args.filter((_, index) => /^(-\w*[oO]|--output|--output-document)$/.test(args[index - 1] ?? ""));
}

const stopping =
  /^((poweroff|reboot|halt|kexec|soft-reboot)(\.target)?|(shutdown|rescue|emergency|runlevel[06])\.target)$/;

/** The hard-deny list: why this command never runs, in a sandbox or not. */
export function problemOf(program: string, args: readonly string[], scope: Scope): string | undefined {
  const { short, long, operands } = readArgs(args);
  const vital = (words: readonly string[]) => words.find((word) => isVital(word, scope));
  const hasLong = (name: string) =>
    long.some((option) => option.length > 3 && name.startsWith(option.replace(/=.*/, "")));
  const recursive = /r/i.test(short) || hasLong("--recursive");
  const onlyAsks = args.length === 1 && /^(--help|--version|-V)$/.test(args[0] ?? "");
  if (/^(mkfs(\..+)?|mke2fs|mkdosfs|mkntfs|mkswap|wipefs|blkdiscard|newfs(_.+)?|pvcreate)$/.test(program))
    return onlyAsks ? undefined : `${program} formats or empties a device`;
  if (/^(shutdown|reboot|poweroff|halt|pm-hibernate|kexec)$/.test(program))
    return onlyAsks || (program === "shutdown" && args[0] === "-c")
      ? undefined
      : `${program} stops or restarts the machine`;
  const written = writtenBy(program, args, operands)
    .map((word) => writeProblem(word, scope))
    .find((problem) => problem !== undefined);
  if (written !== undefined) return written;
  if (destroying.some(([name, how]) => name.test(program) && args.some((arg) => how.test(arg))))
    return `${program} overwrites what is on a device`;
  if (/login1/.test(args.join(" ")) && /\b(Reboot|PowerOff|Halt|KExec)\b/.test(args.join(" ")))
    return "it stops or restarts the machine";
  switch (program) {
    case "rimraf":
      return vital(operands) === undefined
        ? undefined
        : `it removes ${vital(operands)} with all that is in it`;
    case "rm":
    case "srm":
    case "unlink":
      if (long.includes("--no-preserve-root")) return "rm --no-preserve-root is never needed";
      if (recursive && scope.cwd === "/" && !operands.every(isKnown)) return "it removes what is in /";
      return recursive && vital(operands) !== undefined
        ? `it removes ${vital(operands)} with all that is in it`
        : undefined;
    case "chmod":
    case "chown":
    case "chgrp":
      return recursive && vital(operands.slice(1)) !== undefined
        ? `it changes the permissions of everything in ${vital(operands.slice(1))}`
        : undefined;
    case "mv":
      return vital(operands.slice(0, -1)) === undefined
        ? undefined
        : `it moves ${vital(operands.slice(0, -1))} away`;
    case "rsync":
      return args.some((arg) => arg.startsWith("--del")) && vital(operands.slice(-1)) !== undefined
        ? "it empties a folder of the system"
        : undefined;
    case "find": {
      const starts = findStarts(args);
      const deletes = args.some(
        (arg, index) =>
          arg === "-delete" ||
          (/^-(exec|ok)(dir)?$/.test(arg) && /(^|\/)(rm|unlink|shred|srm)$/.test(args[index + 1] ?? "")),
      );
      return deletes && vital(starts) !== undefined
        ? `it deletes what it finds in ${vital(starts)}`
        : undefined;
    }
    case "dd": {
      const target = args.find((arg) => arg.startsWith("of="))?.slice(3);
      const place = target === undefined ? undefined : placeOf(target, scope);
      return place?.startsWith("/dev/") === true && !harmlessDevices.test(place)
        ? `dd writes to the device ${place}`
        : undefined;
    }
    case "init":
    case "telinit":
      return operands.some((word) => word === "0" || word === "6")
        ? "it stops or restarts the machine"
        : undefined;
    case "systemctl":
    case "loginctl":
      return !/^(status|show|cat|help|is-|list-)/.test(operands[0] ?? "") &&
        operands.some((word) => stopping.test(word))
        ? "it stops or restarts the machine"
        : undefined;
    case "killall5":
      return "it kills every process";
    case "kill":
      return args.slice(1).includes("-1") ||
        (args.includes("--") && args.slice(args.indexOf("--")).includes("-1"))
        ? "it kills every process"
        : undefined;
    default:
      return undefined;
  }
}

/** The folders that a find command starts in. */
export function findStarts(args: readonly string[]): readonly string[] {
  const rest = args.slice(
    Math.max(
      0,
      args.findIndex((arg) => !/^-([HLP]|O\d|D)$/.test(arg)),
    ),
  );
  const end = rest.findIndex((arg) => /^[-(!]/.test(arg));
  const starts = end === -1 ? rest : rest.slice(0, end);
  return starts.length > 0 ? starts : ["."];
}

const fileSystemCalls =
  /\b(rm|rmSync|rmdir|rmdirSync|rmtree|rm_rf|rm_r|remove_tree|removeSync|RemoveAll|deleteTree)\s*\(?\s*(?:[\w.]+\s*\(\s*)?\[?\s*["'`](\/|\/\*|~|~\/|\/(etc|usr|home|bin|lib|var|boot|root)\/?)["'`]/;

/** `os.system("reboot")`, `spawn("shutdown", ["now"])`, `exec "poweroff"`. */
const powerCalls =
  /\b(system|exec\w*|spawn\w*|popen\w*|Popen|run|call|check_\w+|getoutput|getstatusoutput|shell_exec|passthru|qx)\b[\s(]*\[?\s*["'`](\/?\w+\/)*(shutdown|reboot|poweroff|halt|mkfs(\.\w+)?)(?!\w*\.\w)[\s"'`]|"(shutdown|reboot|poweroff|halt)\b[^"]*"\s*\|\s*(&|getline)/;

/** `exec("rm", "-rf", "/")`, `spawn("rm", ["-rf", "/"])`. */
const removeWords = /["'`](\/\w+)*\/?rm["'`]\s*,\s*\[?\s*["'`]-\w*r\w*["'`]\s*,\s*["'`](\/\*?|~\/?)["'`]/i;

/** What inline code of another language plainly does; a look, not a reading. */
export function codeProblem(text: string): string | undefined {
  // Long runs of white space would be tried in every split between the patterns' parts.
  const code = text.replaceAll(/\s+/g, " ");
  if (powerCalls.test(code)) return "its code stops or restarts the machine, or formats a device";
  if (fileSystemCalls.test(code) || removeWords.test(code)) return "its code removes a folder of the system";
  if (
    /\bfork\b[\s();]*(while|until)\b|(\bwhile\s*\(?\s*(1|true|True)\b|\bfor\s*\(\s*;\s*;|\bloop\b).{0,60}\bfork\b/s.test(
      code,
    )
  ) {
    return "its code starts processes without end";
  }
  return undefined;
}
