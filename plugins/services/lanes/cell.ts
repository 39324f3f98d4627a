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

/** Why a thread ended, and whose fault it was; undefined when nobody knows. */
interface Ended {
  readonly slot: number | undefined;
  readonly reason: string | undefined;
}

export interface Tenant {
  /** Resolves when the plugin left, with the reason when it could not be loaded; rejects when the thread was ended. */
  readonly gone: Promise<WireError | undefined>;
  readonly slot: number;
  /** What ended its thread, once it has ended. */
  ended(): Ended;
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
  let lastSlot = 0;
  let busy = 0;
  let loading = 0;
  let tenants = 0;
  let current = fresh();

  /** What belongs to one thread; the next thread gets another one. */
  function fresh() {
    const buffer = new SharedArrayBuffer(pulse.fields * 4);
    return {
      control: undefined as MessagePort | undefined,
      buffer,
      threads: undefined as Promise<Piscina> | undefined,
      ended: undefined as Ended | undefined,
    };
  }

  function open(): Promise<Piscina> {
    // Loaded with the first plugin that needs it: 7 MB that an idle gateway does not pay.
    const threads = (current.threads ??= import("piscina").then(({ Piscina: Pool }) => {
      const pool = new Pool({
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
      });
      // A plugin that left may have left a timer behind: what it breaks then is nobody's, and not the gateway's.
      pool.on("error", () => undefined);
      // That way is closed to plugins; who sends there all the same went round the lock.
      pool.on("message", () => {
        if (current.threads === threads) end("sent messages to the host past the port it was given");
      });
      return pool;
    }));
    return threads;
  }

  function end(reason: string, slot?: number): void {
    current.ended = { reason, slot };
    drop().catch(() => undefined);
  }

  /** Ends the thread with all who live in it; whoever comes next gets another one. */
  async function drop(): Promise<void> {
    const { threads, control } = current;
    current = fresh();
    control?.close();
    // The whole pool: a task that can be aborted by itself would have to live alone in its thread.
    await (await threads)?.destroy();
  }

  /** Looks after the thread while somebody waits for it. */
  let watch: NodeJS.Timeout | undefined;
  let asked = 0;
  let silentSince = 0;
  function beat(): void {
    const state = pulseOf(current.buffer);
    const slot = Atomics.load(state, pulse.slot);
    const isThere =
      Atomics.load(state, pulse.answered) === asked ||
      Atomics.load(state, pulse.waiting) === 1 ||
      // A thread that begins is no plugin that computes; how long loading may take is watched by whoever loads.
      (loading > 0 && slot === 0);
    const now = performance.now();
    if (isThere || silentSince === 0) {
      silentSince = now;
      asked += 1;
      current.control?.postMessage(asked);
    } else if (now - silentSince > entryMs) {
      silentSince = 0;
      end(`computed for more than ${entryMs} ms at a stretch`, slot || undefined);
    }
  }

  return {
    name,
    end,
    /** The plugin whose code the thread is in, if it is in any. */
    inside: (): number | undefined => Atomics.load(pulseOf(current.buffer), pulse.slot) || undefined,
    /** Moves a plugin in. */
    async place(
      task: Omit<LoadTask, "control" | "pulse" | "slot">,
      transfer: readonly MessagePort[],
    ): Promise<Tenant> {
      let here = current;
      let threads = await open();
      while (here !== current) {
        // It was ended while it was opened: nothing may begin in it any more.
        here = current;
        threads = await open();
      }
      const slot = ++lastSlot;
      // Each plugin brings the watchman a way in: the thread may be a new one.
      const { port1, port2: control } = new MessageChannel();
      port1.unref();
      here.control?.close();
      here.control = port1;
      const load: LoadTask = { ...task, control, pulse: here.buffer, slot };
      const gone = threads.run(load, { transferList: [...transfer, control] });
      tenants += 1;
      const leave = (): void => {
        tenants -= 1;
        if (tenants === 0) onEmpty();
      };
      gone.then(leave, leave);
      /** A thread that ended by itself was in the code of whoever ended it, if of anybody. */
      const ended = (): Ended =>
        here.ended ?? {
          reason: undefined,
          slot: Atomics.load(pulseOf(here.buffer), pulse.slot) || undefined,
        };
      return { gone, slot, ended };
    },
    /** Somebody waits for this thread until disposed, for a plugin that answers or for one that is loaded. */
    waiting(what: "answer" | "load" = "answer"): Disposable {
      busy += 1;
      if (what === "load") loading += 1;
      if (busy === 1) {
        silentSince = 0;
        watch = setInterval(beat, beatMs).unref();
      }
      return {
        [Symbol.dispose]: () => {
          busy -= 1;
          if (what === "load") loading -= 1;
          if (busy === 0) clearInterval(watch);
        },
      };
    },
    async close(): Promise<void> {
      clearInterval(watch);
      await drop();
    },
  };
}
