import { type Caller, defineMethod, RclawError } from "@rclaw/plugin-sdk";
import { type EgressMethodPorts, egressMethodScopes } from "@rclaw/plugin-sdk/services/egress";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { noParams, resolveParams } from "./methods.schema.ts";

/** The owner's side of a refused host: what is asked, and the answer. */
export function egressMethods({ egress, config, configure }: EgressMethodPorts): KernelMethod[] {
  return [
    {
      scope: egressMethodScopes["egress.pending"],
      ...defineMethod({
        name: "egress.pending",
        since: "rclaw",
        params: noParams,
        async handle({ caller }) {
          requirePerson(caller);
          return { pending: (await egress()).pending() };
        },
      }),
    },
    {
      scope: egressMethodScopes["egress.resolve"],
      ...defineMethod({
        name: "egress.resolve",
        since: "rclaw",
        params: resolveParams,
        async handle({ caller, params: { id, answer } }) {
          requirePerson(caller);
          const guard = await egress();
          const card = guard.pending().find((pending) => pending.id === id);
          // Written first: a file that cannot be written leaves the question where it is.
          if (answer === "always" && card) {
            const path = `plugins.entries.${card.plugin}.grants.net`;
            const lines = granted(valueAt(config(), path));
            if (!lines.includes(card.line)) await configure([{ path, value: [...lines, card.line] }]);
          }
          return { card: guard.resolve(id, answer), answer };
        },
      }),
    },
  ];
}

/** A plugin that may call methods must not say yes to itself, nor may the model through one. */
function requirePerson({ kind, role, isOwner }: Caller): void {
  if (kind !== "plugin" && role === "operator" && isOwner) return;
  throw new RclawError(
    "PERMISSION_DENIED",
    "only the owner answers for the network: use rclaw's command line or a client of the operator",
  );
}

function granted(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((line) => typeof line === "string") : [];
}
