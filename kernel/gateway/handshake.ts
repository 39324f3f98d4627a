import type { Caller, Scope } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { ProtocolError } from "../errors.ts";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { type Authority, describeRefusal, type SecretVerdict } from "./auth.ts";
import { checkDevice } from "@rclaw/plugin-sdk/device";
import { connectParams } from "./frames.schema.ts";
import { isOriginAllowed } from "./origin.ts";
import type { Peer } from "./peer.ts";

type ConnectParams = Static<typeof connectParams>;

/** A client that has shown who it is. `params` is what it said about itself. */
export interface ConnectedClient {
  readonly caller: Caller;
  readonly params: ConnectParams;
  /** Verified: it holds the key whose fingerprint this is. */
  readonly deviceId?: string;
  /** Only for clients on other machines. */
  readonly ip?: string;
}

export type Handshake =
  | { readonly ok: true; readonly protocol: number; readonly client: ConnectedClient }
  | { readonly ok: false; readonly error: ProtocolError; readonly closeCode: 1002 | 1008 };

export interface HandshakeContext {
  readonly connId: string;
  readonly nonce: string;
  readonly peer: Peer;
  readonly authority: Authority;
  readonly allowedOrigins: readonly string[];
  now(): number;
}

/** Protocols we speak. 4 only adds to 3, and we always send what it adds. */
const oldest = 3;
const newest = 4;

const knownScopes: readonly Scope[] = [
  "operator.admin",
  "operator.approvals",
  "operator.pairing",
  "operator.read",
  "operator.write",
];
const check = compile(connectParams);

type Refused = Extract<Handshake, { ok: false }>;

/** Answers `connect`. The order of the checks is the protocol's: a client acts on the first failure. */
export function shakeHands(params: unknown, context: HandshakeContext): Handshake {
  if (!check.valid(params)) return refused(`invalid connect params: ${describeIssues(check.issues(params))}`);
  const asked = params as ConnectParams;
  const protocol = Math.min(asked.maxProtocol, newest);
  if (asked.minProtocol > newest || asked.maxProtocol < oldest || asked.minProtocol > asked.maxProtocol) {
    return { ...refused("protocol mismatch", { expectedProtocol: newest }), closeCode: 1002 };
  }
  const role = asked.role ?? "operator";
  if (role !== "operator" && role !== "node") return refused("invalid role");

  const { peer, authority } = context;
  if (
    needsOrigin(asked, peer) &&
    !isOriginAllowed(peer.origin, peer.host, context.allowedOrigins, authority.rules.mode)
  ) {
    return refused(
      "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)",
    );
  }
  const secret = authority.judge(asked.auth ?? {}, peer);
  const failure = asked.device
    ? deviceFailure(asked, role, context)
    : withoutDevice(asked, role, secret, context);
  if (failure) return failure;
  if (!secret.ok) return unauthorized(asked, secret, context);

  authority.count(peer, true);
  return { ok: true, protocol, client: clientOf(asked, role, secret, context) };
}

/** A browser always sends Origin; a client that claims to be one must have it. */
function needsOrigin({ client }: ConnectParams, peer: Peer): boolean {
  return (
    peer.origin !== undefined ||
    isControlUi(client) ||
    client.id === "webchat-ui" ||
    client.mode === "webchat"
  );
}

function isControlUi(client: ConnectParams["client"]): boolean {
  return client.id === "openclaw-control-ui";
}

/** An operator with the shared secret needs no device of its own; a node and a Control UI do. */
function withoutDevice(
  asked: ConnectParams,
  role: "operator" | "node",
  secret: SecretVerdict,
  context: HandshakeContext,
): Refused | undefined {
  const { peer, authority } = context;
  if (isControlUi(asked.client) && role === "operator") {
    const ui = authority.rules.controlUi;
    if (!ui?.dangerouslyDisableDeviceAuth && !(ui?.allowInsecureAuth && peer.isLocal)) {
      return refused("control ui requires device identity (use HTTPS or localhost secure context)", {
        code: "CONTROL_UI_DEVICE_IDENTITY_REQUIRED",
      });
    }
  }
  if (role === "operator" && secret.ok) return undefined;
  const isSecretGiven = Boolean(asked.auth?.token || asked.auth?.password);
  if (!secret.ok && (isSecretGiven || secret.reason === "rate_limited"))
    return unauthorized(asked, secret, context);
  return {
    ok: false,
    closeCode: 1008,
    error: {
      code: "NOT_PAIRED",
      message: "device identity required",
      details: { code: "DEVICE_IDENTITY_REQUIRED" },
    },
  };
}

function deviceFailure(
  asked: ConnectParams,
  role: "operator" | "node",
  context: HandshakeContext,
): Refused | undefined {
  const { client, auth, device, scopes = [] } = asked;
  if (!device) return undefined;
  const fault = checkDevice(
    device,
    {
      clientId: client.id,
      clientMode: client.mode,
      role,
      scopes,
      token: auth?.token ?? auth?.deviceToken ?? "",
      platform: client.platform,
      deviceFamily: client.deviceFamily ?? "",
    },
    {
      nonce: context.nonce,
      now: context.now(),
      // Releases before the challenge signed no nonce. Only where nobody can listen in or replay.
      mayOmitNonce: context.peer.isLocal && context.peer.origin === undefined,
    },
  );
  return fault && refused(fault.message, { code: "DEVICE_AUTH_INVALID", reason: fault.reason });
}

function unauthorized(
  asked: ConnectParams,
  secret: Extract<SecretVerdict, { ok: false }>,
  context: HandshakeContext,
): Refused {
  const { auth, client, device } = asked;
  const isDeviceToken =
    device !== undefined && Boolean(auth?.deviceToken) && secret.reason !== "rate_limited";
  const reason = isDeviceToken ? "device_token_mismatch" : secret.reason;
  const isGuess = reason.endsWith("_mismatch");
  if (isGuess) context.authority.count(context.peer, false);
  const { message, code } = describeRefusal(reason, client.id);
  const { error, ...rest } = refused(message, { code, authReason: reason });
  return {
    ...rest,
    error: {
      ...error,
      ...(secret.retryAfterMs !== undefined && { retryable: true, retryAfterMs: secret.retryAfterMs }),
    },
  };
}

function clientOf(
  asked: ConnectParams,
  role: "operator" | "node",
  secret: Extract<SecretVerdict, { ok: true }>,
  { peer, connId }: HandshakeContext,
): ConnectedClient {
  const { client, device, caps = [] } = asked;
  return {
    params: asked,
    ...(device && { deviceId: device.id }),
    ...(!peer.isLoopback && { ip: peer.ip }),
    caller: {
      kind: "client",
      principal: `client:${device?.id ?? secret.method}`,
      role,
      // Unknown names grant nothing and are dropped; a node has no scopes at all.
      scopes: role === "node" ? [] : knownScopes.filter((scope) => asked.scopes?.includes(scope)),
      connId,
      caps: [...new Set(caps)],
      client: { id: client.id, mode: client.mode },
      isOwner: role === "operator",
    },
  };
}

function refused(message: string, details?: Readonly<Record<string, unknown>>): Refused {
  return {
    ok: false,
    closeCode: 1008,
    error: { code: "INVALID_REQUEST", message, ...(details && { details }) },
  };
}
