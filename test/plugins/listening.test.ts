import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { type AddressInfo, connect, isIP } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import type { Config } from "@rclaw/plugin-sdk/services/config";
import type { Tls } from "@rclaw/plugin-sdk/services/listening";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { silent } from "../../kernel/log.ts";
import { selfSigned } from "../../plugins/services/listening/certificate.ts";
import listening from "../../plugins/services/listening/index.ts";

const { addressesOf, openTls } = listening.service;
const dayMs = 86_400_000;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "rclaw-tls-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const defaults = {
  mode: "local",
  bind: "loopback",
  auth: { mode: "token" },
  tls: { enabled: true, autoGenerate: true },
} as Config["gateway"];

async function open(tls: object = {}, hosts: readonly string[] = ["127.0.0.1"]): Promise<Tls> {
  const opened = await openTls({
    tls: { ...defaults.tls, ...tls },
    hosts,
    log: silent,
    paths: { stateDir: path.join(dir, "state"), configFile: path.join(dir, "config.json") },
  });
  if (!opened) throw new Error("TLS is off");
  return opened;
}

const ownFile = (name: string): string => path.join(dir, "state/tls", name);

async function put(name: string, text: string): Promise<string> {
  await writeFile(path.join(dir, name), text);
  return path.join(dir, name);
}

async function serve(tls: Tls): Promise<number> {
  const server = tls.createServer({}, (_request, response) => void response.end("hello"));
  onTestFinished(() => new Promise((resolve) => void server.close(() => resolve(undefined))));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe("where a gateway listens", () => {
  test.each([
    [{}, ["127.0.0.1", "::1"]],
    [{ bind: "auto" }, ["127.0.0.1", "::1"]],
    [{ bind: "lan" }, ["0.0.0.0"]],
    [{ bind: "custom", customBindHost: "192.0.2.1" }, ["192.0.2.1"]],
    [{ auth: { mode: "none" } }, ["127.0.0.1", "::1"]],
  ])("%j", (fields, addresses) => {
    expect(addressesOf({ ...defaults, ...fields } as Config["gateway"])).toEqual(addresses);
  });

  test.each([
    [{ bind: "custom" }, /customBindHost is missing/],
    [{ bind: "lan", auth: { mode: "none" } }, /set a token or bind to loopback/],
    [{ mode: "remote", remote: { url: "wss://a.example:1" } }, /uses the gateway at wss:\/\/a\.example:1/],
    [{ mode: "remote" }, /gateway\.mode is "remote".*rclaw config set gateway\.mode local/],
  ])("%j is refused", (fields, message) => {
    expect(() => addressesOf({ ...defaults, ...fields } as Config["gateway"])).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringMatching(message) as string }),
    );
  });
});

describe("a certificate that is made", () => {
  test("is one, for this machine's names only, and no authority", () => {
    const now = Date.parse("2026-03-04T05:06:07Z");
    const { cert, key } = selfSigned(["localhost", "127.0.0.1", "::1", "fe80::1234:0:9"], now);
    const certificate = new X509Certificate(cert);
    expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.ca).toBe(false);
    expect(certificate.subject).toBe("CN=rclaw gateway");
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(Date.parse(certificate.validFrom)).toBe(now - dayMs);
    expect(Date.parse(certificate.validTo)).toBe(now + 3_650 * dayMs);
    expect(certificate.checkHost("localhost")).toBe("localhost");
    expect(certificate.checkHost("example.org")).toBeUndefined();
    for (const ip of ["127.0.0.1", "::1", "fe80::1234:0:9"]) expect(certificate.checkIP(ip)).toBe(ip);
    expect(certificate.checkIP("127.0.0.2")).toBeUndefined();
  });

  test("tells the time right when its years have four digits", () => {
    const now = Date.parse("2049-06-01T00:00:00Z");
    const certificate = new X509Certificate(selfSigned(["localhost"], now).cert);
    expect(Date.parse(certificate.validFrom)).toBe(now - dayMs);
    expect(Date.parse(certificate.validTo)).toBe(now + 3_650 * dayMs);
  });

  test("holds whatever names it is given", () => {
    const name = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 30 }), (names) => {
        const { cert, key } = selfSigned(names, Date.now());
        const certificate = new X509Certificate(cert);
        expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
        expect(certificate.verify(certificate.publicKey)).toBe(true);
        for (const each of names)
          expect(isIP(each) ? certificate.checkIP(each) : certificate.checkHost(each)).toBeDefined();
      }),
      { numRuns: 200 },
    );
  });

  test("stays the same from start to start, and its key is nobody else's", async () => {
    const { fingerprint } = await open();
    expect(fingerprint).toMatch(/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    expect((await open()).fingerprint).toBe(fingerprint);
    for (const name of ["gateway-key.pem", "gateway-cert.pem"])
      expect((await stat(ownFile(name))).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(ownFile("x")))).mode & 0o777).toBe(0o700);
  });

  test.each([
    ["damaged", () => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ["another key's", () => selfSigned(["localhost"], Date.now()).cert],
  ])("is replaced when it is %s", async (_what, certificate) => {
    const { fingerprint } = await open();
    await writeFile(ownFile("gateway-cert.pem"), certificate());
    const next = await open();
    expect(next.fingerprint).not.toBe(fingerprint);
    expect((await open()).fingerprint).toBe(next.fingerprint);
  });

  test("is replaced before it ends", async () => {
    const old = selfSigned(["localhost"], Date.now() - 3_630 * dayMs);
    await mkdir(path.dirname(ownFile("x")), { recursive: true });
    await writeFile(ownFile("gateway-cert.pem"), old.cert);
    await writeFile(ownFile("gateway-key.pem"), old.key);
    expect((await open()).fingerprint).not.toBe(new X509Certificate(old.cert).fingerprint256);
  });

  test("names the address that the gateway is bound to", async () => {
    await open({}, ["192.0.2.7"]);
    const certificate = new X509Certificate(await readFile(ownFile("gateway-cert.pem")));
    expect(certificate.checkIP("192.0.2.7")).toBe("192.0.2.7");
  });

  test("says how to make one by hand when it cannot be stored", async () => {
    await writeFile(path.join(dir, "state"), "in the way");
    await expect(open()).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/^gateway\.tls\.autoGenerate: .*openssl req -x509 .*-keyout/) as string,
    });
  });
});

describe("a certificate that the configuration names", () => {
  test("is the one that is shown, by a path from the configuration's folder or the home folder", async () => {
    const { cert, key } = selfSigned(["localhost"], Date.now());
    await put("cert.pem", cert);
    await put("key.pem", key);
    const { fingerprint256 } = new X509Certificate(cert);
    expect((await open({ certPath: "cert.pem", keyPath: "./key.pem" })).fingerprint).toBe(fingerprint256);
    const chain = await put("chain.pem", selfSigned(["authority"], Date.now()).cert);
    const tls = await open({ certPath: "cert.pem", keyPath: "key.pem", caPath: chain });
    expect(tls.fingerprint).toBe(fingerprint256);
  });

  const pair = selfSigned(["localhost"], Date.now());
  const locked = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    type: "pkcs8",
    format: "pem",
    cipher: "aes-256-cbc",
    passphrase: "x",
  });
  test.each([
    [
      "certPath",
      "a missing certificate",
      { "cert.pem": undefined },
      /cert\.pem cannot be read \(it does not exist\)/,
    ],
    ["keyPath", "a missing key", { "key.pem": undefined }, /key\.pem cannot be read \(it does not exist\)/],
    ["certPath", "a certificate that is none", { "cert.pem": "hello" }, /cert\.pem holds no certificate/],
    ["certPath", "a key for a certificate", { "cert.pem": pair.key }, /cert\.pem holds no certificate/],
    ["keyPath", "a certificate for a key", { "key.pem": pair.cert }, /key\.pem holds no private key/],
    ["keyPath", "a key with a passphrase", { "key.pem": locked.toString() }, /passphrase.*openssl pkey -in/],
    [
      "keyPath",
      "another certificate's key",
      { "key.pem": selfSigned(["localhost"], Date.now()).key },
      /key\.pem does not belong to the certificate in .*cert\.pem/,
    ],
    ["caPath", "no authorities", { "ca.pem": "hello" }, /ca\.pem holds no certificate/],
  ])("gateway.tls.%s: %s is refused, with the file and what to do", async (key, _what, files, message) => {
    const all = { "cert.pem": pair.cert, "key.pem": pair.key, "ca.pem": pair.cert, ...files };
    for (const [name, text] of Object.entries(all)) if (text !== undefined) await put(name, text);
    const refused = open({ certPath: "cert.pem", keyPath: "key.pem", caPath: "ca.pem" });
    await expect(refused).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      details: { key: `gateway.tls.${key}` },
      message: expect.stringMatching(new RegExp(`^gateway\\.tls\\.${key}: .*${message.source}`)) as string,
    });
  });

  test("a folder in the place of a file is refused", async () => {
    await mkdir(path.join(dir, "cert.pem"));
    await expect(open({ certPath: "cert.pem", keyPath: "key.pem" })).rejects.toThrow(/it is a folder/);
  });

  test.each([{ autoGenerate: false }, { certPath: "cert.pem" }, { keyPath: "key.pem" }])(
    "%j is half a configuration",
    async (tls) => {
      await expect(open(tls)).rejects.toThrow(/^gateway\.tls: .*openssl req/);
    },
  );
});

describe("what is served", () => {
  test("is HTTPS of TLS 1.2 or later, for whoever trusts the certificate", async () => {
    const tls = await open();
    const port = await serve(tls);
    const ca = await readFile(ownFile("gateway-cert.pem"));
    const answer = await new Promise<string>((resolve, reject) => {
      get({ host: "127.0.0.1", port, ca }, (response) => {
        response.setEncoding("utf8").on("data", resolve);
      }).on("error", reject);
    });
    expect(answer).toBe("hello");

    const shake = async (options: ConnectionOptions): Promise<string | null> => {
      const socket = connectTls({ host: "127.0.0.1", port, ca, ...options });
      onTestFinished(() => void socket.destroy());
      await once(socket, "secureConnect");
      return socket.getProtocol();
    };
    expect(await shake({ maxVersion: "TLSv1.2" })).toBe("TLSv1.2");
    expect(await shake({})).toBe("TLSv1.3");
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    await expect(shake(old)).rejects.toThrow(/protocol version/i);
    await expect(shake({ ca: selfSigned(["x"], Date.now()).cert })).rejects.toThrow(/self-signed/);
  });

  test("is nothing at all for plain HTTP", async () => {
    const port = await serve(await open());
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.setEncoding("latin1").on("data", (text: string) => (answer += text));
    socket.on("error", () => undefined);
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(socket, "close");
    expect(answer).not.toContain("HTTP/");
  });

  test("is nothing when TLS is off, and nothing is made then", async () => {
    const paths = { stateDir: path.join(dir, "state"), configFile: path.join(dir, "config.json") };
    const tls = { ...defaults.tls, enabled: false };
    expect(await openTls({ tls, hosts: [], paths, log: silent })).toBeUndefined();
    await expect(stat(paths.stateDir)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
