import { RclawError } from "@rclaw/plugin-sdk";
import type { Incoming } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Reactor, ReactorAction, ReactorEvent } from "@rclaw/plugin-sdk/boundary/reactor";
import type { Serving } from "./component.ts";
import { crashed, fromGuest, thrownByGuest } from "./component-errors.ts";
import { createRequests } from "./component-requests.ts";
import { parseGuestJson } from "./guest-json.ts";
import type { GuestPorts } from "./guest.ts";
import { withinBudget } from "./lifting.ts";

/** A call of the host that the guest has not answered yet. */
interface OpenCall {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  emit(chunk: unknown): Promise<void>;
  /** The pieces of the answer so far; the answer itself comes after them. */
  sent: Promise<void>;
}

/** Turns calls into events of a reactor guest, and its actions into answers and requests. */
export function serveReactor(
  reactor: Reactor,
  ports: GuestPorts,
  broken: (error: RclawError) => void,
): Serving {
  const { id: plugin, limits } = ports;
  const open = new Map<number, OpenCall>();
  const queue: ReactorEvent[] = [];
  let running = false;
  let gone: RclawError | undefined;
  /** Bytes of pieces that nobody has taken yet. */
  let untaken = 0;
  const requests = createRequests(ports, { post, kill, isOpen: (id) => open.has(id) });
  const json = { maxBytes: limits.resultBytes, maxDepth: 64 };

  /** One event at a time: what an event leads to waits for its end. */
  function post(event: ReactorEvent): void {
    if (gone) return;
    queue.push(event);
    if (running) return;
    running = true;
    try {
      // The end of the instance empties the queue.
      for (let next = queue.shift(); next; next = queue.shift()) enter(next);
    } finally {
      running = false;
    }
  }

  function enter(event: ReactorEvent): void {
    let actions: ReactorAction[];
    try {
      actions = ports.enter(() => withinBudget(limits.hostBytes, () => reactor.handle(event)));
    } catch (error) {
      return kill(thrownByGuest(error) ?? crashed(plugin, error));
    }
    for (const action of actions) {
      if (gone) return;
      perform(action);
    }
  }

  /** The guest broke a rule after which nothing it says can be trusted. */
  function kill(error: RclawError): void {
    if (!gone) broken(error);
  }

  function perform(action: ReactorAction): void {
    switch (action.tag) {
      case "return":
        return settle(action.val.id, (call) => {
          const result = parseGuestJson(action.val.payload, json);
          void call.sent.then(() => call.resolve(result));
        });
      case "webhook-answer": {
        const { id, status, headers, body } = action.val;
        return settle(id, (call) => {
          if (body.length > limits.resultBytes) throw tooLarge(plugin, limits.resultBytes);
          const named = Object.fromEntries(headers.map(({ name, value }) => [name, value]));
          call.resolve({ status, headers: named, body });
        });
      }
      case "fail":
        return settle(action.val.id, (call) => {
          const error = fromGuest(action.val.error);
          void call.sent.then(() => call.reject(error));
        });
      case "chunk":
        return chunk(action.val);
      default:
        return requests.perform(action);
    }
  }

  function settle(id: number, done: (call: OpenCall) => void): void {
    const call = open.get(id);
    if (!call) return;
    open.delete(id);
    try {
      done(call);
    } catch (error) {
      call.reject(error);
    }
  }

  function chunk({ id, payload }: { readonly id: number; readonly payload: string }): void {
    const call = open.get(id);
    if (!call) return;
    const size = payload.length;
    untaken += size;
    if (untaken > limits.hostBytes)
      return kill(
        new RclawError(
          "PLUGIN_FAILED",
          `plugin "${plugin}" was ended: it streamed ${limits.hostBytes} bytes that nobody had taken yet`,
        ),
      );
    try {
      const piece = parseGuestJson(payload, json);
      call.sent = call.sent
        .then(() => call.emit(piece))
        // Nobody waits any longer; the cancellation is on its way to the guest.
        .catch(() => undefined)
        .finally(() => (untaken -= size));
    } catch (error) {
      untaken -= size;
      settle(id, () => call.reject(error));
      post({ tag: "cancel", val: id });
    }
  }

  function eventOf({ id, method, params }: Incoming): ReactorEvent {
    if (method !== "route.handle")
      return { tag: "call", val: { id, method, params: JSON.stringify(params) ?? "null" } };
    const { route, request } = params as {
      readonly route: string;
      readonly request: {
        readonly method: string;
        readonly path: string;
        readonly query: object;
        readonly headers: Readonly<Record<string, string>>;
        readonly body: Uint8Array;
      };
    };
    const headers = Object.entries(request.headers).map(([name, value]) => ({ name, value }));
    return { tag: "webhook", val: { id, route, ...request, query: JSON.stringify(request.query), headers } };
  }

  return {
    handle(call) {
      const { id, method, signal } = call;
      if (gone) return Promise.reject(gone);
      if (signal.aborted) return Promise.reject(aborted(method));
      if (open.has(id)) return Promise.reject(new RclawError("CONFLICT", `call ${id} is still running`));
      return new Promise((resolve, reject) => {
        const onAbort = (): void => {
          // What the guest still says about it is ignored: nobody waits.
          if (!open.delete(id)) return;
          reject(aborted(method));
          if (!gone) post({ tag: "cancel", val: id });
        };
        const settled =
          <T>(done: (value: T) => void) =>
          (value: T): void => {
            signal.removeEventListener("abort", onAbort);
            done(value);
          };
        signal.addEventListener("abort", onAbort, { once: true });
        open.set(id, {
          resolve: settled(resolve),
          reject: settled(reject),
          emit: (chunk) => call.emit(chunk),
          sent: Promise.resolve(),
        });
        // The host asks whether it is there because it has asked for so much.
        if (method !== "ping") requests.begun();
        post(eventOf(call));
      });
    },
    end(error) {
      gone = error;
      queue.length = 0;
      requests.end();
      for (const call of open.values()) call.reject(error);
      open.clear();
    },
  };
}

const aborted = (method: string): RclawError => new RclawError("ABORTED", `${method} was aborted`);
const tooLarge = (plugin: string, bytes: number): RclawError =>
  new RclawError("TOO_LARGE", `plugin "${plugin}" answered more than ${bytes} bytes`);
