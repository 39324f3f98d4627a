import type { IncomingMessage } from "node:http";
import type { LookupFunction } from "node:net";
import { callbackify } from "node:util";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type {
  Egress,
  EgressOptions,
  FetchOptions,
  Grants,
  SecretHandles,
} from "@rclaw/plugin-sdk/services/egress";
import { createAddressRules } from "./address.ts";
import { createCards, type Pass } from "./cards.ts";
import { createMeter, exchange } from "./exchange.ts";
import { askingOf, checkUrl, createGrants, placeOf, refuseAddress, type Target } from "./grants.ts";
import { defaultLimits } from "./limits.ts";
import { createMask, type Mask, maskError } from "./mask.ts";
import { createPool } from "./pool.ts";
import { follow, type OutgoingRequest, ownHeaders, readRequest, signalOf } from "./request.ts";
import { createResponse } from "./response.ts";
import { linkSignals } from "./signals.ts";
import { createSubstitution, plain, type Substituted, type Substitution } from "./substitute.ts";
import { openSocket } from "./web-socket.ts";

type ResolvedAddress = { readonly address: string; readonly family: number };

/** Of one plugin at a time: a socket that nobody reads still holds memory. */
const maxSockets = 64;

/** What the owner allowed for one request, so that it holds for all of that request. */
type Passes = Map<string, Pass>;

/**
 * The one way out. Everything that plugins fetch passes here, so that a URL from a
 * model or a stranger cannot reach this machine, its network or a cloud's metadata.
 * Built on node:http because undici asks no `lookup` for literal addresses and costs
 * 8 MB; the environment's proxies are ignored, as they would connect unchecked.
 */
export function createEgress({
  log,
  resolve = systemResolver,
  allowCidrs,
  idleMs = 4_000,
  onDenied,
  onResolved,
}: EgressOptions): Egress {
  const rules = createAddressRules(allowCidrs);
  const pool = createPool(idleMs);
  const cards = createCards(onDenied);

  function lookupFor(target: Target, owner: string): LookupFunction {
    const vetted = callbackify(async (host: string): Promise<readonly ResolvedAddress[]> => {
      const addresses = await resolve(host);
      // One bad answer spoils all: which of them is used is the attacker's choice.
      for (const { address } of addresses) {
        const refusal = refuseAddress(target, address, rules, owner);
        if (refusal) throw refusal;
      }
      if (addresses.length === 0) throw Object.assign(new Error("no address"), { code: "ENOTFOUND" });
      return addresses;
    });
    return (host, { all }, callback) =>
      vetted(host, (error, addresses) => {
        const [first] = addresses ?? [];
        if (error || !first) callback(error, "", 0);
        else if (all) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      });
  }

  /** What fetch and WebSockets of one owner have in common. */
  function guardOf(
    given: Grants | (() => Grants),
    owner: string,
    { limits, onBytes, secrets }: FetchOptions,
  ) {
    const judge = judgeOf(given, owner);

    function judgeOf(entries: Grants | (() => Grants), plugin: string): ReturnType<typeof createGrants> {
      if (typeof entries !== "function") return createGrants(entries, plugin, rules);
      let known = "";
      let current: ReturnType<typeof createGrants> | undefined;
      return (...call) => {
        const now = entries();
        const text = JSON.stringify(now);
        if (!current || text !== known) [known, current] = [text, createGrants(now, plugin, rules)];
        return current(...call);
      };
    }

    /** The grants' word, or the owner's for this once. */
    function admit(url: URL, method: string, passes: Passes): Target {
      const { host, port } = placeOf(url);
      const key = `${host}:${port}`;
      const use = (needsNamed: boolean): Target | undefined => {
        const pass = passes.get(key) ?? cards.take(owner, host, port, needsNamed);
        if (!pass) return undefined;
        passes.set(key, pass);
        return { url, host, port, named: pass.named };
      };
      try {
        const target = judge(url, method);
        return target.named ? target : (use(true) ?? target);
      } catch (error) {
        if (!isRclawError(error) || !askingOf(error)) throw error;
        checkUrl(url, owner);
        const allowed = use(askingOf(error)?.reason !== undefined);
        if (allowed) return allowed;
        throw error;
      }
    }

    function substitutionFor({ url, host, port }: Target, mask: Mask): Substitution | undefined {
      const protocol = url.protocol === "https:" ? "https:" : "http:";
      return secrets && createSubstitution(secrets, { host, port, protocol }, owner, mask);
    }

    return {
      admit,
      substitutionFor,
      limits: { ...defaultLimits, ...limits },
      meter: onBytes && createMeter(onBytes),
      maskFor: () => (secrets ? rememberingMask(secrets) : createMask()),
      /** Reports what was refused, and says no more than may be known. */
      failed(error: unknown, mask: Mask, signal: AbortSignal | undefined): unknown {
        if (isRclawError(error) && error.code === "EGRESS_DENIED") {
          log.warn({ plugin: owner, ...error.details }, "egress refused");
          const asking = askingOf(error);
          if (asking) cards.note(owner, asking);
        }
        return maskError(error, mask, signal);
      },
    };
  }

  const refusalsOf = (target: Target, owner: string) => ({
    lookup: lookupFor(target, owner),
    refuse: (address: string) => refuseAddress(target, address, rules, owner),
  });

  return {
    fetchFor(entries, owner, options = {}) {
      const { admit, substitutionFor, limits, meter, maskFor, failed } = guardOf(entries, owner, options);

      const send = async (
        target: Target,
        { method, signal }: OutgoingRequest,
        { path, headers, body }: Substituted,
      ): Promise<IncomingMessage> => {
        const key = `${owner}\n${target.url.protocol}//${target.host}:${target.port}\n${target.named}`;
        return exchange({
          owner,
          target,
          path,
          method,
          headers,
          body,
          agent: await pool.agent(key, target.url.protocol),
          ...refusalsOf(target, owner),
          limits,
          signal,
          meter,
        });
      };

      const guarded = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
        const linked = linkSignals(options.signal, init.signal ?? signalOf(input));
        const passes: Passes = new Map();
        const mask = maskFor();
        try {
          let request = await readRequest(input, init, linked.signal);
          for (let hops = 0; ; hops++) {
            const target = admit(request.url, request.method, passes);
            // What is carried on to the next hop are the handles, so that each hop is judged for itself.
            const filled = (await substitutionFor(target, mask)?.request(request)) ?? plain(request);
            const incoming = await send(target, request, mask.isActive() ? readable(filled) : filled);
            const location = incoming.headers.location && mask.header(incoming.headers.location);
            const isRedirect =
              location !== undefined && [301, 302, 303, 307, 308].includes(incoming.statusCode ?? 0);
            if (!isRedirect || request.redirect === "manual") {
              incoming.once("close", linked.release);
              return createResponse({
                incoming,
                url: request.url.href,
                redirected: hops > 0,
                method: request.method,
                owner,
                host: target.host,
                limits,
                signal: request.signal,
                mask,
              });
            }
            incoming.destroy();
            request = follow(request, location, incoming.statusCode ?? 0, hops);
          }
        } catch (error) {
          linked.release();
          throw failed(error, mask, linked.signal);
        }
      };
      return guarded;
    },

    webSocketFor(entries, owner, options = {}) {
      const { admit, substitutionFor, limits, meter, maskFor, failed } = guardOf(entries, owner, options);
      let open = 0;
      return async (address, { protocols = [], headers = {}, signal }) => {
        if (open >= maxSockets) {
          throw new RclawError(
            "RATE_LIMITED",
            `plugin "${owner}" has ${maxSockets} sockets open; close some first`,
            {
              retryable: true,
              details: { plugin: owner },
            },
          );
        }
        open++;
        const linked = linkSignals(options.signal, signal);
        const mask = maskFor();
        try {
          linked.signal?.throwIfAborted();
          const target = admit(socketUrl(address), "GET", new Map());
          const substitution = substitutionFor(target, mask);
          const fill = async (text: string): Promise<string> => {
            try {
              return substitution ? await substitution.text(text) : text;
            } catch (error) {
              throw failed(error, mask, linked.signal);
            }
          };
          const own = Object.entries(ownHeaders(headers)).filter(
            ([name]) => !name.startsWith("sec-websocket-"),
          );
          const carrier = { url: target.url, headers: Object.fromEntries(own), body: {} };
          const socket = await openSocket({
            owner,
            target,
            ...((await substitution?.request(carrier)) ?? plain(carrier)),
            protocols: await Promise.all(
              protocols.map(async (protocol) => (substitution ? substitution.text(protocol) : protocol)),
            ),
            ...refusalsOf(target, owner),
            limits,
            signal: linked.signal,
            mask,
            fill,
            meter,
          });
          void socket.closed.then(() => {
            open--;
            linked.release();
          });
          return socket;
        } catch (error) {
          open--;
          linked.release();
          throw failed(error, mask, linked.signal);
        }
      };
    },

    pending: () => cards.pending(),
    resolve(id, answer) {
      const card = cards.answer(id, answer);
      onResolved?.({ id, answer });
      return card;
    },
    close: () => pool.close(),
  };
}

const told = new WeakMap<SecretHandles, Map<string, string>>();

/** A host that was told a secret may say it in a later answer, so what one request told is hidden from then on. */
function rememberingMask(secrets: SecretHandles): Mask {
  const known = told.get(secrets) ?? new Map<string, string>();
  told.set(secrets, known);
  const mask = createMask();
  for (const [handle, secret] of known) mask.hideSecret(secret, handle);
  return {
    ...mask,
    hideSecret(secret, handle) {
      known.set(handle, secret);
      mask.hideSecret(secret, handle);
    },
  };
}

/** An answer in a coding that only the plugin reads could not be searched for secrets. */
const readable = (filled: Substituted): Substituted => ({
  ...filled,
  headers: { ...filled.headers, "accept-encoding": "gzip, br" },
});

/** `wss:` is judged as `https:`, by the same grants. */
function socketUrl(address: string): URL {
  if (!/^wss?:/i.test(address) || !URL.canParse(address))
    throw new RclawError("INVALID_REQUEST", "the address of a WebSocket is a wss: or ws: URL");
  return new URL(address.replace(/^ws/i, "http"));
}

async function systemResolver(host: string): Promise<readonly ResolvedAddress[]> {
  const { lookup } = await import("node:dns/promises");
  return lookup(host, { all: true, verbatim: true });
}
