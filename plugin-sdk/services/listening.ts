import type { RequestListener, Server, ServerOptions } from "node:http";
import type { Logger } from "../plugin.ts";
import type { Config, ConfigPaths } from "./config.ts";

export interface TlsOptions {
  readonly tls: Config["gateway"]["tls"];
  /** What the gateway listens on, for the names in a certificate that is made. */
  readonly hosts: readonly string[];
  readonly paths: ConfigPaths;
  readonly log: Logger;
}

/** HTTPS with one certificate. */
export interface Tls {
  /** SHA-256 of the certificate, in hex with colons: what clients pin. */
  readonly fingerprint: string;
  createServer(options: ServerOptions, listener: RequestListener): Server;
}

/** Service "listening": where the gateway listens, and how it shows who it is. */
export interface ListeningService {
  /** Addresses, the first one for people; CONFIG_INVALID when this gateway may not or cannot listen there. */
  addressesOf(gateway: Config["gateway"]): readonly string[];
  /** Undefined when TLS is off; CONFIG_INVALID naming key and file when there is no usable certificate. */
  openTls(options: TlsOptions): Promise<Tls | undefined>;
  /** The login of whoever the local Tailscale says is at an address; undefined when it does not say. */
  tailnetUser(ip: string, signal: AbortSignal): Promise<string | undefined>;
}
