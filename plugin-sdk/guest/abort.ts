import { setGuestTimeout } from "./timers.ts";

type Listener = ((event: GuestEvent) => unknown) | { handleEvent(event: GuestEvent): unknown };

interface Registered {
  readonly type: string;
  readonly listener: Listener;
  readonly once: boolean;
}

/** An event as far as it makes sense without a document. */
export class GuestEvent {
  readonly type: string;
  readonly cancelable: boolean;
  readonly timeStamp = 0;
  target: GuestEventTarget | null = null;
  defaultPrevented = false;
  stopped = false;

  constructor(type: string, { cancelable = false }: { cancelable?: boolean } = {}) {
    this.type = type;
    this.cancelable = cancelable;
  }

  get currentTarget(): GuestEventTarget | null {
    return this.target;
  }

  preventDefault(): void {
    if (this.cancelable) this.defaultPrevented = true;
  }

  stopImmediatePropagation(): void {
    this.stopped = true;
  }

  stopPropagation(): void {
    // There is nothing above a target here.
  }
}

/** Tells what a listener threw: it must not reach whoever dispatches. */
let report: (error: unknown) => void = () => {};
export function reportListenersTo(reporter: (error: unknown) => void): void {
  report = reporter;
}

export class GuestEventTarget {
  #listeners: Registered[] = [];

  addEventListener(
    type: string,
    listener: Listener | null,
    options: boolean | { once?: boolean; signal?: GuestAbortSignal } = {},
  ): void {
    if (listener === null || listener === undefined) return;
    const { once = false, signal } =
      typeof options === "object" ? options : ({} as { once?: boolean; signal?: GuestAbortSignal });
    if (signal?.aborted || this.#listeners.some((one) => one.type === type && one.listener === listener))
      return;
    this.#listeners = [...this.#listeners, { type, listener, once }];
    signal?.addEventListener("abort", () => this.removeEventListener(type, listener), { once: true });
  }

  removeEventListener(type: string, listener: Listener | null): void {
    this.#listeners = this.#listeners.filter((one) => one.type !== type || one.listener !== listener);
  }

  dispatchEvent(event: GuestEvent): boolean {
    event.target = this;
    for (const { type, listener, once } of this.#listeners) {
      if (type !== event.type) continue;
      if (once) this.removeEventListener(type, listener);
      try {
        if (typeof listener === "function") listener.call(this, event);
        else listener.handleEvent(event);
      } catch (error) {
        report(error);
      }
      if (event.stopped) break;
    }
    return !event.defaultPrevented;
  }

  /** How many listen to events of that type. */
  static count(target: GuestEventTarget, type: string): number {
    return target.#listeners.filter((one) => one.type === type).length;
  }
}

const secret = Symbol("made by its controller");

export class GuestAbortSignal extends GuestEventTarget {
  #aborted = false;
  #reason: unknown = undefined;
  /** Signals made from this one. Weakly, since this one may live as long as the plugin, and they for one call. */
  #dependents: WeakRef<GuestAbortSignal>[] = [];
  /** Those of them that somebody listens to: they are needed even when nobody else knows them. */
  readonly #heard = new Set<GuestAbortSignal>();
  #sources: readonly GuestAbortSignal[] = [];
  #pruneAt = 32;
  onabort: ((event: GuestEvent) => unknown) | null = null;

  constructor(key?: unknown) {
    super();
    if (key !== secret) throw new TypeError("Illegal constructor");
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  /** Somebody would notice if it were aborted. */
  static isHeard(signal: GuestAbortSignal): boolean {
    return (
      signal.onabort !== null ||
      GuestEventTarget.count(signal, "abort") > 0 ||
      signal.#living().some((one) => GuestAbortSignal.isHeard(one))
    );
  }

  override addEventListener(...listening: Parameters<GuestEventTarget["addEventListener"]>): void {
    super.addEventListener(...listening);
    for (const source of this.#sources) source.#heard.add(this);
  }

  override removeEventListener(...listening: Parameters<GuestEventTarget["removeEventListener"]>): void {
    super.removeEventListener(...listening);
    if (GuestEventTarget.count(this, "abort") > 0) return;
    for (const source of this.#sources) source.#heard.delete(this);
  }

  #living(): GuestAbortSignal[] {
    return this.#dependents.flatMap((one) => one.deref() ?? []);
  }

  #follow(source: GuestAbortSignal): void {
    source.#dependents.push(new WeakRef(this));
    if (source.#dependents.length < source.#pruneAt) return;
    source.#dependents = source.#dependents.filter((one) => one.deref() !== undefined);
    source.#pruneAt = Math.max(32, source.#dependents.length * 2);
  }

  /** What a controller, and nobody else, may do. */
  static fire(signal: GuestAbortSignal, reason: unknown): void {
    if (signal.#aborted) return;
    // All of them first: a listener of one may look at another one.
    const all = [signal];
    for (const one of all) {
      one.#aborted = true;
      one.#reason = reason;
      all.push(...one.#living().filter((dependent) => !dependent.#aborted));
      one.#dependents = [];
    }
    for (const one of all) {
      const event = new GuestEvent("abort");
      try {
        one.onabort?.(event);
      } catch (error) {
        report(error);
      }
      one.dispatchEvent(event);
    }
  }

  static abort(reason: unknown = abortError()): GuestAbortSignal {
    const signal = new GuestAbortSignal(secret);
    GuestAbortSignal.fire(signal, reason);
    return signal;
  }

  static timeout(ms: number): GuestAbortSignal {
    const signal = new GuestAbortSignal(secret);
    setGuestTimeout(() => GuestAbortSignal.fire(signal, timeoutError()), ms);
    return signal;
  }

  static any(signals: Iterable<GuestAbortSignal>): GuestAbortSignal {
    const combined = new GuestAbortSignal(secret);
    const sources = Array.from(signals);
    const fired = sources.find((source) => source.aborted);
    if (fired) GuestAbortSignal.fire(combined, fired.reason);
    else for (const source of sources) combined.#follow(source);
    combined.#sources = sources;
    return combined;
  }
}

export class GuestAbortController {
  readonly signal = new GuestAbortSignal(secret);

  abort(reason: unknown = abortError()): void {
    GuestAbortSignal.fire(this.signal, reason);
  }
}

const abortError = (): unknown => new DOMException("This operation was aborted", "AbortError");
const timeoutError = (): unknown =>
  new DOMException("The operation was aborted due to timeout", "TimeoutError");
