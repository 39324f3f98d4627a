import { randomBytes } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";
import type { SecretHandles, SecretHandlesOptions, SecretTarget } from "@rclaw/plugin-sdk/services/egress";
import { bracket, denied, matches, type Place, parsePlace } from "./grants.ts";

/** Shorter ones stand in innocent text too, so that they could not be kept from whoever reads the answer. */
const minLength = 4;

/** The secrets of one instance of a plugin, by the random text that stands for each. */
export function createSecretHandles({ owner, bindings, resolve }: SecretHandlesOptions): SecretHandles {
  const places = bindings.map(({ name, hosts }) => ({
    name,
    places: hosts.map((host) => parsePlace(host, owner, "secrets")),
  }));
  const byName = new Map<string, string>();
  const byHandle = new Map<string, string>();

  const isBound = (name: string, target: SecretTarget): boolean =>
    places.some(
      (binding) => covers(binding.name, name) && binding.places.some((place) => fits(place, target)),
    );

  async function handleFor(name: string): Promise<string> {
    // So that a secret which is not there is missed where it is asked for.
    if ((await resolve(name)).length < minLength) {
      throw new RclawError(
        "INVALID_REQUEST",
        `secret "${name}" is shorter than ${minLength} characters, so it cannot be kept from plugin "${owner}"; use a longer one`,
        { details: { plugin: owner, secret: name } },
      );
    }
    const known = byName.get(name);
    if (known !== undefined) return known;
    const handle = `rclaw-secret-${randomBytes(16).toString("hex")}`;
    byName.set(name, handle);
    byHandle.set(handle, name);
    return handle;
  }

  return {
    handleFor,
    resolve: async (value) =>
      value.startsWith("secret:") ? handleFor(value.slice("secret:".length)) : value,
    async reveal(handle, target) {
      const name = byHandle.get(handle);
      if (name === undefined) {
        throw denied(
          `plugin "${owner}" sends ${target.host} the handle of a secret that it was not given; use what ctx.secrets answered since the plugin was started`,
          owner,
          { host: target.host },
        );
      }
      if (!isBound(name, target)) throw unbound(owner, name, target);
      return { name, secret: await resolve(name) };
    },
  };
}

/** Without a port a secret goes out encrypted, or not at all. */
function fits(place: Place, { host, port, protocol }: SecretTarget): boolean {
  if (place.port === undefined && (protocol !== "https:" || port !== 443)) return false;
  return matches(place, host, port);
}

function covers(entry: string, name: string): boolean {
  return entry === name || (entry.endsWith(".*") && name.startsWith(entry.slice(0, -1)));
}

function unbound(owner: string, name: string, { host, port, protocol }: SecretTarget): RclawError {
  const place = protocol === "https:" && port === 443 ? bracket(host) : `${bracket(host)}:${port}`;
  const line = `secrets: [{ name: ${JSON.stringify(name)}, hosts: [${JSON.stringify(place)}] }]`;
  return denied(
    `plugin "${owner}" may not send secret "${name}" to ${host}: its manifest does not bind the secret to ${place}; if it should, it needs permissions: { ${line} }`,
    owner,
    { host, secret: name, needs: line },
  );
}
