import http, { type Agent } from "node:http";

/** Connections that may be used again, kept apart by owner and host so that no request travels on another's. */
export interface Pool {
  agent(key: string, protocol: string): Promise<Agent>;
  close(): void;
}

const maxAgents = 32;

export function createPool(idleMs: number): Pool {
  const agents = new Map<string, Agent>();

  function sweep(): void {
    if (agents.size < maxAgents) return;
    for (const [key, agent] of agents) {
      const isBusy = [agent.sockets, agent.requests].some((lists) => Object.keys(lists).length > 0);
      if (isBusy) continue;
      agent.destroy();
      agents.delete(key);
    }
  }

  return {
    async agent(key, protocol) {
      const kind = protocol === "https:" ? (await import("node:https")).default : http;
      const known = agents.get(key);
      if (known) return known;
      sweep();
      // Idle sockets are unref'd by the agent, and its timeout closes them. Node tries the next address of
      // a host after 250 ms by default, which is too short for a mobile link.
      const agent = new kind.Agent({
        keepAlive: true,
        timeout: idleMs,
        maxFreeSockets: 4,
        autoSelectFamilyAttemptTimeout: 2_000,
      });
      agents.set(key, agent);
      return agent;
    },
    close() {
      for (const agent of agents.values()) agent.destroy();
      agents.clear();
    },
  };
}
