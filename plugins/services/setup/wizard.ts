import { randomUUID } from "node:crypto";
import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { runFlow } from "./flow.ts";
import { gatewayFor } from "./gateway.ts";
import { cancelParams, nextParams, startParams, statusParams } from "./methods.schema.ts";
import { createSession, type Turn, type WizardSession } from "./session.ts";

interface Held extends WizardSession {
  /** Whoever asked last: what is changed is changed in that person's name. */
  caller: Caller;
  /** Channels that were set up. */
  readonly channels: string[];
  expires?: NodeJS.Timeout;
}

/** A person who has walked away must not keep the next one out. */
const idleMs = 600_000;

/** `wizard.*` of the gateway protocol: one at a time, led by whoever is allowed to administer. */
export function wizardMethods(
  context: Pick<PluginContext, "methods" | "providers" | "signal" | "defer">,
): Method[] {
  const sessions = new Map<string, Held>();
  context.defer(() => {
    for (const id of sessions.keys()) forget(id);
  });

  function forget(id: string): void {
    const session = sessions.get(id);
    clearTimeout(session?.expires);
    session?.cancel();
    sessions.delete(id);
  }

  function touch(id: string, session: Held): void {
    clearTimeout(session.expires);
    session.expires = setTimeout(() => forget(id), idleMs);
    session.expires.unref();
  }

  function found(id: string): Held {
    const session = sessions.get(id);
    if (!session) throw new RclawError("INVALID_REQUEST", "wizard not found");
    touch(id, session);
    return session;
  }

  /** The next step, with what was set up once it is over. */
  async function turn(id: string, session: Held): Promise<Turn & object> {
    const next = await session.next();
    if (!next.done) return next;
    forget(id);
    const accounts = session.channels.map((channel) => ({ channel, accountId: "default" }));
    return { ...next, ...(accounts.length > 0 && { channels: session.channels, accounts }) };
  }

  function open(params: StartParams, caller: Caller): Held {
    const channels: string[] = [];
    const session: WizardSession = createSession((ask) => {
      // On another machine there is nothing to set up here.
      if (params.mode === "remote")
        throw new Error("remote mode is set up where it is used: rclaw config set gateway.mode remote");
      return runFlow(
        {
          gateway: gatewayFor(context, () => held.caller),
          what: params.flow ?? "setup",
          channel: params.channel,
          workspace: params.workspace,
          ready: (provider) => context.providers.ready(provider, context.signal),
          onChannel: (id) => void channels.push(id),
        },
        ask,
      );
    });
    const held: Held = { ...session, caller, channels };
    return held;
  }

  return [
    defineMethod({
      name: "wizard.start",
      since: "2026.2.17",
      params: startParams,
      async handle({ params, caller }) {
        if ([...sessions.values()].some((session) => session.status().status === "running"))
          throw new RclawError("UNAVAILABLE", "wizard already running");
        for (const id of sessions.keys()) forget(id);
        const sessionId = randomUUID();
        const session = open(params, caller);
        sessions.set(sessionId, session);
        touch(sessionId, session);
        return { sessionId, ...(await turn(sessionId, session)) };
      },
    }),
    defineMethod({
      name: "wizard.next",
      since: "2026.2.17",
      params: nextParams,
      async handle({ params: { sessionId, answer }, caller }) {
        const session = found(sessionId);
        session.caller = caller;
        if (answer) {
          if (session.status().status !== "running")
            throw new RclawError("INVALID_REQUEST", "wizard not running");
          session.answer(answer.stepId, answer.value);
        }
        return turn(sessionId, session);
      },
    }),
    defineMethod({
      name: "wizard.cancel",
      since: "2026.2.17",
      params: cancelParams,
      async handle({ params: { sessionId } }) {
        const session = found(sessionId);
        session.cancel();
        forget(sessionId);
        return session.status();
      },
    }),
    defineMethod({
      name: "wizard.status",
      since: "2026.2.17",
      params: statusParams,
      async handle({ params: { sessionId } }) {
        const session = found(sessionId);
        const status = session.status();
        if (status.status !== "running") forget(sessionId);
        return status;
      },
    }),
  ];
}

interface StartParams {
  readonly mode?: "local" | "remote";
  readonly workspace?: string;
  readonly flow?: "setup" | "channels";
  readonly channel?: string;
}
