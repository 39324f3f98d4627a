import type { Scope } from "../gateway.ts";
import type { KernelMethod } from "./method.ts";

export interface OperationPorts {
  readonly stateDir: string;
  /** Where the built files stand. */
  readonly root: string;
  readonly version: string;
  /** The file that the log is written to, if there is one. */
  logFile(): string | undefined;
  /** What became a secret after a line was written must not be shown either. */
  readonly redactor: { text(value: string): string };
}

/** The methods of the service and the scope each one needs. */
export const operationMethods = {
  "logs.tail": "operator.read",
  "update.run": "operator.admin",
  "update.status": "operator.admin",
  "gateway.identity.get": "operator.read",
  "system.info": "operator.read",
} as const satisfies Readonly<Record<string, Scope>>;

/** Service "operations": what whoever looks after a gateway asks it. */
export interface OperationsService {
  methods(ports: OperationPorts): KernelMethod[];
}
