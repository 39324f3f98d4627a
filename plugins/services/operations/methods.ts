import { defineMethod, type Method } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { operationMethods as scopes, type OperationPorts } from "@rclaw/plugin-sdk/services/operations";
import { createIdentity } from "./identity.ts";
import { tailLog } from "./log-tail.ts";
import { machine } from "./machine.ts";
import { noParams, tailParams, updateParams, updateStatusParams } from "./methods.schema.ts";
import { createUpdates } from "./update.ts";

/** `logs.tail`, `update.*` and `gateway.identity.get` of the gateway protocol. */
export function methods(ports: OperationPorts): KernelMethod[] {
  const identity = createIdentity(ports.stateDir);
  const updates = createUpdates(ports);

  const list: Method[] = [
    defineMethod({
      name: "logs.tail",
      since: "2026.2.17",
      params: tailParams,
      handle: ({ params }) => tailLog(ports, params),
    }),
    defineMethod({
      name: "update.run",
      since: "2026.2.17",
      params: updateParams,
      handle: ({ params, caller }) => updates.run(params, caller),
    }),
    defineMethod({
      name: "update.status",
      since: "2026.5.7",
      params: updateStatusParams,
      handle: () => updates.status(),
    }),
    defineMethod({
      name: "gateway.identity.get",
      since: "2026.5.7",
      params: noParams,
      handle: () => identity(),
    }),
    defineMethod({
      name: "system.info",
      since: "2026.9",
      params: noParams,
      handle: () => machine(ports.stateDir),
    }),
  ];
  return list.map((method) => ({ ...method, scope: scopes[method.name as keyof typeof scopes] }));
}
