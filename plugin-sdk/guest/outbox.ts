import type { ReactorAction, ReactorEvent } from "../boundary/reactor.ts";

let actions: ReactorAction[] = [];
let lastId = 0;

/** Hears the events of one request; true when nothing follows. */
type Listener = (event: ReactorEvent) => boolean;

/** What may still happen without the host asking for it: requests, sockets, timers, host calls. */
export const outstanding = new Map<number, Listener>();

export function act(action: ReactorAction): void {
  actions.push(action);
}

export function takeActions(): ReactorAction[] {
  const taken = actions;
  actions = [];
  return taken;
}

/** A number that no other request, socket, timer or host call of this guest has. */
export function nextId(): number {
  return ++lastId;
}

/** The gateway's log, from where no logger is at hand. */
export function log(level: "debug" | "info" | "warn" | "error", message: string, fields?: object): void {
  act({ tag: "log", val: { level, message, fields: fields && JSON.stringify(fields) } });
}
