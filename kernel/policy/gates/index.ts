import { parseKey } from "@rclaw/plugin-sdk/session-key";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import type { HookBus } from "../../hooks/bus.ts";
import type { ServiceLoader } from "../../services.ts";
import type { Settings } from "../../settings.ts";
import { nameLists } from "../names.ts";
import type { PolicyGate } from "../pipeline.ts";
import { agentGate, rulesFor } from "./agent.ts";
import { allowDenyGate } from "./allow-deny.ts";
import { groupGate } from "./group.ts";
import { hooksGate } from "./hooks.ts";
import { profileGate } from "./profile.ts";
import { sandboxGate } from "./sandbox.ts";

export interface GatesOptions {
  readonly settings: Settings;
  readonly services: ServiceLoader;
  readonly hooks: HookBus;
  readonly stateDir: string;
  isBuiltIn(plugin: string): boolean;
}

/** What every tool call passes, in this order. */
export function createGates({ settings, services, hooks, stateDir, isBuiltIn }: GatesOptions): PolicyGate[] {
  const listOf = nameLists(isBuiltIn);
  return [
    profileGate((agentId) => rulesFor(settings.config(), agentId), listOf),
    allowDenyGate(() => settings.config().tools ?? {}, listOf),
    agentGate(() => settings.config(), listOf),
    groupGate({
      groupOf,
      groups: (channel) => valueAt(settings.config(), `channels.${channel}.groups`) as never,
      listOf,
    }),
    sandboxGate(async (folder, file) =>
      (await services.get("files")).checkPath(folder, file, { closed: [stateDir] }),
    ),
    hooksGate(hooks),
  ];
}

function groupOf(sessionKey: string): { channel: string; groupId: string } | undefined {
  const { kind, channel, rest } = parseKey(sessionKey);
  const groupId = rest.split(":")[2];
  return kind === "group" && channel !== undefined && groupId !== undefined
    ? { channel, groupId: decodeURIComponent(groupId) }
    : undefined;
}
