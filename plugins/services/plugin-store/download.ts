import { createHash, timingSafeEqual } from "node:crypto";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { StorePorts } from "@rclaw/plugin-sdk/services/plugin-store";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { limits, mebibytes } from "./limits.ts";
import { isSafeUrl } from "./source.ts";
import { own, quoted } from "./text.ts";

/** Bytes of an answer, as long as there are not too many. */
export async function download(
  ports: StorePorts,
  url: URL,
  {
    maxBytes = limits.packedBytes,
    accept = "*/*",
    what,
  }: { maxBytes?: number; accept?: string; what: string },
): Promise<Buffer> {
  const { signal, progress } = ports;
  if (!ports.fetch)
    throw new RclawError("UNAVAILABLE", `${what} has to be fetched, and there is no network here`);
  try {
    const response = await ports.fetch(url, { headers: { accept }, ...(signal && { signal }) });
    const end = response.url === "" ? url : new URL(response.url);
    if (!isSafeUrl(end)) {
      await response.body?.cancel();
      throw new RclawError("EGRESS_DENIED", `${what} was led to ${quoted(end.host)} without encryption`);
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw statusError(what, url, response.status);
    }
    const told = Number(response.headers.get("content-length") ?? Number.NaN);
    const total = Number.isSafeInteger(told) && told > 0 ? { total: told } : {};
    const pieces: Uint8Array[] = [];
    let done = 0;
    for await (const piece of bodyOf(response)) {
      signal?.throwIfAborted();
      done += piece.length;
      if (done > maxBytes)
        throw new RclawError(
          "TOO_LARGE",
          `${what} is larger than ${mebibytes(maxBytes)}. Nothing was installed`,
        );
      pieces.push(piece);
      progress?.({ phase: "download", done, ...total });
    }
    return Buffer.concat(pieces);
  } catch (error) {
    signal?.throwIfAborted();
    if (isRclawError(error)) throw error;
    throw new RclawError(
      "UNAVAILABLE",
      `${what} could not be fetched from ${url.host}: ${(error as Error).message}`,
      { cause: error, retryable: true },
    );
  }
}

function statusError(what: string, { host }: URL, status: number): RclawError {
  if (status === 404)
    return new RclawError(
      "NOT_FOUND",
      `${host} has no ${what}. Look at the spelling, or: rclaw plugin search`,
    );
  return new RclawError("UNAVAILABLE", `${host} answered ${status} when asked for ${what}`, {
    retryable: status >= 500 || status === 429,
  });
}

/** Read by hand: leaving the loop ends the connection, on every version of Node. */
async function* bodyOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

export interface Release {
  readonly version: string;
  readonly tarball: URL;
  /** `sha512-…`, as the registry has it. */
  readonly integrity: string;
  readonly deprecated: string | undefined;
}

const metadataTypes = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";

/** Which file a package's version or tag is, by the registry. */
export async function lookUp(
  ports: StorePorts,
  registry: string | undefined,
  name: string,
  wanted = "latest",
): Promise<Release> {
  if (registry === undefined || !URL.canParse(registry))
    throw new RclawError(
      "INVALID_REQUEST",
      `${quoted(name)} is a package, and no registry is set to fetch packages from`,
    );
  ports.progress?.({ phase: "resolve", done: 0, total: 1 });
  const base = registry.endsWith("/") ? registry : `${registry}/`;
  const url = new URL(name.replace("/", "%2f"), base);
  if (!isSafeUrl(url))
    throw new RclawError("INVALID_REQUEST", `the registry ${url.host} is not spoken to without encryption`);
  const what = `package ${quoted(name)}`;
  const text = await download(ports, url, { maxBytes: limits.metadataBytes, accept: metadataTypes, what });
  const release = releaseOf(text.toString("utf8"), { name, wanted, host: url.host });
  ports.progress?.({ phase: "resolve", done: 1, total: 1 });
  return release;
}

function releaseOf(
  text: string,
  { name, wanted, host }: { name: string; wanted: string; host: string },
): Release {
  const refuse = (why: string, code: "NOT_FOUND" | "UNAVAILABLE" = "UNAVAILABLE"): never => {
    throw new RclawError(code, `what ${host} says of package ${quoted(name)} cannot be used: ${why}`);
  };
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    refuse((error as Error).message);
  }
  if (own(data, "name") !== name) refuse("it speaks of another package");
  const tagged = own(own(data, "dist-tags"), wanted);
  const version = typeof tagged === "string" ? tagged : wanted;
  const found = own(own(data, "versions"), version);
  if (!isRecord(found)) refuse(`there is no version ${quoted(wanted)}`, "NOT_FOUND");
  const dist = own(found, "dist");
  const tarball = own(dist, "tarball");
  const told = own(dist, "integrity");
  const integrity = (typeof told === "string" ? told : "")
    .split(/\s+/)
    .find((hash) => /^sha512-[A-Za-z0-9+/]{86}==$/.test(hash));
  if (integrity === undefined) return refuse("it has no sha512 of the file");
  if (typeof tarball !== "string" || !URL.canParse(tarball)) return refuse("it names no file");
  const url = new URL(tarball);
  if (!isSafeUrl(url) || url.username || url.password) refuse("its file is not at an https address");
  const deprecated = own(found, "deprecated");
  return {
    version,
    tarball: url,
    integrity,
    deprecated: typeof deprecated === "string" && deprecated !== "" ? deprecated : undefined,
  };
}

export function checkIntegrity(packed: Uint8Array, integrity: string, what: string): void {
  const wanted = Buffer.from(integrity.slice("sha512-".length), "base64");
  const found = createHash("sha512").update(packed).digest();
  if (wanted.length === found.length && timingSafeEqual(wanted, found)) return;
  throw new RclawError(
    "UNAVAILABLE",
    `${what} is not the file that the registry knows: its sha512 differs. Nothing was installed; it was changed on the way, or the registry is at fault`,
  );
}
