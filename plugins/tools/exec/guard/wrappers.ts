/** How the command that a program runs is found among its arguments. */
interface Wrapper {
  /** Short options that take the next word as their value. */
  readonly short?: string;
  /** Long options that do. */
  readonly long?: readonly string[];
  /** Operands before the command: timeout's duration, chroot's folder. */
  readonly skip?: number;
}

const plain: Wrapper = {};
const userOptions = { short: "ugUhprtTCDR", long: ["--user", "--group", "--shell", "--chdir"] } as const;

const wrappers: Readonly<Record<string, Wrapper>> = {
  builtin: plain,
  command: plain,
  fakeroot: plain,
  eatmydata: plain,
  chronic: plain,
  openvt: { short: "c" },
  choom: { short: "np" },
  cgexec: { short: "g" },
  chpst: { short: "ucbmdopfce" },
  softlimit: { short: "mdsloapcfrtn" },
  "dbus-launch": plain,
  "xvfb-run": { short: "efnpsw" },
  "ssh-agent": { short: "atPO" },
  npx: { short: "p", long: ["--package"] },
  bunx: plain,
  pnpx: plain,
  sem: { short: "j" },
  exec: { short: "a" },
  nohup: plain,
  setsid: plain,
  unbuffer: plain,
  catchsegv: plain,
  caffeinate: plain,
  env: { short: "uCS", long: ["--unset", "--chdir", "--split-string"] },
  nice: { short: "n", long: ["--adjustment"] },
  ionice: { short: "cnpPu", long: ["--class", "--classdata"] },
  timeout: { short: "ks", long: ["--kill-after", "--signal"], skip: 1 },
  stdbuf: { short: "ioe", long: ["--input", "--output", "--error"] },
  time: { short: "fo", long: ["--format", "--output"] },
  sudo: userOptions,
  doas: userOptions,
  pkexec: userOptions,
  runuser: userOptions,
  su: userOptions,
  sg: { skip: 1 },
  chroot: { skip: 1, long: ["--userspec", "--groups"] },
  setarch: { skip: 1 },
  linux32: plain,
  linux64: plain,
  i386: plain,
  x86_64: plain,
  taskset: { skip: 1 },
  chrt: { skip: 1, short: "TPD" },
  numactl: { short: "CNmpi" },
  prlimit: { short: "p" },
  setpriv: plain,
  capsh: plain,
  flock: { skip: 1, short: "wE" },
  script: { short: "cEIOBTm" },
  strace: { short: "eoOpPsuESabIX" },
  ltrace: { short: "eolnpsuaAD" },
  gdb: plain,
  valgrind: plain,
  unshare: { short: "RwSG" },
  nsenter: { short: "tSGrw", long: ["--target"] },
  faketime: { skip: 1, short: "f" },
  watch: { short: "n", long: ["--interval"] },
  "systemd-run": { short: "puM" },
  "dbus-run-session": plain,
  firejail: plain,
  "ld.so": { long: ["--library-path", "--preload", "--inhibit-rpath", "--argv0"] },
  busybox: plain,
  toybox: plain,
  coproc: plain,
  not: plain,
  parallel: { short: "jaIS" },
  entr: plain,
  torsocks: plain,
  proxychains: plain,
  rlwrap: plain,
  "start-stop-daemon": plain,
  daemonize: plain,
  xargs: {
    short: "adEILnPs",
    long: ["--arg-file", "--delimiter", "--max-args", "--max-procs", "--max-lines", "--replace"],
  },
};

export const isWrapper = (program: string) => Object.hasOwn(wrappers, known(program));

/** `ld-linux-x86-64.so.2 /bin/rm` runs rm. */
const known = (program: string) => (/^ld(-linux.*|-musl.*)?\.so(\.\d+)*$/.test(program) ? "ld.so" : program);

export interface Unwrapped {
  readonly argv: readonly string[];
  /** NAME=value words before the command. */
  readonly assignments: readonly string[];
  /** A script given as an option: `su -c`, `env -S`, `flock f -c`. */
  readonly script: string | undefined;
}

/** The command inside a wrapper's arguments. */
export function unwrap(program: string, args: readonly string[]): Unwrapped {
  const name = known(program);
  // `command -v` only looks.
  if (name === "command" && /^-\w*[vV]/.test(args[0] ?? ""))
    return { argv: [], assignments: [], script: undefined };
  const { short = "", long = [], skip = 0 } = wrappers[name] ?? {};
  const takesScript = ["su", "runuser", "script", "flock", "sg", "npx", "capsh"].includes(name)
    ? "-c"
    : name === "env"
      ? "-S"
      : undefined;
  let script: string | undefined;
  let index = 0;
  for (; index < args.length; index += 1) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      index += 1;
      break;
    }
    if (!arg.startsWith("-")) break;
    if (arg === "-") continue;
    if (
      takesScript !== undefined &&
      (arg === takesScript ||
        (takesScript === "-c" && /^-[a-zA-Z]+c$/.test(arg)) ||
        arg === "--command" ||
        arg === "--split-string")
    ) {
      script = args.slice(index + 1, name === "env" ? undefined : index + 2).join(" ");
      index += 1;
    } else if (takesScript === "-S" && /^(-S|--split-string=)./.test(arg)) {
      script = [arg.replace(/^(-S|--split-string=)/, ""), ...args.slice(index + 1)].join(" ");
    } else if (arg.startsWith("--command=")) script = arg.slice(10);
    else if (arg.startsWith("--")) index += long.includes(arg) ? 1 : 0;
    else if (short.includes(arg.at(-1) ?? "") && !short.includes(arg[1] ?? "", 0)) index += 1;
    else if (arg.length === 2 && short.includes(arg[1] ?? "")) index += 1;
  }
  const rest = args.slice(index);
  const hasAssignments = ["env", "sudo", "doas"].includes(name);
  const end = hasAssignments ? rest.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word)) : 0;
  const assignments = hasAssignments ? rest.slice(0, end === -1 ? rest.length : end) : [];
  const argv = rest.slice(assignments.length).slice(skip);
  // `su root -c ...`, `flock file -c ...`: the option may also come after the operand.
  const late = takesScript === "-c" ? args.findIndex((arg) => /^-[a-zA-Z]*c$/.test(arg)) : -1;
  if (late !== -1) script = args[late + 1];
  return {
    argv: argv.slice(argv.findIndex((word) => !/^(--?|-c)$/.test(word)) === 1 ? 1 : 0),
    assignments,
    script,
  };
}
