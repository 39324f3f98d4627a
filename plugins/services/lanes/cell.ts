import { setMaxListeners } from "node:events";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { WireError } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Piscina } from "piscina";
import { builtFile } from "./built.ts";
import { type LoadTask, pulse, pulseOf } from "./load.ts";

export interface CellOptions {
  readonly name: string;
  readonly workerFile?: string | undefined;
  /** Milliseconds of computing at a stretch before the thread is ended. */
  readonly entryMs: number;
  /** MiB of JavaScript heap. */
  readonly heapMb: number;
  /** The last plugin has left it. */
  onEmpty(): void;
}

/** Why a cell was ended, and whose fault it was; undefined when nobody knows. */
interface Ended {
  readonly slot: number | undefined;
  readonly reason: string;
}

export interface Tenant {
  /** Resolves when the plugin left, with the reason when it could not be loaded; rejects when the thread was ended. */
  readonly gone: Promise<WireError | undefined>;
}

export type Cell = ReturnType<typeof createCell>;

/** How often a thread that has work is asked whether it is there. */
const beatMs = 250;
/** A thread without a plugin is kept that long: the next one may come at once. */
const emptyMs = 1_000;

/**
 * One sandbox thread, for one plugin or for several that trust each other's failures. The thread exists
 * while a plugin lives in it. Whatever ends it ends all of them; each is started again when it is next needed.
 */
export function createCell({ name, workerFile, entryMs, heapMb, onEmpty }: CellOptions) {
  let pool: Promise<Piscina> | undefined;
  let lastSlot = 0;
  let busy = 0;
  let tenants = 0;
  let current = fresh();

  /** What belongs to one thread; the next thread gets another one. */
  function fresh() {
    const buffer = new SharedArrayBuffer(pulse.fields * 4);
    const life = new AbortController();
    // Every plugin in the thread listens; Node would take the eleventh for a leak.
    setMaxListeners(0, life.signal);
    return { control: undefined as MessagePort | undefined, buffer, life };
  }

  function open(): Promise<Piscina> {
    // Loaded with the first plugin that needs it: 7 MB that an idle gateway does not pay.
    pool ??= import("piscina").then(
      ({ Piscina: Pool }) =>
        new Pool({
          filename: workerFile ?? builtFile("sandbox.worker.cjs"),
          minThreads: 0,
          maxThreads: 1,
          concurrentTasksPerWorker: 256,
          idleTimeout: emptyMs,
          atomics: "disabled",
          // Its own keeps tasks that can be aborted apart; here all of them share the one thread on purpose.
          loadBalancer: (_task, workers) => workers[0] ?? null,
          env: {},
          execArgv: [],
          resourceLimits: { maxOldGenerationSizeMb: heapMb, stackSizeMb: 4 },
        }),
    );
    return pool;
  }

  let ended: Ended | undefined;
  function end(reason: string, slot?: number): void {
    ended = { reason, slot };
    const { life, control } = current;
    current = fresh();
    control?.close();
    life.abort();
  }

  /** Looks after the thread while somebody waits for it. */
  let watch: NodeJS.Timeout | undefined;
  let asked = 0;
  let silentSince = 0;
  function beat(): void {
    const state = pulseOf(current.buffer);
    const isThere = Atomics.load(state, pulse.answered) === asked || Atomics.load(state, pulse.waiting) === 1;
    const now = performance.now();
    if (isThere || silentSince === 0) {
      silentSince = now;
      asked += 1;
      current.control?.postMessage(asked);
    } else if (now - silentSince > entryMs) {
      silentSince = 0;
      end(`computed for more than ${entryMs} ms at a stretch`, Atomics.load(state, pulse.slot) || undefined);
    }
  }

  return {
    name,
    /** What ended the thread last. */
    ended: () => ended,
    end,
    /** Moves a plugin in. */
    async place(
      task: Omit<LoadTask, "control" | "pulse" | "slot">,
      transfer: readonly MessagePort[],
    ): Promise<Tenant & { readonly slot: number }> {
      const threads = await open();
      const { buffer, life } = current;
      const slot = ++lastSlot;
      // Each plugin brings the watchman a way in: the thread may be a new one.
      const { port1, port2: control } = new MessageChannel();
      port1.unref();
      current.control?.close();
      current.control = port1;
      const load: LoadTask = { ...task, control, pulse: buffer, slot };
      const gone = threads.run(load, { transferList: [...transfer, control], signal: life.signal });
      tenants += 1;
      const leave = (): void => {
        tenants -= 1;
        if (tenants === 0) onEmpty();
      };
      gone.then(leave, leave);
      return { gone, slot };
    },
    /** Somebody waits for this thread until disposed. */
    waiting(): Disposable {
      busy += 1;
      if (busy === 1) {
        silentSince = 0;
        watch = setInterval(beat, beatMs).unref();
      }
      return {
        [Symbol.dispose]: () => {
          busy -= 1;
          if (busy === 0) clearInterval(watch);
        },
      };
    },
    async close(): Promise<void> {
      clearInterval(watch);
      current.control?.close();
      current.life.abort();
      await (await pool)?.destroy();
      pool = undefined;
    },
  };
}
