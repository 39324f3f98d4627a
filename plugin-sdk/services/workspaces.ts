import path from "node:path";
import { RclawError } from "../errors.ts";
import type { Files } from "../tool.ts";
import { agentsOf } from "./agents.ts";
import { expandHome } from "./expand-home.ts";
import type { FilesService } from "./files.ts";
import { valueAt } from "./value-at.ts";

export interface WorkspacesOptions {
  config(): unknown;
  readonly env: NodeJS.ProcessEnv;
  readonly stateDir: string;
  service(): Promise<FilesService>;
}

/** Where agents work. */
export interface Workspaces {
  /** An agent's folder, made when it is missing; afterwards the answer costs nothing. No folder for an agent that nobody configured. */
  of(agentId: string): Promise<string>;
  /** What tools may see of a folder. */
  filesIn(folder: string): Files;
}

export function createWorkspaces({ config, env, stateDir, service }: WorkspacesOptions): Workspaces {
  const made = new Map<string, Promise<string>>();
  const known = new Map<string, Files>();
  // A workspace may contain the state folder; its files are still nobody's business.
  const closed = { closed: [stateDir] };

  return {
    async of(agentId) {
      const folder = folderOf(config(), agentId, { env, stateDir });
      let ready = made.get(folder);
      if (!ready) {
        ready = service().then(({ makeWorkspace }) => makeWorkspace(folder));
        made.set(folder, ready);
        ready.catch(() => made.delete(folder));
      }
      return ready;
    },
    filesIn(folder) {
      let files = known.get(folder);
      if (files) return files;
      const open = async (): Promise<Files> => (await service()).createFiles(folder, closed);
      files = {
        read: async (...call) => (await open()).read(...call),
        write: async (...call) => (await open()).write(...call),
        list: async (...call) => (await open()).list(...call),
      };
      known.set(folder, files);
      return files;
    },
  };
}

/** Where an agent's workspace is or will be; nothing is made. */
export function folderOf(
  config: unknown,
  agentId: string,
  { env, stateDir }: { readonly env: NodeJS.ProcessEnv; readonly stateDir: string },
): string {
  const agent = agentsOf(config).find(({ id }) => id === agentId);
  if (!agent) throw new RclawError("INVALID_REQUEST", `unknown agent id "${agentId}"`);
  const own = agent.entry["workspace"];
  if (typeof own === "string" && own.trim()) return expandHome(own.trim(), env);
  const configured = valueAt(config, "agents.defaults.workspace");
  const base =
    typeof configured === "string" && configured
      ? expandHome(configured, env)
      : path.join(stateDir, "workspace");
  return agent.isDefault ? base : `${base}-${agentId}`;
}
