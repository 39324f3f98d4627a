import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Caller, type Logger, RclawError } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { addKernelMethods, createMethods } from "../../../kernel/gateway/methods.ts";
import type { Health, HealthPorts, Presence } from "@rclaw/plugin-sdk/services/health";
import { openDevices } from "../../../plugins/services/devices/devices.ts";
import { createPresence } from "../../../plugins/services/health/presence.ts";
import { createHealth } from "../../../plugins/services/health/health.ts";
import { createGateway, type Gateway, type GatewayOptions } from "../../../kernel/gateway/server.ts";

export const token = "proto-test-token";

export interface TestGateway extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly presence: Presence;
  readonly health: Health;
  readonly port: number;
  readonly url: string;
  /** What system events asked the assistant to be told. */
  readonly woken: object[];
  readonly logged: { level: string; fields: object; message: string | undefined }[];
}

const emptyPorts: HealthPorts = {
  config: () => ({ agents: { defaults: { model: "mock/mock-1", contextTokens: 128_000 } } }),
  channels: async () => ({ channels: {}, channelOrder: [], channelLabels: {} }),
  sessions: () => [],
  sessionsPath: (agentId) => `/state/agents/${agentId}/sessions.json`,
  notes: () => ({}),
};

/** A gateway on a free port with presence and health wired as the kernel wires them. */
export async function startGateway(
  options: Partial<Omit<GatewayOptions, "methods">> & {
    methods?: readonly KernelMethod[];
    ports?: Partial<HealthPorts>;
    hosts?: readonly string[];
  } = {},
): Promise<TestGateway> {
  const { methods: extra = [], ports, hosts = ["127.0.0.1", "::1"], ...rest } = options;
  const life = new AbortController();
  const now = rest.now ?? Date.now;
  const logged: TestGateway["logged"] = [];
  const woken: object[] = [];
  const line =
    (level: string) =>
    (fields: object, message?: string): void =>
      void logged.push({ level, fields, message });
  const log: Logger = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };

  const methods = createMethods({
    activate: () => Promise.reject(new RclawError("NOT_FOUND", "no plugins in this test")),
  });
  const stateVersion = () => ({ presence: presence.version(), health: health.version() });
  const audience = () => gateway.connections();
  const presence = createPresence({
    version: "0.0.0-test",
    now,
    audience,
    signal: life.signal,
    wake: async (event) => void woken.push(event),
    publish: (list) =>
      gateway.broadcast("presence", { presence: list }, { dropIfSlow: true, stateVersion: stateVersion() }),
  });
  const health = createHealth({
    ports: { ...emptyPorts, ...ports },
    now,
    audience,
    signal: life.signal,
    publish: (snapshot) => gateway.broadcast("health", snapshot, { stateVersion: stateVersion() }),
  });
  addKernelMethods(methods, [...health.methods(), ...presence.methods(), ...extra]);
  const stateDir = await mkdtemp(path.join(tmpdir(), "rclaw-gateway-"));
  const devices = openDevices({
    stateDir,
    log,
    redactor: { add: () => undefined },
    now,
    broadcast: (event, payload) => gateway.broadcast(event, payload),
    isConnected: () => false,
    closeDevice: (deviceId, role, reason) =>
      gateway.closeWhere(
        (caller) => caller.deviceId === deviceId && (role ?? caller.role) === caller.role,
        1008,
        reason,
      ),
  });
  addKernelMethods(methods, devices.methods());
  const gateway = createGateway({
    devices: async () => devices,
    auth: { mode: "token", token },
    version: "0.0.0-test",
    allowedOrigins: [],
    capabilities: [],
    events: ["connect.challenge", "agent", "chat", "presence", "tick", "shutdown", "health"],
    snapshot: (_caller: Caller) => ({
      presence: presence.list(),
      health: health.current(),
      stateVersion: stateVersion(),
      uptimeMs: 1,
      configPath: "/state/config.json",
      stateDir: "/state",
      sessionDefaults: {
        defaultAgentId: "main",
        mainKey: "main",
        mainSessionKey: "agent:main:main",
        scope: "per-sender",
      },
      authMode: "token",
    }),
    http: (_request, response) => void response.writeHead(404).end(),
    joined: (client) => presence.connect(client),
    greeted: () => health.refreshSoon(),
    left: (caller) => presence.disconnect(caller),
    ...rest,
    now,
    methods,
    log,
  });
  const { port } = await gateway.listen(0, hosts);
  return {
    gateway,
    presence,
    health,
    port,
    url: `ws://127.0.0.1:${port}`,
    logged,
    woken,
    async [Symbol.asyncDispose]() {
      life.abort();
      await gateway.close({ event: { reason: "gateway stopping", restartExpectedMs: null } });
      await devices.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
