import { Ajv } from "ajv";

const ajv = new Ajv({ allowUnionTypes: true });
const closed = { additionalProperties: false };
const answer = { type: { const: "res" }, id: { type: "string", minLength: 1 } };

/** An answer is a payload or an error, never both, with one of the protocol's codes. */
export const isAnswer = ajv.compile({
  anyOf: [
    {
      type: "object",
      required: ["type", "id", "ok", "payload"],
      properties: { ...answer, ok: { const: true }, payload: {} },
      ...closed,
    },
    {
      type: "object",
      required: ["type", "id", "ok", "error"],
      properties: {
        ...answer,
        ok: { const: false },
        payload: {},
        error: {
          type: "object",
          required: ["code", "message"],
          properties: {
            code: { enum: ["NOT_LINKED", "NOT_PAIRED", "AGENT_TIMEOUT", "INVALID_REQUEST", "UNAVAILABLE"] },
            message: { type: "string", minLength: 1, maxLength: 2_000 },
            details: { type: "object" },
            retryable: { type: "boolean" },
            retryAfterMs: { type: "integer", minimum: 0 },
          },
          ...closed,
        },
      },
      ...closed,
    },
  ],
});

const string = { type: "string" };
const number = { type: "number" };
const list = { type: "array" };
const flag = { type: "boolean" };
const map = { type: "object" };
const object = (properties: object, required = Object.keys(properties)): object => ({
  type: "object",
  required,
  properties,
});
const status = (...values: string[]): object => object({ runId: string, status: { enum: values } });

/** What clients count on in the results of some methods; more than that may be there. */
export const results = new Map(
  Object.entries({
    health: object({ ok: { const: true }, ts: number }),
    status: object({ sessions: { type: "object" } }),
    "system-presence": list,
    agent: status("accepted", "ok", "aborted"),
    "agent.wait": status("ok", "error", "timeout"),
    "chat.send": {
      anyOf: [status("started", "in_flight", "ok", "aborted"), object({ ok: { const: true }, runIds: list })],
    },
    "chat.abort": object({ ok: { const: true }, aborted: { type: "boolean" }, runIds: list }),
    "chat.history": object({ sessionKey: string, messages: list, thinkingLevel: string }),
    "sessions.list": object({ ts: number, count: number, sessions: list, defaults: { type: "object" } }),
    "sessions.preview": object({ ts: number, previews: list }),
    "sessions.patch": object({ ok: { const: true }, key: string, entry: { type: "object" } }),
    "sessions.reset": object({ ok: { const: true }, key: string, entry: { type: "object" } }),
    "sessions.delete": object({ ok: { const: true }, key: string, deleted: { type: "boolean" } }),
    "models.list": object({ models: list }),
    "channels.status": object({ ts: number, channelOrder: list, channelAccounts: { type: "object" } }),
    "pairing.list": object({ requests: list }),
    "config.get": object({ hash: string, valid: { type: "boolean" } }),
    "device.pair.list": object({ pending: list, paired: list }),
    "node.pair.list": object({ pending: list, paired: list }),
    "node.list": object({ ts: number, nodes: list }),
    "node.describe": object({ ts: number, nodeId: string, connected: flag }),
    "agents.list": object({ defaultId: string, mainKey: string, scope: string, agents: list }),
    "agents.files.list": object({ agentId: string, workspace: string, files: list }),
    "agents.files.get": object({ agentId: string, workspace: string, file: map }),
    "agents.files.set": object({ ok: { const: true }, agentId: string, file: map }),
    "agent.identity.get": object({ agentId: string, name: string, avatar: string }),
    "tools.catalog": object({ agentId: string, profiles: list, groups: list }),
    "skills.status": object({ workspaceDir: string, managedSkillsDir: string, skills: list }),
    "skills.bins": object({ bins: list }),
    "cron.list": object({ jobs: list, total: number, offset: number, hasMore: flag }),
    "cron.runs": object({ entries: list, total: number, offset: number, hasMore: flag }),
    "cron.status": object({ enabled: flag, storePath: string, jobs: number }),
    "exec.approvals.get": object({ path: string, exists: flag, hash: string, file: map }),
    "exec.approval.request": object({ id: string, createdAtMs: number, expiresAtMs: number }),
    "voicewake.get": object({ triggers: list }),
    "voicewake.set": object({ triggers: list }),
    "tts.status": object({ enabled: flag, provider: string, prefsPath: string }),
    "tts.providers": object({ providers: list, active: string }),
    "talk.config": object({ config: map }),
    "usage.status": object({ updatedAt: number, providers: list }),
    "usage.cost": object({ updatedAt: number, days: number, daily: list, totals: map }),
    "sessions.usage": object({ sessions: list, totals: map, aggregates: map }),
    "sessions.resolve": object({ ok: flag }),
    "config.schema": object({ schema: map, uiHints: map, version: string, generatedAt: string }),
    "logs.tail": object({ file: string, cursor: number, size: number, lines: list }),
    "chat.inject": object({ ok: { const: true }, messageId: string }),
    "system-event": object({ ok: { const: true } }),
    wake: object({ ok: flag }),
    "set-heartbeats": object({ ok: { const: true }, enabled: flag }),
  }).map(([method, schema]) => [method, ajv.compile(schema)]),
);
