import type { Caller, PluginContext } from "@rclaw/plugin-sdk";
import { invalid, isFromPlugin } from "./request.ts";

/** The channels that every gateway of OpenClaw has a name for. */
const openClawChannels: ReadonlySet<string> = new Set(
  "telegram whatsapp discord irc googlechat slack signal imessage".split(" "),
);

/**
 * Nobody is told that a run was accepted whose answer could never arrive. Where none is to arrive, apps may
 * name any of OpenClaw's channels, whether it is here or not.
 */
export async function refuseUnknownChannel(
  { methods }: Pick<PluginContext, "methods">,
  method: string,
  {
    deliver,
    channel,
    caller,
  }: { readonly deliver: unknown; readonly channel: unknown; readonly caller: Caller },
): Promise<void> {
  if (typeof channel !== "string" || isFromPlugin(caller.principal)) return;
  const id = channel.trim().toLowerCase();
  if (id === "" || id === "webchat" || id === "last") return;
  if (deliver !== true && (method !== "agent" || openClawChannels.has(id))) return;
  const status = (await methods.call("channels.status", {})) as { channelOrder: readonly string[] };
  if (!status.channelOrder.includes(channel)) throw invalid(method, `unknown channel: ${channel}`);
}
