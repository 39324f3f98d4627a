import { MessageChannel } from "node:worker_threads";
import { isRclawError, type Logger, RclawError } from "@rclaw/plugin-sdk";
import type { Asked, Offer } from "@rclaw/plugin-sdk/boundary/calls";
import { fromWireError, type Handler, portEndpoint } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Link, LinkOptions } from "@rclaw/plugin-sdk/boundary/remote";
import type { GaveWay, LaneLimits, LaneUse, Runtime } from "@rclaw/plugin-sdk/services/lanes";
import type { Artefact, createOffers } from "./artefact.ts";
import { answerStanding } from "./bridge.ts";
import { stayAwake } from "./awake.ts";
import { createBreaker } from "./breaker.ts";
import type { Cell, Tenant } from "./cell.ts";
import { checkGuestValue } from "./guest-json.ts";
import type { Asking, Instance, OpenCall } from "./instance.ts";
import { meter, meterOf } from "./load.ts";

export interface CagedLink extends Link {
  use(): LaneUse;
  /** Goes on with another artefact, call by call. False when what it offers is not the same: then it has to be activated anew. */
  swap(next: Artefact): Promise<boolean>;
}

export interface LinkParts {
  readonly id: string;
  readonly runtime: Runtime;
  readonly artefact: Artefact;
  readonly limits: LaneLimits;
  readonly offers: ReturnType<typeof createOffers>;
  readonly log: Logger;
  /** Never leaves its thread for want of work: it said that it runs by itself. */
  readonly stays: boolean;
  readonly idleMs: number;
  /**
   * The cell to live in; asked at every start, since one that was ended for it may not be shared again. Alone
   * is who has not shown yet that it comes to life: what it breaks must be nobody else's.
   */
  cell(alone: boolean): Cell;
  /** It made its cell end. */
  onKill(): void;
  report(where: string, error: unknown): void;
  onGaveWay(event: GaveWay): void;
}

const handingOver = Symbol("handover");
/** A new version that breaks within that time gives way to the one before it. */
const probationMs = 60_000;
/** Calls of the version before have that long to finish. */
const farewellMs = 30_000;
/** Most answers that need nothing from elsewhere are there within that time. */
const awakeMs = 0.5;
/** Its channel has that long to finish with what it has received. */
const channelMs = 10_000;

/** The life of one caged plugin: started when needed, ended when idle, hung or broken, started again. */
export function createLink(parts: LinkParts): CagedLink {
  const { id, limits, offers, runtime } = parts;
  let artefact = parts.artefact;
  /** What to go back to while the current version is on probation. */
  let before: { readonly artefact: Artefact; readonly until: number } | undefined;
  /** Where a version that broke has led back to, until whoever keeps the versions says the same. */
  let backTo: string | undefined;
  let gaveWay: string | undefined;
  /** The version before is still here with its channel; there may be one poller only. */
  let handover: Promise<void> = Promise.resolve();
  const counts = meterOf(new SharedArrayBuffer(meter.fields * 8));
  const breaker = createBreaker(id);
  const tally = { calls: 0, failures: 0, egressBytes: 0, denials: 0, kills: 0 };
  let activation: Asked["activate"]["params"] | undefined;
  let verbs: Handler = () => Promise.reject(new RclawError("UNAVAILABLE", `plugin "${id}" is not active`));
  let offered: Offer | undefined;
  let instance: Promise<Instance> | undefined;
  let current: Instance | undefined;
  /** Those that gave way and are not gone yet. */
  const leaving = new Set<Instance>();
  let pending = 0;
  let idle: NodeJS.Timeout | undefined;
  const life = new AbortController();

  const guardedFor =
    (asking: Asking): Handler =>
    async (call) => {
      asking.count++;
      asking.total++;
      try {
        return await verbs(call);
      } catch (error) {
        if (isRclawError(error) && /^(?:EGRESS|PERMISSION|POLICY)_DENIED$/.test(error.code)) tally.denials++;
        throw error;
      } finally {
        asking.count--;
        if (asking.count === 0) asking.onNone?.();
      }
    };

  function failureOf({ ended, slot }: Tenant, error: unknown): RclawError {
    const known = ended();
    const isFull = (error as { code?: unknown } | undefined)?.code === "ERR_WORKER_OUT_OF_MEMORY";
    const reason = known.reason ?? (isFull ? "its thread ran out of memory" : "its thread ended");
    const isOurs = known.slot === undefined || known.slot === slot;
    if (isOurs) {
      tally.kills++;
      parts.onKill();
    }
    const other = `plugin "${id}" went down with its cell, where another plugin ${reason}; try again`;
    if (!isOurs) return new RclawError("UNAVAILABLE", other, { retryable: true, details: { plugin: id } });
    return new RclawError("PLUGIN_FAILED", `plugin "${id}" was ended: ${reason}`, {
      // What it threw and nobody caught, for the log.
      cause: error,
      details: { plugin: id },
    });
  }

  async function start(made: Artefact, alone = false): Promise<Instance> {
    const program = await made.program(life.signal);
    const cell = parts.cell(alone);
    const asking: Asking = { count: 0, total: 0, onNone: undefined };
    const guarded = guardedFor(asking);
    const frames = new MessageChannel();
    const standing = new MessageChannel();
    const bell = new SharedArrayBuffer(4);
    const onFailure = (what: string, error: unknown): void =>
      parts.log.warn({ plugin: id, err: error }, `plugin "${id}": ${what}`);
    const onFlood = (reason: string): void => cell.end(reason, item.slot);
    const endpoint = portEndpoint(frames.port1, guarded, { onFailure, onFlood });
    const bridge = answerStanding(standing.port1, bell, guarded);
    // Neither keeps a process alive that has nothing else to do.
    frames.port1.unref();
    standing.port1.unref();
    const task = {
      id,
      program,
      limits,
      port: frames.port2,
      bridge: standing.port2,
      bell,
      meter: counts.buffer,
    };
    const tenant = await cell.place(task as Parameters<Cell["place"]>[0], [frames.port2, standing.port2]);
    const item: Instance = {
      artefact: made,
      open: new Set(),
      onQuiet: undefined,
      isLeaving: false,
      asking,
      channelDone: Promise.resolve(),
      endpoint,
      cell,
      slot: tenant.slot,
      failure: undefined,
      gone: tenant.gone.then(
        (reason) => leave(reason && fromWireError(reason)),
        (error: unknown) => leave(failureOf(tenant, error)),
      ),
    };
    function leave(failure: RclawError | undefined): void {
      item.failure ??= failure;
      endpoint[Symbol.dispose]();
      bridge[Symbol.dispose]();
      if (!failure) return;
      // One that does not carry the plugin any more, or not yet, says nothing about the one that does.
      if (current !== item) return;
      instance = current = undefined;
      if (failure.code !== "UNAVAILABLE") strike(failure);
    }
    return item;
  }

  function strike(failure: RclawError): void {
    parts.report(`runtime ${runtime}`, failure);
    if (!giveWay(failure)) breaker.fail(failure);
  }

  /** Back to the version before, when the current one is on probation. */
  function giveWay({ message }: Error): boolean {
    if (!before || Date.now() >= before.until) return false;
    const from = artefact.found;
    const to = before.artefact.found;
    artefact = before.artefact;
    before = undefined;
    backTo = to.file;
    gaveWay = `is back to the version before: the new one broke (${message})`;
    const back = `plugin "${id}" ${gaveWay}`;
    parts.report("update", new RclawError("PLUGIN_FAILED", back, { details: { plugin: id } }));
    parts.onGaveWay({ from, to, reason: message });
    return true;
  }

  async function startCurrent(): Promise<Instance> {
    breaker.check();
    const made = artefact;
    let item: Instance | undefined;
    try {
      item = await start(made);
      if (made === artefact) current = item;
      const offer = await activate(item);
      if (JSON.stringify(offer) !== JSON.stringify(offered)) {
        offered = offer;
        await offers.keep(item.artefact.hash, activation?.config, offer);
      }
      return item;
    } catch (error) {
      // Its end was counted already.
      const isCounted = item?.failure !== undefined || life.signal.aborted;
      if (!isCounted && made === artefact && error instanceof Error) giveWay(error);
      throw error;
    }
  }

  async function activate(item: Instance): Promise<Offer> {
    using _waiting = item.cell.waiting("load");
    const late = setTimeout(() => {
      item.cell.end(`did not load within ${limits.loadMs} ms`, item.slot);
    }, limits.loadMs);
    try {
      return (await item.endpoint.call("activate", activation)) as Offer;
    } catch (error) {
      await dismiss(item);
      throw item.failure ?? error;
    } finally {
      clearTimeout(late);
    }
  }

  function live(): Promise<Instance> {
    clearTimeout(idle);
    if (!instance) {
      const starting = startCurrent();
      instance = starting;
      // One that could not start is not what the next call waits for.
      starting.catch(() => {
        if (instance === starting) instance = undefined;
      });
    }
    return instance;
  }

  async function dismiss(item: Instance): Promise<void> {
    item.endpoint[Symbol.dispose]();
    await item.gone;
  }

  /** Lets it run what it deferred, for as long as that takes within reason. */
  async function retire(item: Instance): Promise<void> {
    using _waiting = item.cell.waiting();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), 2_000);
    await item.endpoint.call("deactivate", null, { signal: late.signal }).catch(() => undefined);
    clearTimeout(timer);
    await dismiss(item);
  }

  async function sleep(): Promise<void> {
    const item = await instance?.catch(() => undefined);
    if (!item || pending > 0) return;
    instance = undefined;
    await retire(item);
  }

  /** The instance that a call goes to. Nothing may wait between this and the call's place in `open`. */
  async function seat(method: keyof Asked): Promise<Instance> {
    for (;;) {
      const waited = handover;
      // Whoever receives messages waits until nobody else does.
      if (method === "channel.start") await waited;
      const item = await live();
      if (!item.isLeaving && (method !== "channel.start" || waited === handover)) return item;
    }
  }

  async function call(
    method: keyof Asked,
    params: unknown,
    { signal, timeoutMs = limits.callMs, onChunk, onStart }: LinkOptions,
  ): Promise<unknown> {
    const item = await seat(method);
    using _waiting = item.cell.waiting();
    const late = new AbortController();
    const own: OpenCall = { method, late };
    item.open.add(own);
    const onAbort = (): void => late.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const limit = timeoutMs === 0 ? 0 : Math.min(timeoutMs, limits.callMs);
    let expired = false;
    const expire = (): void => {
      expired = true;
      // One that stands still for its host would keep its thread from everybody.
      if (!item.artefact.blocks) return late.abort();
      const inside = item.cell.inside();
      if (inside === undefined || inside === item.slot)
        item.cell.end(`did not answer ${method} within ${limit} ms`, item.slot);
      // It was never its turn: another plugin stands in the thread.
      else item.cell.end(`kept others waiting for more than ${limit} ms`, inside);
    };
    const timer = limit ? setTimeout(expire, limit) : undefined;
    try {
      stayAwake(awakeMs);
      const answer = await item.endpoint.call(method, params, {
        signal: late.signal,
        ...(onChunk && { onChunk }),
        ...(onStart && { onStart }),
      });
      // A WASM guest's answer was looked at in its thread; a script's comes as it is.
      if (runtime === "worker") checkGuestValue(answer, { maxBytes: limits.resultBytes });
      return answer;
    } catch (error) {
      if (expired)
        throw new RclawError("TIMEOUT", `plugin "${id}" did not answer ${method} within ${limit} ms`, {
          cause: error,
          details: { plugin: id },
        });
      if (late.signal.reason === handingOver) {
        // What it has received is still taken from it; where this call is over it would be refused.
        await item.channelDone;
        throw new RclawError("ABORTED", `plugin "${id}" goes on as another version`, {
          details: { handover: true },
        });
      }
      // The endpoint ends first; why it ended is known a moment later. UNAVAILABLE may also be the plugin's own word.
      if (item.endpoint.ended) await item.gone;
      throw item.failure ?? error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      item.open.delete(own);
      if (item.open.size === 0) item.onQuiet?.();
    }
  }

  /** Resolves when nothing is asked of the host any more, and an answer to the last of it led to nothing further. */
  async function askedAll({ asking, endpoint }: Instance, signal: AbortSignal): Promise<void> {
    while (!endpoint.ended && !signal.aborted) {
      if (asking.count > 0)
        await new Promise<void>((resolve) => {
          asking.onNone = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
      const { total } = asking;
      // Frames keep their order: whatever comes back, all that was sent before it has been seen to.
      await endpoint.call("ping", null, { signal }).catch(() => undefined);
      if (asking.count === 0 && asking.total === total) return;
    }
  }

  /** Tells the channel of the version before to stop. Answers whether there is one. */
  function stopChannel(old: Instance): boolean {
    const started = [...old.open].filter(({ method }) => method === "channel.start");
    if (started.length === 0) return false;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), channelMs);
    old.channelDone = askedAll(old, late.signal).finally(() => clearTimeout(timer));
    for (const call of started) call.late.abort(handingOver);
    return true;
  }

  /** Lets the version before finish what it has begun; only its channel is told to stop. */
  async function bidFarewell(old: Instance): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, farewellMs);
      old.onQuiet = () => {
        clearTimeout(timer);
        resolve();
      };
      if (old.open.size === 0) old.onQuiet();
    });
    await retire(old);
  }

  let swapping: Promise<unknown> = Promise.resolve();
  /** One after the other: each has to know what it follows. */
  function swap(newer: Artefact): Promise<boolean> {
    const done = swapping.then(async () => {
      pending++;
      try {
        return await takeOver(newer);
      } finally {
        rest();
      }
    });
    swapping = done.catch(() => undefined);
    return done;
  }

  /** The instance there is when nothing changes any more while one looks. */
  async function settled(): Promise<Instance | undefined> {
    for (;;) {
      const seen = instance;
      const item = await seen?.catch(() => undefined);
      if (seen === instance) return item;
    }
  }

  async function takeOver(newer: Artefact): Promise<boolean> {
    // It went there by itself.
    const isThere = backTo === newer.found.file;
    backTo = undefined;
    if (isThere) return true;
    // One that sleeps is taken over as well; one that cannot be started is not what to go back to.
    const seen = instance;
    if (!activation || !offered || breaker.isOpen() || (seen && !(await seen.catch(() => undefined))))
      return false;
    // Nobody calls it before it has shown that it comes to life: what fails here has changed nothing.
    const fresh = await start(newer, true);
    const offer = await activate(fresh);
    const isSame = JSON.stringify(offer) === JSON.stringify(offered);
    if (isSame) await offers.keep(newer.hash, activation.config, offer).catch(() => undefined);
    const old = await settled();
    if (!isSame || life.signal.aborted || fresh.endpoint.ended) {
      await retire(fresh);
      if (fresh.failure) throw fresh.failure;
      return false;
    }
    // The same files anew are no other version, and nothing to go back to.
    if (newer.found.file !== artefact.found.file) {
      before = { artefact, until: Date.now() + probationMs };
      gaveWay = undefined;
    }
    artefact = newer;
    instance = Promise.resolve(fresh);
    current = fresh;
    if (!old) return true;
    old.isLeaving = true;
    leaving.add(old);
    const isHanded = stopChannel(old);
    const farewell = bidFarewell(old)
      .catch(() => undefined)
      .finally(() => leaving.delete(old));
    if (isHanded) handover = Promise.race([farewell, alone(old, farewell)]);
    return true;
  }

  /** Resolves when the version before receives nothing any more: gone, unless calls hold it that have nothing to do with it. */
  async function alone(old: Instance, farewell: Promise<void>): Promise<void> {
    await old.channelDone;
    const others = [...old.open].some(({ method }) => method !== "channel.start");
    if (!others || old.asking.count > 0) await farewell;
  }

  return {
    swap,
    async open(given, handle, signal) {
      activation = given;
      verbs = handle;
      signal.addEventListener("abort", () => life.abort(), { once: true });
      offered = await offers.find(id, artefact.hash, given.config);
      if (!offered) {
        pending++;
        try {
          await live();
        } finally {
          rest();
        }
      }
      return offered as Offer;
    },
    async call(method, params, options = {}) {
      tally.calls++;
      pending++;
      try {
        return await call(method, params, options);
      } catch (error) {
        tally.failures++;
        throw error;
      } finally {
        rest();
      }
    },
    async close() {
      clearTimeout(idle);
      const item = await instance?.catch(() => undefined);
      instance = undefined;
      life.abort();
      for (const { onQuiet } of leaving) onQuiet?.();
      await Promise.all([...leaving, ...(item ? [item] : [])].map(retire));
    },
    onBytes: (count) => void (tally.egressBytes += count),
    use: () => ({
      runtime,
      loaded: instance !== undefined,
      ...tally,
      ...(gaveWay !== undefined && { gaveWay }),
      cpuMs: counts[meter.cpuMs] ?? 0,
      peakBytes: counts[meter.bytes] ?? 0,
    }),
  };

  function rest(): void {
    pending--;
    if (pending > 0 || parts.stays || !instance) return;
    idle = setTimeout(() => void sleep(), parts.idleMs).unref();
  }
}
