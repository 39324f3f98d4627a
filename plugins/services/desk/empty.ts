import { defineMethod, type Method, RclawError } from "@rclaw/plugin-sdk";
import { noParams, sessionParams, tasksParams, visibilityParams } from "./methods.schema.ts";

/**
 * Lists of things that do not exist here. A client that is told "none" goes on; one that is told
 * "unknown method" shows an error over the chat. What would be a promise is refused instead, in the
 * words for a gateway on which that part is switched off.
 */
export function emptyLists(): readonly Method[] {
  const unavailable = (message: string) => (): Promise<never> =>
    Promise.reject(new RclawError("UNAVAILABLE", message));
  return [
    defineMethod({
      name: "question.list",
      since: "2026.9",
      params: noParams,
      handle: async () => ({ questions: [] }),
    }),
    defineMethod({
      name: "tasks.list",
      since: "2026.9",
      params: tasksParams,
      handle: async () => ({ tasks: [] }),
    }),
    defineMethod({
      name: "progressCard.get",
      since: "2026.9",
      params: sessionParams,
      handle: async () => ({ card: null }),
    }),
    defineMethod({
      name: "sessions.branches.list",
      since: "2026.9",
      params: sessionParams,
      handle: async () => ({ branches: [] }),
    }),
    defineMethod({
      name: "openclaw.approval.list",
      since: "2026.9",
      params: noParams,
      handle: async () => [],
    }),
    defineMethod({
      name: "diagnostics.lanes",
      since: "2026.9",
      params: noParams,
      handle: async () => ({ ts: Date.now(), lanes: [], dynamic: null }),
    }),
    defineMethod({
      name: "sessions.companion.state",
      since: "2026.9",
      params: sessionParams,
      handle: unavailable("Side chat is unavailable."),
    }),
    defineMethod({
      name: "sessions.observer.visibility",
      since: "2026.9",
      params: visibilityParams,
      handle: unavailable("Session observer is unavailable."),
    }),
  ];
}
