import type { Verbs } from "@rclaw/plugin-sdk/boundary/calls";

interface Verb {
  /** It is made on behalf of the tool call that runs. */
  readonly call?: true;
}

/** What a guest that waits may ask for by its name. `http.send` is not among them, because it carries bytes. */
const verbs: { readonly [Name in keyof Verbs]?: Verb } = {
  "storage.get": {},
  "storage.set": {},
  "secrets.get": {},
  "secrets.resolve": {},
  "secrets.sign": {},
  "secrets.verify": {},
  "files.read": { call: true },
  "files.write": { call: true },
  "files.list": { call: true },
  "tool.update": { call: true },
  "tools.list": {},
  "tools.call": { call: true },
  "channels.deliver": {},
  "channels.typing": {},
  "providers.ready": {},
  "providers.models": {},
  "methods.call": {},
  "sessions.list": {},
  "sessions.find": {},
  "sessions.tail": {},
  "gateway.broadcast": {},
  "gateway.send": {},
};

export const waitingVerb = (name: string): Verb | undefined =>
  Object.hasOwn(verbs, name) ? verbs[name as keyof Verbs] : undefined;
