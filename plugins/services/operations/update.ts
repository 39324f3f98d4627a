import type { Caller } from "@rclaw/plugin-sdk";
import type { OperationPorts } from "@rclaw/plugin-sdk/services/operations";
import { createWriteLimit } from "@rclaw/plugin-sdk/services/write-limit";
import { type Installation, lookAtInstallation } from "./installation.ts";

interface UpdateRequest {
  readonly sessionKey?: string;
  readonly note?: string;
  readonly deliveryContext?: object;
}

/** Why nothing was done in each kind of installation, and what does it instead; the reasons are OpenClaw's. */
const outcomes: Readonly<
  Record<Installation["kind"], { readonly mode: string; readonly reason: string; readonly hint: string }>
> = {
  git: {
    mode: "git",
    reason: "external-supervisor-update-required",
    hint: "rclaw does not update itself. Stop it, then: git pull && npm start",
  },
  package: {
    mode: "npm",
    reason: "unmanaged-package-install",
    hint: "rclaw does not update itself. Stop it, then: npm install -g rclaw@latest",
  },
  unknown: {
    mode: "unknown",
    reason: "not-git-install",
    hint: "rclaw does not update itself. Install the new version the way this one was installed",
  },
};

/**
 * What `update.*` can say honestly. Replacing the program while it runs needs somebody who starts it
 * again, and rclaw has none: so an update is skipped, with the words that OpenClaw has for it.
 */
export function createUpdates({ root, version }: Pick<OperationPorts, "root" | "version">) {
  const limit = createWriteLimit(3, whoseDoor);
  let sentinel: object | null = null;

  return {
    async run(request: UpdateRequest, caller: Caller): Promise<unknown> {
      limit.check("update.run", caller);
      limit.add("update.run", caller);
      const startedAt = performance.now();
      const installed = await lookAtInstallation(root);
      const { mode, reason, hint } = outcomes[installed.kind];
      const before = { version, ...(installed.sha !== undefined && { sha: installed.sha }) };
      const durationMs = Math.round(performance.now() - startedAt);
      const result = {
        status: "skipped",
        mode,
        ...(installed.folder !== undefined && { root: installed.folder }),
        reason,
        before,
        steps: [],
        durationMs,
      };
      const { sessionKey, deliveryContext, note = null } = request;
      const payload = {
        kind: "update",
        status: "skipped",
        ts: Date.now(),
        ...(sessionKey !== undefined && { sessionKey }),
        ...(deliveryContext && { deliveryContext }),
        message: note,
        doctorHint: hint,
        stats: { mode, root: installed.folder ?? null, before, after: null, steps: [], reason, durationMs },
      };
      sentinel = payload;
      return { ok: true, result, restart: null, sentinel: { path: null, payload } };
    },
    async status(): Promise<unknown> {
      const { kind, sha } = await lookAtInstallation(root);
      // Nobody was asked whether there is something newer.
      const git = {
        status: "unavailable",
        reason: "git-unavailable",
        ...(sha !== undefined && { currentSha: sha }),
      };
      return {
        sentinel,
        updateAvailable: null,
        schedule: {
          channel: kind === "git" ? "dev" : "stable",
          autoEnabled: false,
          install: { kind, ...(kind === "git" && { git }) },
        },
      };
    },
  };
}

/** As OpenClaw counts: a device at an address; whoever is neither known nor elsewhere, by connection. */
function whoseDoor({ deviceId, ip, connId = "" }: Caller): string {
  return deviceId === undefined && ip === undefined ? connId : `${deviceId ?? ""} ${ip ?? ""}`;
}
