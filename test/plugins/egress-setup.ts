import { once } from "node:events";
import http, { type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import type { Egress, EgressOptions } from "@rclaw/plugin-sdk/services/egress";
import { createEgress } from "../../plugins/services/egress/egress.ts";
import { silent } from "../../kernel/log.ts";

export const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export function egress(options: Partial<EgressOptions> = {}): Egress {
  const made = createEgress({ log: silent, ...options });
  closers.push(() => made.close());
  return made;
}

export async function serve(
  handler: RequestListener,
): Promise<{ port: number; url: string; server: Server; connections(): number }> {
  const server = http.createServer(handler);
  let connections = 0;
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return { port, url: `http://127.0.0.1:${port}`, server, connections: () => connections };
}

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  let text = "";
  for await (const piece of request) text += String(piece);
  return text;
};
export const echo: RequestListener = (request, response) => {
  void (async () => {
    const body = await bodyOf(request);
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }),
    );
  })();
};
export const resolveTo =
  (...addresses: string[]) =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
