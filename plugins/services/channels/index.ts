import { defineService } from "@rclaw/plugin-sdk/services/service";
import { accessMethods } from "./access.ts";
import { createChannels } from "./channels.ts";
import { createPairing, pairingMethods } from "./pairing.ts";

export default defineService("channels", {
  openChannels({ credentials, ...ports }) {
    const pairing = createPairing({ dir: credentials, log: ports.log });
    const { channelMethods, accounts, start, deliver, typing } = createChannels({ ...ports, pairing });
    const notify = async (
      channel: string,
      accountId: string,
      to: string,
      signal: AbortSignal,
    ): Promise<void> => {
      await deliver(
        channel,
        { accountId, to, text: "You are let in: this assistant answers you from now on." },
        signal,
      );
    };
    return {
      start,
      deliver,
      typing,
      methods: () => [
        ...channelMethods(),
        ...pairingMethods({ pairing, notify }),
        ...accessMethods({ pairing, notify, accounts, config: ports.config }),
      ],
    };
  },
});
