import { networkInterfaces } from "node:os";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Config } from "@rclaw/plugin-sdk/services/config";

/** What a gateway with this configuration listens on. */
export function addressesOf({
  mode,
  bind,
  customBindHost,
  auth,
  remote,
}: Config["gateway"]): readonly string[] {
  if (mode === "remote") {
    const other = remote?.url ? `uses the gateway at ${remote.url}` : "uses another gateway";
    throw new RclawError(
      "CONFIG_INVALID",
      `gateway.mode is "remote": this machine ${other} and starts none; to run one here: rclaw config set gateway.mode local`,
    );
  }
  const addresses = boundTo(bind, customBindHost);
  if (auth.mode === "none" && !addresses.every((address) => address === "127.0.0.1" || address === "::1")) {
    throw new RclawError(
      "CONFIG_INVALID",
      "gateway.bind opens the gateway to the network while gateway.auth.mode is none; set a token or bind to loopback",
    );
  }
  return addresses;
}

function boundTo(bind: Config["gateway"]["bind"], custom: string | undefined): readonly string[] {
  if (bind === "lan") return ["0.0.0.0"];
  if (bind === "custom") {
    if (custom) return [custom];
    throw new RclawError("CONFIG_INVALID", 'gateway.bind is "custom" but gateway.customBindHost is missing');
  }
  if (bind === "tailnet") {
    // Tailscale hands out addresses of the carrier-grade NAT range 100.64.0.0/10.
    const address = Object.values(networkInterfaces())
      .flat()
      .find(
        (item) => item?.family === "IPv4" && /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(item.address),
      );
    if (address) return [address.address, "127.0.0.1"];
    throw new RclawError(
      "CONFIG_INVALID",
      'gateway.bind is "tailnet" but this machine has no Tailscale address; start Tailscale or bind to loopback',
    );
  }
  return ["127.0.0.1", "::1"];
}
