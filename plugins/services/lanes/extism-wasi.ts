import { randomFillSync } from "node:crypto";
import type { GuestLog } from "./guest-log.ts";

const [ok, badf, fault, inval, nosys] = [0, 8, 21, 28, 52] as const;

/** Everything that preview 1 has and a plugin has not: files, sockets, signals, other programs. */
const refused =
  "fd_advise fd_allocate fd_close fd_datasync fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory path_rename path_symlink path_unlink_file proc_raise sock_accept sock_recv sock_send sock_shutdown";

/** Of one `fd_write`, what is looked at; the rest counts as written. */
const maxWritten = 65_536;

/** `proc_exit`: the guest wants to go no further. */
export class GuestExit extends Error {
  override readonly name = "GuestExit";
  readonly code: number;

  constructor(code: number) {
    super(`the guest exited with code ${code}`);
    this.code = code;
  }
}

export interface WasiPorts {
  /** The guest's memory, once it has one. */
  memory(): WebAssembly.Memory | undefined;
  readonly log: GuestLog;
  /** Milliseconds that a sleep may take at most. */
  readonly maxSleepMs: number;
}

type WasiImports = Readonly<Record<string, (...args: never[]) => number>>;

/**
 * Just enough of WASI preview 1 for toolchains that cannot do without, such as Go's: time, chance, standard
 * output and error as log lines, the end. There are no arguments, no environment, no files and no sockets.
 */
export function denyAllWasi({ memory, log, maxSleepMs }: WasiPorts): WasiImports {
  const view = (): DataView => new DataView(memory()?.buffer ?? new ArrayBuffer(0));
  const lines = new Map<number, string>();

  function fdWrite(fd: number, iovs: number, count: number, written: number): number {
    if (fd !== 1 && fd !== 2) return badf;
    const data = view();
    const decoder = new TextDecoder();
    let [text, total] = [lines.get(fd) ?? "", 0];
    for (let at = iovs >>> 0, left = count >>> 0; left > 0; left--, at += 8) {
      const [from, length] = [data.getUint32(at, true), data.getUint32(at + 4, true)];
      if (from + length > data.byteLength) return fault;
      const rest = Math.max(0, maxWritten - total);
      if (rest > 0)
        text += decoder.decode(new Uint8Array(data.buffer, from, Math.min(length, rest)), { stream: true });
      total += length;
    }
    const whole = text.split("\n");
    // What stands behind the last line break waits for its end, but not for ever.
    lines.set(fd, (whole.pop() ?? "").slice(0, maxWritten));
    for (const line of whole)
      if (line.trim() !== "" && log.hasRoom()) log.write(fd === 1 ? "info" : "warn", line);
    data.setUint32(written >>> 0, total >>> 0, true);
    return ok;
  }

  /** Sleeping is all that there is to wait for. */
  function pollOneoff(subscriptions: number, events: number, count: number, found: number): number {
    const data = view();
    let [shortest, at, left] = [Infinity, subscriptions >>> 0, count >>> 0];
    if (left === 0 || left > 64) return inval;
    const first = at;
    for (; left > 0; left--, at += 48) {
      if (data.getUint8(at + 8) !== 0) return nosys;
      const timeout = Number(data.getBigUint64(at + 24, true)) / 1e6;
      const isAbsolute = (data.getUint16(at + 40, true) & 1) === 1;
      const now = data.getUint32(at + 16, true) === 0 ? Date.now() : performance.now();
      shortest = Math.min(shortest, isAbsolute ? timeout - now : timeout);
    }
    const sleep = Math.min(Math.max(shortest, 0), maxSleepMs);
    if (sleep > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, sleep);
    data.setBigUint64(events >>> 0, data.getBigUint64(first, true), true);
    data.setUint32((events >>> 0) + 8, 0, true);
    data.setUint32(found >>> 0, 1, true);
    return ok;
  }

  const empty = (count: number, bytes: number): number => {
    const data = view();
    data.setUint32(count >>> 0, 0, true);
    data.setUint32(bytes >>> 0, 0, true);
    return ok;
  };

  return Object.freeze({
    ...Object.fromEntries(
      refused.split(" ").map((name) => [name, () => (name.startsWith("fd_") ? badf : nosys)]),
    ),
    args_get: () => ok,
    args_sizes_get: empty,
    environ_get: () => ok,
    environ_sizes_get: empty,
    clock_res_get(_clock: number, to: number) {
      view().setBigUint64(to >>> 0, 1_000_000n, true);
      return ok;
    },
    clock_time_get(clock: number, _precision: bigint, to: number) {
      const ms = clock === 0 ? performance.timeOrigin + performance.now() : performance.now();
      view().setBigUint64(to >>> 0, BigInt(Math.round(ms * 1e6)), true);
      return ok;
    },
    random_get(to: number, length: number) {
      const { buffer } = view();
      if ((to >>> 0) + (length >>> 0) > buffer.byteLength) return fault;
      randomFillSync(new Uint8Array(buffer, to >>> 0, length >>> 0));
      return ok;
    },
    fd_fdstat_get(fd: number, to: number) {
      if (fd < 0 || fd > 2) return badf;
      const data = view();
      for (let at = 0; at < 24; at += 8) data.setBigUint64((to >>> 0) + at, 0n, true);
      data.setUint8(to >>> 0, 2); // a character device
      return ok;
    },
    fd_write: fdWrite,
    poll_oneoff: pollOneoff,
    sched_yield: () => ok,
    proc_exit(code: number) {
      throw new GuestExit(code);
    },
  });
}
