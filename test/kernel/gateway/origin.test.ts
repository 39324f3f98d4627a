import { expect, test } from "vitest";
import { isOriginAllowed } from "../../../kernel/gateway/origin.ts";
import { connectClient } from "../../support/ws-client.ts";
import { startGateway, token } from "./gateway.ts";

const here = "127.0.0.1:18789";
const allowed = ["https://chat.example.com", "http://ui.example.com:8080/", "tauri://localhost", "*"];

const table: [origin: string | undefined, host: string | undefined, ok: boolean][] = [
  ["http://127.0.0.1:18789", here, true],
  ["http://127.0.0.1:3000", here, true],
  ["http://localhost:5173", here, true],
  ["https://localhost", here, true],
  ["http://127.8.9.1:1", here, true],
  ["http://[::1]:18789", "[::1]:18789", true],
  ["http://[::1]:5173", "localhost:18789", true],
  ["https://chat.example.com", "gateway.example.com", true],
  ["https://chat.example.com:443", "gateway.example.com", true],
  ["HTTPS://Chat.Example.com", "gateway.example.com", true],
  ["http://ui.example.com:8080", here, true],
  ["tauri://localhost", here, true],
  ["http://192.168.1.5:18789", "192.168.1.5:18789", true],
  ["https://box.tail1234.ts.net", "box.tail1234.ts.net", true],
  ["https://box.tail1234.ts.net", "box.tail1234.ts.net:443", true],
  ["http://[fd00::5]:18789", "[fd00::5]:18789", true],
  [undefined, here, false],
  ["", here, false],
  ["null", here, false],
  ["file://", here, false],
  ["*", here, false],
  ["https://evil.example", here, false],
  ["http://localhost.evil.com", here, false],
  ["http://127.0.0.1.evil.com", here, false],
  ["http://evil.com#127.0.0.1", here, false],
  ["http://evil.com?127.0.0.1", here, false],
  ["http://evil.com/127.0.0.1", here, false],
  ["http://127.0.0.1@evil.com", here, false],
  ["http://evil.com@127.0.0.1", here, false],
  ["http://user:pass@localhost:18789", here, false],
  ["http://LOCALHOST.:18789", here, false],
  ["http://127.0.0.1.:18789", here, false],
  ["http://localhost:18789/", here, false],
  ["http://localhost:99999", here, false],
  ["http://localhost:0", here, false],
  ["http://localhost:", here, false],
  ["http://xn--lcalhost-v2a:18789", here, false],
  ["http://ⓛocalhost:18789", here, false],
  ["http://127.1:18789", here, false],
  ["http://2130706433", here, false],
  ["http://0.0.0.0:18789", here, false],
  ["http://127.0.0.256", here, false],
  ["http:localhost", here, false],
  ["//localhost", here, false],
  ["javascript://localhost", here, false],
  ["ftp://localhost", here, false],
  ["chrome-extension://localhost", here, false],
  ["http://localhost, https://evil.example", here, false],
  ["http://localhost\\@evil.com", here, false],
  ["http://localhost%00.evil.com", here, false],
  ["http://chat.example.com", "gateway.example.com", false],
  ["https://chat.example.com:8443", "gateway.example.com", false],
  ["https://chat.example.com.evil.com", "gateway.example.com", false],
  ["https://sub.chat.example.com", "gateway.example.com", false],
  ["http://192.168.1.5:18789", "192.168.1.5:18790", false],
  ["http://192.168.1.5:18789", here, false],
  ["http://localhost:18789", "192.168.1.5:18789", false],
  ["http://localhost:18789", "user@localhost:18789", false],
  ["http://localhost:18789", undefined, false],
];

test.each(table)("origin %s on host %s: %s", (origin, host, ok) => {
  expect(isOriginAllowed(origin, host, allowed, "token")).toBe(ok);
});

test("without a secret, a public name that points here is not enough to be the same host", () => {
  const at = (name: string, mode: string): boolean =>
    isOriginAllowed(`http://${name}:18789`, `${name}:18789`, [], mode);
  expect(at("rebound.evil.com", "token")).toBe(true);
  expect(at("rebound.evil.com", "none")).toBe(false);
  for (const name of ["192.168.1.5", "gatewaybox", "box.local", "box.tail1234.ts.net", "[fd00::5]"])
    expect(at(name, "none"), name).toBe(true);
});

test.each(
  table
    .filter(([origin]) => origin !== undefined && /^[\u0021-\u007e]*$/.test(origin))
    .filter((_, i) => i % 4 === 0),
)("over a socket, origin %s on host %s: %s", async (origin, host, ok) => {
  await using gateway = await startGateway({ allowedOrigins: allowed });
  const headers = { origin: origin ?? "", ...(host !== undefined && { host }) };
  const { client, answer } = await connectClient(gateway.url, { token, headers });
  expect(answer.ok).toBe(ok);
  if (!ok) expect((await client.closed).reason).toMatch(/^origin not allowed/);
  await client.close();
});

test("a browser's client must have an origin, another need not", async () => {
  await using gateway = await startGateway();
  for (const client of [
    { id: "openclaw-control-ui", mode: "ui" },
    { id: "webchat-ui", mode: "webchat" },
    { id: "somebody", mode: "webchat" },
  ]) {
    expect((await connectClient(gateway.url, { token, client })).answer.error?.message).toMatch(
      /^origin not allowed/,
    );
  }
  const { client, answer } = await connectClient(gateway.url, {
    token,
    client: { id: "gateway-client", mode: "backend" },
  });
  expect(answer.ok).toBe(true);
  await client.close();
});
