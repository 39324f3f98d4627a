import type { Method, Scope } from "../gateway.ts";

export type Role = "operator" | "node" | "any";

/** A method the kernel answers itself or has a service answer; `scope: null` is open to every role, as only `health` is. */
export interface KernelMethod extends Method {
  readonly scope: Scope | null;
  readonly role?: Role;
}
