import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { addKernelMethods, createMethods } from "../../kernel/gateway/methods.ts";
import { createHookBus } from "../../kernel/hooks/bus.ts";
import { silent } from "../../kernel/log.ts";
import { createChannels } from "../../plugins/services/channels/channels.ts";
import { message } from "./channel-samples.ts";
import { createPairing } from "../../plugins/services/channels/pairing.ts";

const { signal } = new AbortController();

test("is one conversation for one person, whatever they write from", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-people-"));
  const keys: unknown[] = [];
  const config: Record<string, unknown> = {};
  const activate = async (): Promise<void> => undefined;
  const methods = createMethods({ activate });
  addKernelMethods(methods, [
    {
      name: "agent",
      scope: "operator.write",
      handle: async ({ params, accept }) => {
        keys.push((params as Record<string, unknown>)["sessionKey"]);
        accept({ status: "accepted" });
      },
    },
  ]);
  const channels = createChannels({
    channel: () => Promise.reject(new Error("nothing is sent here")),
    methods,
    hooks: createHookBus({ log: silent, activate }),
    pairing: createPairing({ dir }),
    config: () => config,
    log: silent,
    keys: () => ({ defaultAgentId: "main", mainKey: "main" }),
  });
  const from = async (channel: string, extra: object): Promise<unknown> => {
    await channels.receive(channel, message({ id: `${keys.length}`, mentioned: true, ...extra }), signal);
    return keys.at(-1);
  };
  const links = { alice: ["telegram:42", "discord:7", " slack:U1 "], Bob: ["telegram:8"] };
  config["channels"] = Object.fromEntries(
    ["telegram", "discord", "slack", "irc"].map((id) => [
      id,
      { dmPolicy: "open", allowFrom: ["*"], groupPolicy: "open" },
    ]),
  );
  config["session"] = { identityLinks: links };
  const alice = "agent:main:direct:=alice";
  expect(await from("telegram", {})).toBe(alice);
  expect(await from("discord", { sender: { id: "7" }, peerId: "7" })).toBe(alice);
  // A platform whose direct chats have ids of their own.
  expect(await from("slack", { sender: { id: "U1" }, peerId: "D9" })).toBe(alice);
  // The same id elsewhere, and a nickname that reads like the person's name, are somebody else.
  expect(await from("discord", { sender: { id: "42" }, peerId: "42" })).toBe("agent:main:discord:direct:42");
  expect(await from("telegram", { sender: { id: "8" }, peerId: "8" })).toBe("agent:main:direct:=%42ob");
  const group = { chatType: "group", peerId: "-1" };
  expect(await from("telegram", group)).toBe("agent:main:telegram:group:-1");

  config["session"] = { identityLinks: links, dmScope: "per-peer" };
  expect(await from("telegram", {})).toBe(alice);
  for (const nick of ["alice", "=alice"])
    expect(await from("irc", { sender: { id: nick }, peerId: nick })).not.toBe(alice);
  config["session"] = { identityLinks: links, dmScope: "per-account-channel-peer" };
  expect(await from("telegram", {})).toBe("agent:main:telegram:default:direct:=alice");
  config["session"] = { identityLinks: links, dmScope: "main" };
  expect(await from("telegram", {})).toBe("agent:main:main");
  await rm(dir, { recursive: true });
});

test("who names the assistant in a group where it may not answer is told of once, with the ids to list", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-groups-"));
  const activate = async (): Promise<void> => undefined;
  const lines: unknown[] = [];
  const channels = createChannels({
    channel: () => Promise.reject(new Error("nothing is sent here")),
    methods: createMethods({ activate }),
    hooks: createHookBus({ log: silent, activate }),
    pairing: createPairing({ dir }),
    config: () => ({ channels: { telegram: { groups: { "-100": {} } } } }),
    log: { ...silent, debug: () => undefined, info: (fields) => void lines.push(fields) },
    keys: () => ({ defaultAgentId: "main", mainKey: "main" }),
  });
  const named = message({ chatType: "group", peerId: "-100", mentioned: true });
  await channels.receive("telegram", named);
  await channels.receive("telegram", { ...named, id: "again" });
  await channels.receive("telegram", { ...named, mentioned: false });
  await channels.receive("telegram", { ...named, peerId: "-7" });
  expect(lines).toMatchObject([
    { group: "-100", sender: "42", reason: "the sender is not in groupAllowFrom" },
    { group: "-7", sender: "42", reason: "the group is not in groups" },
  ]);
  await rm(dir, { recursive: true });
});
