import { defineService } from "@rclaw/plugin-sdk/services/service";
import { addressesOf } from "./addresses.ts";

export default defineService("listening", {
  addressesOf,
  // node:https costs memory that a gateway without TLS has no use for.
  tailnetUser: async (ip, signal) => (await import("./tailscale.ts")).tailnetUser(ip, signal),
  openTls: async (options) => (options.tls.enabled ? (await import("./tls.ts")).openTls(options) : undefined),
});
