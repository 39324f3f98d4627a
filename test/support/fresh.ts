import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll } from "vitest";
import type { ModelPeer } from "./aimock.ts";
import { type Product, type ProductOptions, startProduct, type TempState, tempState } from "./product.ts";

/** The product with a state folder that nobody used before, and with the model peer that it asks. */
export interface Fresh extends Product {
  readonly state: TempState;
  /** Only with the option of that name. */
  readonly model: ModelPeer;
}

export interface FreshOptions extends Omit<ProductOptions, "stateDir"> {
  /** Starts a model peer, and tells the product to ask it in this way; `config` wins where both say something. */
  readonly model?: "anthropic" | "openai-completions" | "openai-responses";
  /** What lies in the state folder before the start. */
  readonly files?: Readonly<Record<string, string>>;
}

/** For all tests of a file, or of a `describe`. There is nothing in it before they begin. */
export function freshForAll(options: FreshOptions = {}): Fresh {
  const fresh = {} as Fresh;
  beforeAll(async () => {
    Object.defineProperties(fresh, Object.getOwnPropertyDescriptors(await startFresh(options)));
  });
  afterAll(() => fresh[Symbol.asyncDispose]?.());
  return fresh;
}

/** For one test, with `await using`; all of it ends together. */
export async function startFresh({ model: api, files = {}, ...options }: FreshOptions = {}): Promise<Fresh> {
  const state = await tempState();
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(state.dir, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text, { mode: 0o600 });
  }
  // Not loaded by the many tests that can do without.
  const model = api && (await (await import("./aimock.ts")).startModelPeer());
  const provided = api === "anthropic" ? model?.anthropic() : model?.openai(api);
  const config = merged(provided?.config, options.config);
  const product = await startProduct({
    ...options,
    stateDir: state.dir,
    env: { ...provided?.env, ...options.env },
    ...(config && { config }),
  });
  return {
    ...product,
    state,
    get model() {
      if (!model) throw new Error("there is no model peer; startFresh starts one with `model`");
      return model;
    },
    async [Symbol.asyncDispose]() {
      for (const part of [product, model, state]) await part?.[Symbol.asyncDispose]();
    },
  };
}

function merged(below: object | undefined, above: object | undefined): object | undefined {
  if (!below || !above) return above ?? below;
  const entries = Object.entries(above).map(([key, value]: [string, unknown]) => {
    const under: unknown = (below as Record<string, unknown>)[key];
    return [key, isSection(value) && isSection(under) ? merged(under, value) : value] as const;
  });
  return { ...below, ...Object.fromEntries(entries) };
}

const isSection = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);
