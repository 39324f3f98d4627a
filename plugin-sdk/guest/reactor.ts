import type { Asked } from "../boundary/calls.ts";
import type { Handler, Incoming } from "../boundary/endpoint.ts";
import type { PluginError, Reactor, ReactorEvent } from "../boundary/reactor.ts";
import { isRclawError, RclawError } from "../errors.ts";
import { GuestAbortController, GuestAbortSignal } from "./abort.ts";
import { describe } from "./globals.ts";
import { act, log, outstanding, takeActions } from "./outbox.ts";
import { GuestPromise, runJobs, takeUnhandled } from "./promise.ts";
import { GuestTextEncoder } from "./text.ts";

/** A call of the host that is not answered yet. */
interface OpenCall {
  readonly method: string;
  /** Made when somebody asks for the signal: most calls are over before anybody would. */
  controller: GuestAbortController | undefined;
}

const open = new Map<number, OpenCall>();

function toPluginError(error: unknown): PluginError {
  if (isRclawError(error)) {
    const { code, message, retryable, details } = error;
    return { code, message, retryable, details: details && JSON.stringify(details) };
  }
  // Anything else is a bug. Who serves the plugin has told the log about it.
  return { code: "PLUGIN_FAILED", message: "plugin failed", retryable: undefined, details: undefined };
}

function fail(id: number, error: unknown): void {
  if (!open.delete(id)) return;
  act({ tag: "fail", val: { id, error: toPluginError(error) } });
}

const json = (value: unknown): string => JSON.stringify(value) ?? "null";

function begin(
  handler: Handler,
  id: number,
  method: string,
  params: unknown,
  answer: (result: unknown) => void,
): void {
  const own: OpenCall = { method, controller: undefined };
  open.set(id, own);
  const emit = (chunk: unknown): Promise<void> => {
    if (open.get(id) !== own || own.controller?.signal.aborted)
      return GuestPromise.reject(new RclawError("ABORTED", "nobody waits for the rest of this answer"));
    act({ tag: "chunk", val: { id, payload: json(chunk) } });
    return GuestPromise.resolve();
  };
  const call: Incoming = {
    id,
    method,
    params,
    get signal() {
      own.controller ??= new GuestAbortController();
      return own.controller.signal as unknown as AbortSignal;
    },
    emit,
  };
  const finish = (result: unknown): void => {
    if (open.get(id) !== own) return;
    try {
      answer(result);
      open.delete(id);
    } catch (error) {
      log("error", `${method} answered what cannot be sent: ${describe(error)}`);
      fail(id, error);
    }
  };
  try {
    handler(call).then(finish, (error: unknown) => fail(id, error));
  } catch (error) {
    fail(id, error);
  }
}

type Answer = Asked["route.handle"]["result"];

function answerWebhook(id: number, { status, headers = {}, body = "" }: Answer): void {
  act({
    tag: "webhook-answer",
    val: {
      id,
      status,
      headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
      body: typeof body === "string" ? new GuestTextEncoder().encode(body) : body,
    },
  });
}

function take(handler: Handler, event: ReactorEvent): void {
  switch (event.tag) {
    case "call": {
      const { id, method, params } = event.val;
      return begin(handler, id, method, JSON.parse(params), (result) =>
        act({ tag: "return", val: { id, payload: json(result) } }),
      );
    }
    case "webhook": {
      const { id, route, headers, query, method, path, body } = event.val;
      const request = {
        method,
        path,
        query: JSON.parse(query) as Readonly<Record<string, string>>,
        headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])),
        body,
      };
      return begin(handler, id, "route.handle", { route, request }, (result) =>
        answerWebhook(id, result as Answer),
      );
    }
    case "cancel":
      return cancel(event.val);
    default: {
      const id = typeof event.val === "number" ? event.val : event.val.id;
      if (outstanding.get(id)?.(event)) outstanding.delete(id);
    }
  }
}

function cancel(id: number): void {
  const call = open.get(id);
  if (!call) return;
  call.controller ??= new GuestAbortController();
  call.controller.abort(new RclawError("ABORTED", "nobody waits any longer"));
}

/** A call that waits for nothing would wait until its deadline, and nobody would know why. */
function failStranded(): void {
  if (outstanding.size > 0) return;
  for (const [id, { method, controller }] of open) {
    // Who waits to be cancelled, and a channel that only hears webhooks, wait for the host.
    if (method === "channel.start" || (controller && GuestAbortSignal.isHeard(controller.signal))) continue;
    const what = `${method} waits for nothing that could happen: no request, timer or socket is left that would wake it`;
    fail(id, new RclawError("PLUGIN_FAILED", `${what}. Look for a promise that is never resolved`));
  }
}

/** A plugin's handler as the one export of a reactor component. */
export function createReactor(handler: Handler): Reactor {
  const failed = (error: unknown): void => log("error", `a callback failed: ${describe(error)}`);
  return {
    handle(event) {
      try {
        take(handler, event);
      } catch (error) {
        failed(error);
      }
      runJobs(failed);
      for (const reason of takeUnhandled()) log("error", `unhandled rejection: ${describe(reason)}`);
      failStranded();
      return takeActions();
    },
  };
}
