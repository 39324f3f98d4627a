import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { homedir, hostname, networkInterfaces } from "node:os";
import path from "node:path";
import { createSecureContext } from "node:tls";
import { RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import type { Tls, TlsOptions } from "@rclaw/plugin-sdk/services/listening";
import { type Pair, selfSigned } from "./certificate.ts";

/** A certificate of our own that ends so soon is replaced at the next start. */
const renewBeforeMs = 30 * 86_400_000;
/** Whoever does not finish shaking hands would also hold up a gateway that stops. */
const handshakeTimeout = 5_000;

const command =
  "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 " +
  '-subj "/CN=rclaw gateway" -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" ' +
  "-keyout gateway-key.pem -out gateway-cert.pem";

/** Reads the certificate that the configuration names, or the gateway's own, which is made when it is missing. */
export async function openTls({ tls, hosts, paths, log }: TlsOptions): Promise<Tls> {
  const base = path.dirname(paths.configFile);
  const { certPath, keyPath, caPath, autoGenerate } = tls;
  if (!(certPath && keyPath) && !(autoGenerate && !certPath && !keyPath)) {
    throw invalid(
      "gateway.tls",
      `needs both certPath and keyPath, or neither and autoGenerate. To make them: ${command}`,
    );
  }
  const pair =
    certPath && keyPath
      ? await namedPair(absolute(certPath, base), absolute(keyPath, base))
      : await ownPair(path.join(paths.stateDir, "tls"), hosts, log);
  const between = caPath ? await certificates("gateway.tls.caPath", absolute(caPath, base)) : "";
  const certificate = new X509Certificate(pair.cert);
  if (Date.parse(certificate.validTo) < Date.now())
    log.warn({ until: certificate.validTo }, "the gateway's certificate has expired; clients may refuse it");

  const context = { key: pair.key, cert: `${pair.cert}\n${between}`, minVersion: "TLSv1.2" } as const;
  try {
    createSecureContext(context);
  } catch (error) {
    throw invalid("gateway.tls", `cannot be used: ${reasonOf(error)}`, error);
  }
  return {
    fingerprint: certificate.fingerprint256,
    createServer: (options, listener) =>
      createServer({ ...options, ...context, handshakeTimeout, ALPNProtocols: ["http/1.1"] }, listener),
  };
}

async function namedPair(certFile: string, keyFile: string): Promise<Pair> {
  const cert = await certificates("gateway.tls.certPath", certFile);
  const key = await read("gateway.tls.keyPath", keyFile);
  let isOurs;
  try {
    isOurs = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    const reason = key.includes("ENCRYPTED")
      ? `the key in ${keyFile} has a passphrase; store it without one: openssl pkey -in ${keyFile} -out <file>`
      : `${keyFile} holds no private key in PEM form`;
    throw invalid("gateway.tls.keyPath", reason, error);
  }
  if (isOurs) return { cert, key };
  throw invalid(
    "gateway.tls.keyPath",
    `the key in ${keyFile} does not belong to the certificate in ${certFile}; name the two that were made together`,
  );
}

async function certificates(key: string, file: string): Promise<string> {
  const text = await read(key, file);
  try {
    createSecureContext({ cert: text });
    return text;
  } catch (error) {
    throw invalid(key, `${file} holds no certificate in PEM form`, error);
  }
}

async function read(key: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const advice = "correct the path or its rights, or remove gateway.tls.certPath and gateway.tls.keyPath";
    throw invalid(
      key,
      `${file} cannot be read (${reasonOf(error)}); ${advice} to have a certificate made`,
      error,
    );
  }
}

/** The gateway's own certificate stays the same from start to start, or nobody could pin it. */
async function ownPair(folder: string, hosts: readonly string[], log: TlsOptions["log"]): Promise<Pair> {
  const files = { cert: path.join(folder, "gateway-cert.pem"), key: path.join(folder, "gateway-key.pem") };
  const kept = await keptPair(files);
  if (kept) return kept;
  const pair = selfSigned(namesFor(hosts), Date.now());
  try {
    await writeAtomic(files.key, pair.key);
    await writeAtomic(files.cert, pair.cert);
  } catch (error) {
    throw invalid(
      "gateway.tls.autoGenerate",
      `the certificate cannot be stored in ${folder} (${reasonOf(error)}); make one and name it in gateway.tls.certPath and gateway.tls.keyPath: ${command}`,
      error,
    );
  }
  log.info({ file: files.cert }, "a certificate was made for the gateway");
  return pair;
}

/** Undefined when there is none, when it is damaged or when it ends soon. */
async function keptPair(files: Pair): Promise<Pair | undefined> {
  try {
    const [cert, key] = await Promise.all([readFile(files.cert, "utf8"), readFile(files.key, "utf8")]);
    const certificate = new X509Certificate(cert);
    const isGood =
      certificate.checkPrivateKey(createPrivateKey(key)) &&
      Date.parse(certificate.validTo) > Date.now() + renewBeforeMs;
    return isGood ? { cert, key } : undefined;
  } catch {
    return undefined;
  }
}

/** What people type to reach this machine. */
function namesFor(hosts: readonly string[]): string[] {
  const isEverywhere = hosts.some((host) => host === "0.0.0.0" || host === "::");
  const own = Object.values(networkInterfaces())
    .flat()
    .flatMap((item) => (item && !item.internal && !item.scopeid ? [item.address] : []));
  const names = [hostname(), ...(isEverywhere ? own : hosts)].filter((name) => /^[a-z0-9.:-]+$/i.test(name));
  return [...new Set(["localhost", "127.0.0.1", "::1", ...names])].filter(
    (name) => name !== "0.0.0.0" && name !== "::",
  );
}

function absolute(file: string, base: string): string {
  return path.resolve(base, file.replace(/^~(?=$|[\\/])/, homedir()));
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const words: Readonly<Record<string, string>> = {
    ENOENT: "it does not exist",
    EACCES: "this user may not",
    EISDIR: "it is a folder",
  };
  return words[code] ?? (error instanceof Error ? error.message : String(error));
}

function invalid(key: string, reason: string, cause?: unknown): RclawError {
  return new RclawError("CONFIG_INVALID", `${key}: ${reason}`, {
    details: { key },
    ...(cause !== undefined && { cause }),
  });
}
