import { existsSync, lstatSync, readlinkSync } from "node:fs";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { deviceNames, mendDevices } from "./devices.ts";
import { seccompFilter } from "./seccomp.ts";

/** What a sandbox is built from; all paths are real and absolute. */
export interface Place {
  readonly workspace: string;
  readonly cwd: string;
  /** Folders hidden even inside the workspace: the gateway's state. */
  readonly hidden: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** How bubblewrap is called: its words and what it reads from descriptors 3, 4, ... */
export interface Launch {
  readonly words: readonly string[];
  readonly inputs: readonly Uint8Array[];
}

export interface Bwrap {
  readonly file: string;
  /** Whether this version and system can forbid further user namespaces. */
  readonly disableUserns: boolean;
  /** Device files of the sandbox's own; undefined where the machine's are safe from it. */
  readonly devices: string | undefined;
}

const tmpfsBytes = 512 * 1024 * 1024;
const systemFolders = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
// Only what programs need to start: nothing here names users, hosts or secrets.
const etcFiles = [
  "/etc/ld.so.cache",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/alternatives",
  "/etc/localtime",
  "/etc/ssl/openssl.cnf",
];

/**
 * The call that runs `command` with nothing of the system but programs and libraries. Everything
 * goes through a descriptor: bubblewrap's own arguments and environment can be read by every
 * user of the machine and from inside, and a hostile LD_PRELOAD must not reach bubblewrap itself.
 */
export function launch(bwrap: Bwrap, place: Place, command: readonly string[]): Launch {
  refuseWorkspace(place.workspace);
  const isRoot = process.getuid?.() === 0;
  // Mapped to nobody inside, yet the owner of the workspace's files: a uid outside could not write them.
  const [uid, gid] = isRoot ? [65_534, 65_534] : [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const files: readonly (readonly [string, string])[] = [
    ["/etc/passwd", `user:x:${uid}:${gid}::/tmp:/bin/sh\n`],
    ["/etc/group", `user:x:${gid}:\n`],
    ["/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"],
  ];
  const seccomp = seccompFilter();
  const inputs = [...files.map(([, text]) => Buffer.from(text)), ...(seccomp === undefined ? [] : [seccomp])];
  const firstInput = 4;
  const options = [
    ...`--unshare-all --unshare-user --uid ${uid} --gid ${gid} --hostname sandbox`.split(" "),
    ...(bwrap.disableUserns ? ["--disable-userns", "--assert-userns-disabled"] : []),
    ..."--die-with-parent --new-session --cap-drop ALL --clearenv".split(" "),
    ...systemFolders.flatMap(readOnly),
    ...etcFiles.flatMap((file) => ["--ro-bind-try", file, file]),
    ...files.flatMap(([file], index) => ["--ro-bind-data", String(firstInput + index), file]),
    // To the kernel's settings below /proc/sys the uid that root is outside still counts, so all of it is read-only.
    ..."--proc /proc --remount-ro /proc".split(" "),
    ...`--dev /dev --size ${tmpfsBytes} --tmpfs /dev/shm`.split(" "),
    ...ownDevices(bwrap.devices),
    "--remount-ro",
    "/dev",
    ...`--size ${tmpfsBytes} --tmpfs /tmp`.split(" "),
    "--bind",
    place.workspace,
    place.workspace,
    ...place.hidden
      .filter((folder) => isBelow(place.workspace, folder))
      .flatMap((folder) => ["--tmpfs", folder, "--remount-ro", folder]),
    "--remount-ro",
    "/",
    "--chdir",
    place.cwd,
    ...Object.entries(place.env).flatMap(([name, value]) => ["--setenv", name, value]),
    ...(seccomp === undefined ? [] : ["--seccomp", String(firstInput + files.length)]),
  ];
  return {
    words: [bwrap.file, "--args", "3", "--", ...command],
    inputs: [Buffer.from(options.map((word) => `${word}\0`).join("")), ...inputs],
  };
}

function ownDevices(folder: string | undefined): readonly string[] {
  if (folder === undefined) return [];
  mendDevices(folder);
  // A terminal of the gateway's has no business in there.
  const hideTty = ["--dev-bind", path.join(folder, "null"), "/dev/tty"];
  return [
    ...deviceNames.flatMap((name) => ["--dev-bind", path.join(folder, name), `/dev/${name}`]),
    ...hideTty,
  ];
}

/** On merged systems /bin is a link into /usr and must stay one. */
function readOnly(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return lstatSync(folder).isSymbolicLink()
    ? ["--symlink", readlinkSync(folder), folder]
    : ["--ro-bind", folder, folder];
}

export function isBelow(folder: string, file: string): boolean {
  const relative = path.relative(folder, file);
  return relative !== "" && relative.split(path.sep)[0] !== ".." && !path.isAbsolute(relative);
}

/** A workspace that is the system itself cannot be both writable and protected. */
function refuseWorkspace(workspace: string): void {
  const system = [
    ...systemFolders,
    "/",
    "/etc",
    "/proc",
    "/dev",
    "/sys",
    "/run",
    "/boot",
    "/var",
    "/home",
    "/root",
    "/tmp",
  ];
  if (
    !system.includes(workspace) &&
    !["/proc/", "/dev/", "/sys/"].some((folder) => workspace.startsWith(folder))
  )
    return;
  throw new RclawError(
    "SANDBOX_UNAVAILABLE",
    `exec: the workspace is "${workspace}", which is a part of the system, so commands cannot be kept inside it. Set agents.defaults.workspace to a folder of its own.`,
  );
}
