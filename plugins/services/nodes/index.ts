import { definePlugin } from "@rclaw/plugin-sdk";
import { createNodeEvents } from "./events.ts";
import { createInvokes } from "./invokes.ts";
import { liveNodes } from "./live.ts";
import { nodeMethods } from "./methods.ts";
import { pairingMethods, workMethods } from "./pairing-methods.ts";
import { openPairing } from "./pairing.ts";
import type { NodesConfig } from "./policy.ts";
import { openSubscriptions } from "./subscriptions.ts";
import { createNodeWork } from "./work.ts";

/** Phones and computers that do things for the assistant: what they can, what they are asked, what they tell. */
export default definePlugin<NodesConfig>({
  async activate(context) {
    const { config, gateway } = context;
    const invokes = createInvokes(gateway);
    const nodes = () => liveNodes(gateway);
    const subscriptions = await openSubscriptions({ send: gateway.send, storage: context.storage, nodes });
    const work = createNodeWork(Date.now);
    const pairing = openPairing(context.storage, Date.now);
    const onNodeEvent = createNodeEvents({ context, subscriptions, now: Date.now });
    for (const method of [
      ...nodeMethods({ context, config, invokes, work, onNodeEvent }),
      ...pairingMethods({ context, config, pairing, work }),
      ...workMethods({ context, config, pairing, work }),
    ]) {
      context.methods.register(method);
    }
    context.commands.register({
      name: "nodes",
      usage,
      run: async (command) => (await import("./command.ts")).run(command),
    });
    gateway.onEvent((event, payload) => {
      if (event === "chat" || event === "agent") subscriptions.copy(event, payload);
    });
    context.defer(() => invokes.close());
  },
});

const usage = `Usage: rclaw nodes [list]
       rclaw nodes describe <node>
       rclaw nodes invoke <node> <command> [<params>] [--timeout <ms>]
       rclaw nodes rename <node> <name>

  list      phones and computers that are paired as nodes, connected ones first
  describe  one of them, with the commands it may carry out
  invoke    asks it for one; params are JSON: '{"bins":["git"]}'
  rename    gives a node another name, if it was paired with node.pair

A node is its id, the start of one, or its name.
--json prints JSON.
`;
