import { RclawError } from "@rclaw/plugin-sdk";
import type { HttpHead, HttpRequest, Verbs } from "@rclaw/plugin-sdk/boundary/calls";
import type { Header, PluginError, ReactorAction, ReactorEvent } from "@rclaw/plugin-sdk/boundary/reactor";
import { toGuest } from "./component-errors.ts";
import { guestLog } from "./guest-log.ts";
import { parseGuestJson } from "./guest-json.ts";
import type { GuestPorts } from "./guest.ts";

/** Actions that ask for something, rather than answer. */
type Asking = Exclude<ReactorAction, { readonly tag: "return" | "fail" | "chunk" | "webhook-answer" }>;

interface Reactor {
  post(event: ReactorEvent): void;
  kill(error: RclawError): void;
  /** That call of the host is not answered yet. */
  isOpen(call: number): boolean;
}

/** Bytes of a body that a guest is given at once; each costs an entry, and memory of the guest. */
const pieceBytes = 65_536;
/** Requests, sockets and timers that may be open at once. */
const maxOutstanding = 1_000;
/** What has actions of its own: as a host call it would pass by their rules. */
const ownActions = new Set([
  "http.fetch",
  "http.send",
  "ws.connect",
  "ws.send",
  "ws.close",
  "channel.receive",
  "log",
]);

const wireHeaders = (headers: readonly Header[]) => headers.map(({ name, value }) => [name, value] as const);

/** Does what a guest asks for, within its limits, and tells it what came of it. */
export function createRequests(ports: GuestPorts, { post, kill, isOpen }: Reactor) {
  const { id: plugin, limits, host } = ports;
  const running = new Map<number, AbortController>();
  const timers = new Map<number, NodeJS.Timeout>();
  const allowance = createAllowance(limits.hostCalls);
  const perCall = new Map<number, number>();
  const lines = guestLog(host, limits.logLines);
  /** Bytes on their way to the host. */
  let sending = 0;

  function broke(rule: string): void {
    kill(new RclawError("PLUGIN_FAILED", `plugin "${plugin}" was ended: ${rule}`));
  }

  function isFree(id: number): boolean {
    if (running.has(id) || timers.has(id)) {
      broke(`it used the number ${id} twice`);
      return false;
    }
    if (running.size + timers.size < maxOutstanding) return true;
    broke(`it has ${maxOutstanding} requests and timers open at once`);
    return false;
  }

  /** Why a request may not be made, or undefined. */
  function refusal(call: number | undefined, method: string): RclawError | undefined {
    if (call !== undefined) {
      if (!isOpen(call))
        return new RclawError(
          "INVALID_REQUEST",
          `call ${call} is not open; pass the call that is being answered`,
        );
      // A channel's call stays open for weeks, and hands in all that it receives.
      if (method === "channel.receive") return allowance.take() ? undefined : tooMany();
      const count = (perCall.get(call) ?? 0) + 1;
      if (perCall.size > 1_000) for (const one of perCall.keys()) if (!isOpen(one)) perCall.delete(one);
      perCall.set(call, count);
      if (count > limits.hostCalls) return tooMany();
    }
    return allowance.take() ? undefined : tooMany();
  }
  const tooMany = (): RclawError =>
    new RclawError(
      "RATE_LIMITED",
      `plugin "${plugin}" asked its host more than ${limits.hostCalls} times in one call`,
    );

  interface Asked {
    readonly id: number;
    readonly method: keyof Verbs;
    readonly params: unknown;
    readonly call?: number | undefined;
    readonly bytes?: number;
    onChunk?(chunk: never): void;
    answered(result: unknown): void;
    failed(error: PluginError): void;
  }

  function start({ id, method, params, call, bytes = 0, onChunk, answered, failed }: Asked): void {
    if (!isFree(id)) return;
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    const over = <T>(tell: (value: T) => void, value: T): void => {
      sending -= bytes;
      if (signal.aborted || running.get(id) !== controller) return;
      running.delete(id);
      tell(value);
    };
    sending += bytes;
    const refused = refusal(call, method);
    if (refused || sending > limits.hostBytes) {
      const error =
        refused ?? new RclawError("TOO_LARGE", `more than ${limits.hostBytes} bytes are waiting to be sent`);
      // Not at once: a guest that asks again and again would never let anybody else have the thread.
      const later = setTimeout(() => over(failed, toGuest(error)), 20);
      signal.addEventListener("abort", () => clearTimeout(later), { once: true });
      return;
    }
    const options = {
      signal,
      ...(onChunk && {
        onChunk(chunk: unknown): void {
          if (!signal.aborted && running.get(id) === controller) onChunk(chunk as never);
        },
      }),
    };
    host.call(method, params, options).then(
      (result) => over(answered, result),
      (error: unknown) => over(failed, toGuest(error)),
    );
  }

  function cancel(id: number): void {
    running.get(id)?.abort();
    running.delete(id);
  }

  const hostAnswers = (id: number): Pick<Asked, "answered" | "failed"> => ({
    answered: (result) =>
      post({
        tag: "host-result",
        val: { id, outcome: { tag: "ok", val: JSON.stringify(result) ?? "null" } },
      }),
    failed: (error) => post({ tag: "host-result", val: { id, outcome: { tag: "err", val: error } } }),
  });

  const performing: { [Tag in Asking["tag"]]: (val: Extract<Asking, { tag: Tag }>["val"]) => void } = {
    "http-request"({ id, method, url, headers, body, redirect }) {
      const params: HttpRequest = {
        method,
        url,
        headers: wireHeaders(headers),
        ...(body && { body }),
        ...(redirect !== undefined && { redirect }),
      };
      start({
        id,
        method: "http.fetch",
        params,
        bytes: body?.length ?? 0,
        onChunk(chunk: { readonly head: HttpHead } | Uint8Array) {
          if (chunk instanceof Uint8Array) {
            for (let at = 0; at < chunk.length; at += pieceBytes)
              post({ tag: "http-chunk", val: { id, bytes: chunk.subarray(at, at + pieceBytes) } });
            return;
          }
          const { status, headers, url } = chunk.head;
          const named = headers.map(([name, value]) => ({ name, value }));
          post({ tag: "http-head", val: { id, status, headers: named, url } });
        },
        answered: () => post({ tag: "http-end", val: { id, error: undefined } }),
        failed: (error) => post({ tag: "http-end", val: { id, error } }),
      });
    },
    "http-cancel": cancel,
    "ws-connect"({ id, url, protocols, headers }) {
      const closed = (code: number, reason: string, error?: PluginError): void =>
        post({ tag: "ws-closed", val: { id, code, reason, error } });
      start({
        id,
        method: "ws.connect",
        params: { socket: id, url, protocols, headers: wireHeaders(headers) },
        onChunk(chunk: Verbs["ws.connect"]["chunk"]) {
          if (typeof chunk === "string")
            post({ tag: "ws-message", val: { id, data: { tag: "text", val: chunk } } });
          else if (chunk instanceof Uint8Array)
            post({ tag: "ws-message", val: { id, data: { tag: "bytes", val: chunk } } });
          else post({ tag: "ws-open", val: { id, protocol: chunk.open.protocol } });
        },
        answered(result) {
          const { code, reason } = result as Verbs["ws.connect"]["result"];
          closed(code, reason);
        },
        failed: (error) => closed(1006, "", error),
      });
    },
    "ws-send"({ id, data }) {
      if (!running.has(id)) return;
      const size = data.val.length;
      sending += size;
      if (sending > limits.hostBytes || !allowance.take()) {
        // A socket that has lost a message is not the same socket any more.
        sending -= size;
        cancel(id);
        return post({ tag: "ws-closed", val: { id, code: 1006, reason: "", error: toGuest(tooMany()) } });
      }
      const over = (): void => void (sending -= size);
      host.call("ws.send", { socket: id, data: data.val }).then(over, over);
    },
    "ws-close"({ id, code, reason }) {
      if (!running.has(id)) return;
      // That it is closed shows when the socket's own call ends.
      host.call("ws.close", { socket: id, code: sendableCode(code), reason }).catch(() => undefined);
    },
    timer({ id, delayMs }) {
      if (!isFree(id)) return;
      const ms = Math.min(Math.max(Number.isFinite(delayMs) ? delayMs : 1, 1), 2_147_483_647);
      const fire = (): void => {
        timers.delete(id);
        post({ tag: "timer", val: id });
      };
      timers.set(id, setTimeout(fire, ms));
    },
    "timer-cancel"(id) {
      clearTimeout(timers.get(id));
      timers.delete(id);
    },
    inbound({ id, call, message }) {
      ask(id, "channel.receive", message, call, (value) => ({ call, message: value }));
    },
    "host-call"({ id, method, params, call }) {
      if (ownActions.has(method)) {
        const error = new RclawError(
          "INVALID_REQUEST",
          `${method} is no host call: it has an action of its own`,
        );
        return start({
          id,
          method: "log",
          params: { level: "warn", message: error.message, fields: {} },
          ...hostAnswers(id),
          answered: () => hostAnswers(id).failed(toGuest(error)),
        });
      }
      ask(id, method as keyof Verbs, params, call, (value) =>
        call === undefined ? value : { ...(value as object), call },
      );
    },
    "host-cancel": cancel,
    log({ level, message, fields }) {
      if (lines.hasRoom()) lines.write(level, message, plain(fields));
    },
  };

  function ask(
    id: number,
    method: keyof Verbs,
    text: string,
    call: number | undefined,
    shape: (value: unknown) => unknown,
  ): void {
    let params: unknown;
    try {
      params = shape(parseGuestJson(text, { maxBytes: limits.resultBytes, maxDepth: 64 }));
    } catch (error) {
      return broke(`${method} was given no proper JSON (${(error as Error).message})`);
    }
    start({
      id,
      method,
      params,
      call,
      bytes: text.length,
      onChunk: (chunk) => post({ tag: "host-chunk", val: { id, payload: JSON.stringify(chunk) ?? "null" } }),
      ...hostAnswers(id),
    });
  }

  return {
    perform(action: Asking): void {
      (performing[action.tag] as (val: unknown) => void)(action.val);
    },
    /** A call of the host began, and with it a new allowance of requests. */
    begun(): void {
      allowance.refill();
    },
    /** Stops all that was begun on the guest's behalf. */
    end(): void {
      lines.end();
      for (const controller of running.values()) controller.abort();
      running.clear();
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}

/** Guests say 1001 when they lose interest, which is not theirs to send; the socket is to be closed all the same. */
const sendableCode = (code: number): number => (code >= 3_000 && code <= 4_999 ? code : 1_000);

function plain(fields: string | undefined): object {
  if (fields === undefined) return {};
  try {
    const value = parseGuestJson(fields, { maxBytes: 16_384, maxDepth: 16 });
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** So many requests at once, and as many again each minute. */
function createAllowance(count: number) {
  let left = count;
  let since = performance.now();
  return {
    take(): boolean {
      const now = performance.now();
      if (now - since > 60_000) {
        left = count;
        since = now;
      }
      return left-- > 0;
    },
    refill(): void {
      left = count;
    },
  };
}
