import type { Caller, Scope } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { ProtocolError } from "../errors.ts";
import { checkDevice } from "@rclaw/plugin-sdk/device";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { connectParams } from "@rclaw/plugin-sdk/services/connect.schema";
import type { DeviceGrant, DeviceRole, Devices } from "@rclaw/plugin-sdk/services/devices";
import type { Peer } from "@rclaw/plugin-sdk/services/peer";
import { type Authority, describeRefusal, type SecretVerdict } from "./auth.ts";
import { isOriginAllowed } from "./origin.ts";

type ConnectParams = Static<typeof connectParams>;

/** A client that has shown who it is. `params` is what it said about itself. */
export interface Arrival {
  readonly caller: Caller;
  readonly params: ConnectParams;
  readonly deviceId?: string;
  readonly ip?: string;
  /** What its device may come back with. */
  readonly grant?: DeviceGrant;
}

export type Handshake =
  | { readonly ok: true; readonly protocol: number; readonly client: Arrival }
  | { readonly ok: false; readonly error: ProtocolError; readonly closeCode: 1002 | 1008 };

export interface HandshakeContext {
  readonly connId: string;
  readonly nonce: string;
  readonly peer: Peer;
  readonly authority: Authority;
  readonly allowedOrigins: readonly string[];
  /** Loaded when the first device comes. */
  devices(): Promise<Devices>;
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
  "operator.talk.secrets",
  "operator.write",
];
const check = compile(connectParams);

type Refused = Extract<Handshake, { ok: false }>;
type Verdict = SecretVerdict | { readonly ok: true; readonly method: "device-token" };

/** Answers `connect`. The order of the checks is the protocol's: a client acts on the first failure. */
export async function shakeHands(params: unknown, context: HandshakeContext): Promise<Handshake> {
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
  const secret = await authority.judge(asked.auth ?? {}, peer);
  const failure = asked.device
    ? deviceFailure(asked, role, context)
    : withoutDevice(asked, role, secret, context);
  if (failure) return failure;
  const scopes = scopesOf(asked, role);
  const verdict = await withDeviceToken(asked, role, scopes, secret, context);
  if (!verdict.ok) return unauthorized(asked, verdict, context);
  // A device's own token says nothing about who guesses the gateway's.
  if (verdict.method !== "device-token") authority.count(peer, true);

  const admitted = await admit(asked, role, scopes, verdict, context);
  if (admitted && "ok" in admitted) return admitted;
  // Looking up a device takes time, and the gateway's secret may have changed meanwhile.
  const still = asked.device && secret.ok ? await authority.judge(asked.auth ?? {}, peer) : verdict;
  if (!still.ok) return unauthorized(asked, still, context);
  return { ok: true, protocol, client: arrivalOf(asked, role, scopes, verdict, context, admitted) };
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
  role: DeviceRole,
  secret: SecretVerdict,
  context: HandshakeContext,
): Refused | undefined {
  const { peer, authority } = context;
  if (isControlUi(asked.client) && role === "operator") {
    const ui = authority.rules.controlUi;
    const isVouchedFor = secret.ok && secret.method === "trusted-proxy";
    if (!isVouchedFor && !ui?.dangerouslyDisableDeviceAuth && !(ui?.allowInsecureAuth && peer.isLocal)) {
      return refused("control ui requires device identity (use HTTPS or localhost secure context)", {
        code: "CONTROL_UI_DEVICE_IDENTITY_REQUIRED",
      });
    }
  }
  if (role === "operator" && secret.ok) return undefined;
  const isSecretGiven = Boolean(asked.auth?.token || asked.auth?.password);
  // A device of its own would not help where a proxy has to vouch for it.
  if (!secret.ok && (isSecretGiven || /^(?:rate_limited|trusted_proxy)/.test(secret.reason)))
    return unauthorized(asked, secret, context);
  return refused("device identity required", { code: "DEVICE_IDENTITY_REQUIRED" }, "NOT_PAIRED");
}

function deviceFailure(
  asked: ConnectParams,
  role: DeviceRole,
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

/** Unknown names grant nothing and are dropped; a node has no scopes at all. */
function scopesOf({ client, scopes }: ConnectParams, role: DeviceRole): Scope[] {
  if (role === "node") return [];
  // The Android app of early 2026 names none and means the chat; its secret or its token has to cover that.
  const isOldAndroid = isControlUi(client) && client.mode === "ui" && /^android\b/i.test(client.platform);
  if (isOldAndroid && !scopes?.length) return ["operator.read", "operator.write"];
  return knownScopes.filter((scope) => scopes?.includes(scope));
}

/** What the shared secret did not prove, a token of the device's own may. */
async function withDeviceToken(
  { device, auth }: ConnectParams,
  role: DeviceRole,
  scopes: readonly Scope[],
  secret: SecretVerdict,
  context: HandshakeContext,
): Promise<Verdict> {
  const token = auth?.deviceToken || auth?.token;
  // While locked, even the right token must not show that it is right.
  if (secret.ok || !device || !token || secret.reason === "rate_limited") return secret;
  const devices = await context.devices();
  const isOwn = await devices.isOwnToken({ deviceId: device.id, role, scopes }, token);
  return isOwn ? { ok: true, method: "device-token" } : secret;
}

/** The device's pairing: what it may come back with, or why it has to wait for the owner. */
async function admit(
  { client, device, auth }: ConnectParams,
  role: DeviceRole,
  scopes: readonly Scope[],
  verdict: Extract<Verdict, { ok: true }>,
  { authority, peer, devices }: HandshakeContext,
): Promise<DeviceGrant | Refused | undefined> {
  if (!device) return undefined;
  const ui = authority.rules.controlUi;
  // A page behind the owner's own sign-in, or where the owner switched this off.
  if (isControlUi(client) && role === "operator") {
    if (verdict.method === "trusted-proxy") return undefined;
    if (ui?.dangerouslyDisableDeviceAuth && verdict.method !== "device-token") return undefined;
  }
  const isPage = peer.origin !== undefined;
  const admission = await (
    await devices()
  ).admit({
    deviceId: device.id,
    publicKey: device.publicKey,
    role,
    scopes,
    clientId: client.id,
    clientMode: client.mode,
    displayName: client.displayName,
    platform: client.platform,
    deviceFamily: client.deviceFamily,
    ip: peer.isLoopback ? undefined : peer.ip,
    isSilent: peer.isLocal && (!isPage || isControlUi(client) || client.mode === "webchat"),
    token: verdict.method === "device-token" ? auth?.deviceToken || auth?.token : undefined,
  });
  if (admission.ok) return admission.grant;
  const { requestId, reason } = admission;
  return refused("pairing required", { code: "PAIRING_REQUIRED", requestId, reason }, "NOT_PAIRED");
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

function arrivalOf(
  asked: ConnectParams,
  role: DeviceRole,
  scopes: readonly Scope[],
  { method }: Extract<Verdict, { ok: true }>,
  { peer, connId }: HandshakeContext,
  grant: DeviceGrant | undefined,
): Arrival {
  const { client, device, caps = [] } = asked;
  const known = { ...(device && { deviceId: device.id }), ...(!peer.isLoopback && { ip: peer.ip }) };
  return {
    params: asked,
    ...known,
    ...(grant && { grant }),
    caller: {
      kind: "client",
      principal: `client:${device?.id ?? method}`,
      role,
      scopes,
      connId,
      caps: [...new Set(caps)],
      protocol: Math.min(asked.maxProtocol, newest),
      client: { id: client.id, mode: client.mode },
      isOwner: role === "operator",
      ...known,
    },
  };
}

function refused(
  message: string,
  details?: Readonly<Record<string, unknown>>,
  code: "INVALID_REQUEST" | "NOT_PAIRED" = "INVALID_REQUEST",
): Refused {
  return { ok: false, closeCode: 1008, error: { code, message, ...(details && { details }) } };
}
