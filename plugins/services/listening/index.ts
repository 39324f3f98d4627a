import { defineService } from "@rclaw/plugin-sdk/services/service";
import { addressesOf } from "./addresses.ts";

export default defineService("listening", {
  addressesOf,
  // node:https costs memory that a gateway without TLS has no use for.
  openTls: async (options) => (options.tls.enabled ? (await import("./tls.ts")).openTls(options) : undefined),
});
