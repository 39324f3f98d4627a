import { defineMethod, type Method, RclawError } from "@rclaw/plugin-sdk";
import {
  agentParams,
  artifactsParams,
  catalogParams,
  githubParams,
  historyParams,
  libraryParams,
  noParams,
  sessionParams,
  setupCodeParams,
  tasksParams,
  transcriptsParams,
  visibilityParams,
} from "./methods.schema.ts";

const since = "2026.9";
/** The page has its own themes, and this one where nothing else was chosen; a gateway of ours adds none. */
const claw = { id: "claw", name: "Claw", source: "builtin", modes: ["light", "dark"] };

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
    ...settingsPages(unavailable),
  ];
}

/** The same for the pages behind the chat: settings, plugins, skills, worktrees, meetings. */
function settingsPages(unavailable: (message: string) => () => Promise<never>): readonly Method[] {
  return [
    defineMethod({ name: "users.list", since, params: noParams, handle: async () => ({ profiles: [] }) }),
    defineMethod({
      name: "artifacts.list",
      since,
      params: artifactsParams,
      handle: async () => ({ artifacts: [] }),
    }),
    defineMethod({
      name: "worktrees.list",
      since,
      params: noParams,
      handle: async () => ({ worktrees: [] }),
    }),
    defineMethod({
      name: "transcripts.list",
      since,
      params: transcriptsParams,
      handle: async () => ({ sessions: [], nextCursor: null }),
    }),
    defineMethod({
      name: "skills.library.list",
      since,
      params: libraryParams,
      handle: async () => ({ entries: [], defaultTarget: "unavailable", defaultSelectionLimit: 64 }),
    }),
    defineMethod({
      name: "skills.proposals.list",
      since,
      params: agentParams,
      handle: async () => ({ proposals: [], installedSkills: [] }),
    }),
    defineMethod({
      name: "themes.list",
      since,
      params: noParams,
      handle: async () => ({
        current: { id: claw.id, mode: "system", scope: "gateway", overrides: {} },
        theme: claw,
        themes: [],
      }),
    }),
    defineMethod({
      name: "plugins.catalog.browse",
      since,
      params: catalogParams,
      handle: async () => ({
        items: [],
        remoteError:
          "rclaw has no catalog of plugins to browse; `rclaw plugin list` shows what is there, `rclaw plugin add` installs more",
      }),
    }),
    defineMethod({
      name: "approval.history",
      since,
      params: historyParams,
      handle: unavailable(
        "rclaw keeps no history of approvals; what waits is shown, and the log has what was decided",
      ),
    }),
    defineMethod({
      name: "tools.github.status",
      since,
      params: githubParams,
      handle: unavailable("rclaw signs in to GitHub for nobody; the assistant uses what this machine has"),
    }),
    defineMethod({
      name: "device.pair.setupCode",
      since,
      params: setupCodeParams,
      handle: unavailable(
        "rclaw makes no setup codes; enter the gateway's address and token in the app, then approve it here",
      ),
    }),
  ];
}
