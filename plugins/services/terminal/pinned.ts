import { isIP } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { RclawError } from "@rclaw/plugin-sdk";

/**
 * A TLS connection to whoever shows this certificate and to nobody else. Which authority
 * signed it does not matter then, so that is not asked; the secret is sent after this.
 */
export function connectPinned(fingerprint: string, options: ConnectionOptions): TLSSocket {
  const { host = "localhost" } = options;
  const socket = connect({
    ...options,
    // The HTTP path, which for a socket would be the name of a file.
    path: undefined,
    servername: isIP(host) === 0 ? host : "",
    minVersion: "TLSv1.2",
    rejectUnauthorized: false,
  });
  socket.once("secureConnect", () => {
    const shown = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();
    if (shown !== fingerprint) socket.destroy(otherCertificate(host, fingerprint, shown));
  });
  return socket;
}

function otherCertificate(host: string, wanted: string, shown = "none"): RclawError {
  return new RclawError(
    "UNAUTHORIZED",
    `${host} shows another certificate than the pinned one, so nothing was sent to it: SHA-256 ${shown} instead of ${wanted}. If the gateway has a new one, pin that; if not, somebody stands in between`,
    { details: { wanted, shown } },
  );
}
