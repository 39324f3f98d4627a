import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bwrap, launch, type Place } from "../../plugins/tools/exec/bwrap.ts";
import { limitWords } from "../../plugins/tools/exec/limits.ts";
import { run, type RunResult } from "../../plugins/tools/exec/run.ts";
import { Sandbox } from "../../plugins/tools/exec/sandbox.ts";
import { seccompFilter } from "../../plugins/tools/exec/seccomp.ts";
import { hasBwrap, needsBwrap } from "./exec.support.ts";

const never = new AbortController().signal;
const canary = "canary-7f3a91";

/** A state folder with the workspace inside, a file beside it, and a live server, socket and process on the host. */
interface Host {
  readonly base: string;
  readonly place: Place;
  readonly bwrap: Bwrap;
  readonly port: number;
  readonly pid: number;
  connections: number;
}

let host: Host | undefined;
const servers: Server[] = [];
let sandbox: Sandbox | undefined;
let stopVictim: () => Promise<unknown> = () => Promise.resolve();

async function listen(where: number | string): Promise<Server> {
  const server = createServer((socket) => {
    if (host !== undefined) host.connections += 1;
    socket.destroy();
  });
  servers.push(server);
  await new Promise<void>(
    (resolve) =>
      void (typeof where === "number"
        ? server.listen(where, "127.0.0.1", resolve)
        : server.listen(where, resolve)),
  );
  return server;
}

beforeAll(async () => {
  if (!hasBwrap) return;
  const base = mkdtempSync(path.join(tmpdir(), "rclaw-sandbox-"));
  const workspace = path.join(base, "state/workspace");
  mkdirSync(path.join(workspace, "inner-state"), { recursive: true });
  mkdirSync(path.join(base, "state/credentials"));
  mkdirSync(path.join(base, "home/.ssh"), { recursive: true });
  for (const file of [
    "state/secrets.json",
    "state/config.json",
    "state/credentials/x.json",
    "home/.ssh/id_rsa",
    "home/.bashrc",
    "beside.txt",
  ]) {
    writeFileSync(path.join(base, file), `${canary} ${file}\n`);
  }
  writeFileSync(path.join(workspace, "inner-state/secrets.json"), canary);
  const { port } = (await listen(0)).address() as AddressInfo;
  await listen(path.join(base, "docker.sock"));
  const victim = spawn("sleep", ["600"], { env: { SECRET: canary }, stdio: "ignore" });
  const gone = once(victim, "exit");
  stopVictim = () => {
    victim.kill("SIGKILL");
    return gone;
  };
  const env = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/tmp" };
  const place = {
    workspace,
    cwd: workspace,
    hidden: [path.join(workspace, "inner-state"), path.join(base, "state")],
    env,
  };
  sandbox = new Sandbox();
  const bwrap = await sandbox.open(place, never);
  host = { base, place, bwrap, port, pid: victim.pid ?? 0, connections: 0 };
});

afterAll(async () => {
  await stopVictim();
  await sandbox?.close();
  for (const server of servers) await new Promise((resolve) => void server.close(resolve));
  if (host !== undefined) rmSync(host.base, { recursive: true, force: true });
});

function inside(command: string, timeoutMs = 10_000): Promise<RunResult> {
  if (host === undefined) throw new Error("there is no sandbox here");
  const limits = { processes: 64, cpuSeconds: 5, fileMb: 4, openFiles: 128, memoryMb: 512 };
  const shell = [
    "/bin/sh",
    "-c",
    'exec "$@" 2>&1',
    "sh",
    ...limitWords(limits, true),
    "/bin/bash",
    "-c",
    command,
  ];
  const { words, inputs } = launch(host.bwrap, host.place, shell);
  expect(words[0]).toBe(host.bwrap.file);
  return run({
    words,
    inputs,
    cwd: "/",
    env: {},
    timeoutMs,
    signal: never,
    namespaced: true,
    bounds: { processes: 64 },
  });
}

/** Everything a command could have changed outside the workspace. */
function world(): string {
  const hash = createHash("sha256");
  const { base = "", place } = host ?? {};
  for (const entry of readdirSync(base, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (place !== undefined && file.startsWith(place.workspace)) continue;
    hash.update(`${file}\0${entry.isFile() ? readFileSync(file, "utf8") : ""}\0${statSync(file).mode}\0`);
  }
  for (const file of ["/etc/passwd", "/etc/hostname", "/etc/hosts", path.join(homedir(), ".bashrc")]) {
    hash.update(existsSync(file) ? readFileSync(file) : "absent");
  }
  for (const folder of [
    "/",
    "/etc",
    "/usr",
    "/usr/bin",
    "/bin",
    "/boot",
    "/home",
    "/dev",
    homedir(),
    path.join(homedir(), ".ssh"),
  ]) {
    hash.update(
      existsSync(folder) ? `${readdirSync(folder).sort().join("\0")}${statSync(folder).mode}` : "absent",
    );
  }
  return hash.digest("hex");
}

const alive = (pid: number) =>
  existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep");

describe.skipIf(!hasBwrap)(`from inside the sandbox${needsBwrap}`, () => {
  test("the machine's device files keep their mode, also when the gateway is root", async () => {
    const names = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`);
    const modes = () => names.map((name) => statSync(name).mode);
    const before = modes();
    await inside(`chmod 000 ${names.join(" ")}; chmod -R 000 /dev; chmod 777 /proc/1/root/dev/null`);
    expect(modes()).toEqual(before);
    const { output } = await inside("echo x > /dev/null && head -c 3 /dev/zero | wc -c");
    expect(output.trim()).toBe("3");
  });

  const cases: readonly (readonly [string, (host: Host) => string])[] = [
    ["read /etc/shadow", () => "cat /etc/shadow"],
    ["read the host's list of users", () => "grep root /etc/passwd"],
    ["read the gateway's secrets beside the workspace", ({ base }) => `cat ${base}/state/secrets.json`],
    ["read the gateway's configuration", ({ base }) => `cat ${base}/state/config.json`],
    ["read a state folder inside the workspace", () => "cat inner-state/secrets.json"],
    ["write into a state folder inside the workspace", () => "echo x > inner-state/new"],
    ["read keys of a home", ({ base }) => `cat ${base}/home/.ssh/id_rsa`],
    ["see the owner's home", () => `ls -d ${homedir()}/.[a-z]*`],
    [
      "read what is beside the workspace through a link",
      ({ base }) => `ln -s ${base}/beside.txt link-out; cat link-out`,
    ],
    ["hard-link a file of the system", () => "ln /usr/bin/env hard-env"],
    ["write to the root", () => "touch /x"],
    ["write to /usr", () => "touch /usr/x"],
    ["write to /etc", () => "touch /etc/x"],
    ["write to /dev", () => "touch /dev/x"],
    ["change a kernel setting", () => "echo x > /proc/sys/kernel/hostname"],
    [
      "have the kernel start a program",
      () => "test -w /proc/sys/kernel/core_pattern || test -w /proc/sys/kernel/modprobe",
    ],
    [
      "find anything else of /proc to write to",
      () => "find /proc -maxdepth 3 -not -path '/proc/[0-9]*' -type f -writable 2>/dev/null | grep . ",
    ],
    ["ask for a restart through /proc", () => "echo b > /proc/sysrq-trigger"],
    ["open a disk", () => "head -c 1 /dev/sda /dev/vda /dev/nvme0n1"],
    ["open the memory of the machine", () => "head -c 1 /dev/mem || head -c 1 /proc/kcore"],
    ["read the kernel's log", () => "dmesg"],
    ["connect to a server of the host", ({ port }) => `exec 3<>/dev/tcp/127.0.0.1/${port}`],
    ["connect to the metadata address of a cloud", () => "exec 3<>/dev/tcp/169.254.169.254/80"],
    ["send a datagram away", () => "echo x > /dev/udp/192.0.2.1/53"],
    ["look up a name", () => "getent hosts example.org"],
    ["see a socket of the host", ({ base }) => `test -S ${base}/docker.sock`],
    [
      "see a container engine's socket",
      () => "test -e /var/run/docker.sock || test -e /run/docker.sock || test -e /run/dbus",
    ],
    ["kill a process of the host", ({ pid }) => `kill -9 ${pid}`],
    ["see a process of the host", ({ pid }) => `test -e /proc/${pid}`],
    ["mount something", () => "mount -t tmpfs x /tmp"],
    ["undo a read-only mount", () => "mount -o remount,rw /usr"],
    ["make a user namespace", () => "unshare -U true"],
    ["make a mount namespace", () => "unshare -m true"],
    ["change the root", () => "chroot / true"],
    ["become another user", () => "setpriv --reuid 0 true || setpriv --reuid 12345 true"],
    ["make a setuid file", () => "touch suid && chmod 4755 suid"],
    [
      "make a setuid file at once",
      () => "perl -e 'use Fcntl; exit(sysopen(F, \"suid2\", O_CREAT|O_WRONLY, 04755) ? 0 : 1)'",
    ],
    ["make a device", () => "mknod dev b 8 0"],
    ["trace a process", () => "perl -e 'exit(syscall(101, 0, 0, 0, 0) == -1 ? 1 : 0)'"],
    ["open a socket to the hypervisor", () => "perl -e 'exit(socket(S, 40, 1, 0) ? 0 : 1)'"],
    ["open a raw socket", () => "perl -e 'exit(socket(S, 2, 3, 1) ? 0 : 1)'"],
    ["set the clock", () => "date -s '2001-01-01'"],
    ["raise a limit", () => "prlimit --nofile=100000 true"],
  ];

  test.each(cases)("one cannot %s", async (_what, command) => {
    if (host === undefined) throw new Error("there is no sandbox here");
    const before = world();
    const result = await inside(command(host));
    expect(result.exitCode, result.output).not.toBe(0);
    expect(result.output).not.toContain(canary);
    expect(world()).toBe(before);
    expect(host.connections).toBe(0);
    expect(alive(host.pid)).toBe(true);
  });

  test("no variable, descriptor, process or capability of the host is there", async () => {
    process.env["RCLAW_CANARY"] = canary;
    try {
      const { output } = await inside(
        "cat /proc/[0-9]*/environ | tr '\\0' '\\n'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
      );
      expect(output).not.toContain(canary);
      expect(output).not.toMatch(/VITEST|NODE_OPTIONS/);
    } finally {
      delete process.env["RCLAW_CANARY"];
    }
    const fds = await inside("ls /proc/self/fd; echo; ls /proc/$$/fd; :");
    // 3 is the folder that ls itself reads.
    expect(fds.output.trim().split(/\s+/)).toEqual(["0", "1", "2", "3", "0", "1", "2"]);
    const status = (await inside("cat /proc/self/status")).output;
    expect(status).toMatch(/CapEff:\s0+\n/);
    expect(status).toMatch(/CapPrm:\s0+\n/);
    expect(status).toMatch(/NoNewPrivs:\s1/);
    if (seccompFilter() !== undefined) expect(status).toMatch(/Seccomp:\s2/);
    expect(Number((await inside("ls -d /proc/[0-9]* | wc -l")).output)).toBeLessThan(10);
    expect((await inside("id -u")).output.trim()).not.toBe("0");
  });

  test("a server inside and its client reach each other", async () => {
    const script =
      'perl -MIO::Socket::INET -e \'$s=IO::Socket::INET->new(Listen=>1,LocalAddr=>"127.0.0.1") or die; $c=IO::Socket::INET->new(PeerAddr=>"localhost",PeerPort=>$s->sockport) or die; print "met"\'';
    expect((await inside(script)).output).toBe("met");
  });

  test("a workspace that is a part of the system, or the state folder, is refused", () => {
    if (host === undefined) throw new Error("there is no sandbox here");
    for (const workspace of ["/", "/usr", "/etc", "/home", "/proc/1/root"]) {
      expect(() => launch((host as Host).bwrap, { ...(host as Host).place, workspace }, ["true"])).toThrow(
        /a part of the system/,
      );
    }
  });

  test(
    "the whole corpus, run inside without any guard, leaves the host as it was",
    { timeout: 300_000 },
    async () => {
      if (host === undefined) throw new Error("there is no sandbox here");
      const { bypasses } = JSON.parse(
        readFileSync(path.resolve(import.meta.dirname, "../fixtures/exec-corpus.json"), "utf8"),
      ) as { bypasses: string[] };
      const before = world();
      const left = [...bypasses];
      let ran = 0;
      const work = async () => {
        for (let command = left.pop(); command !== undefined; command = left.pop()) {
          await inside(command, 1000);
          ran += 1;
        }
      };
      await Promise.all([work(), work(), work()]);
      expect(ran).toBe(bypasses.length);
      expect(world()).toBe(before);
      expect(host.connections).toBe(0);
      expect(alive(host.pid)).toBe(true);
      expect(existsSync(host.place.workspace)).toBe(true);
    },
  );
});

test("a link that a command leaves behind does not widen the workspace", async () => {
  const { checkPath } = await import("../../plugins/services/files/files.ts");
  const folder = mkdtempSync(path.join(tmpdir(), "rclaw-link-"));
  symlinkSync("/etc", path.join(folder, "etc"));
  await expect(checkPath(folder, "etc/passwd")).rejects.toMatchObject({ code: "PATH_OUTSIDE_WORKSPACE" });
  rmSync(folder, { recursive: true });
});

test("the filter is well formed: whole instructions, jumps that stay inside, an end that decides", () => {
  for (const arch of ["x64", "arm64"]) {
    const bytes = Buffer.from(seccompFilter(arch) ?? []);
    const count = bytes.length / 8;
    expect(Number.isInteger(count)).toBe(true);
    for (let index = 0; index < count; index += 1) {
      if (bytes.readUInt16LE(index * 8) === 0x06 || bytes.readUInt16LE(index * 8) === 0x20) continue;
      expect(
        index + 1 + Math.max(bytes.readUInt8(index * 8 + 2), bytes.readUInt8(index * 8 + 3)),
      ).toBeLessThan(count);
    }
    expect(bytes.readUInt16LE((count - 1) * 8)).toBe(0x06);
  }
  expect(seccompFilter("mips")).toBeUndefined();
});
