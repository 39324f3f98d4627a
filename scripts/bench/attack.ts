import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { buildComponent } from "../../plugins/services/cli/author/build-component.ts";
import type { Tasks } from "./load.ts";
import { quantile } from "./machine.ts";
import type { Row } from "./rows.ts";
import { type Running, token } from "./subject.ts";
import { openWire, requestFrame, type Wire } from "./wire.ts";

const root = path.resolve(import.meta.dirname, "../..");
/** An attack is ended after so long, and found out a beat later. */
const entryMs = 800;
const attackMs = 1_300;

const script = (id: string): string => `export default { activate(ctx) {
  const add = (name, handle) => ctx.methods.register({ name: "${id}." + name, handle });
  add("echo", async ({ params }) => ({ text: params.text }));
  add("spin", () => { for (;;); });
} };
`;

/** Two strangers, each in a sandbox of its own: gateway methods share no thread with others. */
export async function installStrangers(stateDir: string): Promise<void> {
  for (const id of ["honest", "hostile"]) {
    const folder = path.join(stateDir, "plugins", id);
    await mkdir(folder, { recursive: true });
    const source = path.join(folder, "index.mjs");
    await writeFile(source, script(id));
    const component = await buildComponent({
      entry: source,
      witFolder: path.join(root, "wit/since-v0.1.0"),
      sdkFolder: path.join(root, "plugin-sdk"),
    });
    await writeFile(path.join(folder, "plugin.wasm"), component);
    const methods = { [`${id}.echo`]: "operator.read", [`${id}.spin`]: "operator.read" };
    const manifest = {
      id,
      name: id,
      version: "1.0.0",
      description: "Says it again.",
      runtime: "wasm",
      entry: "plugin.wasm",
      contributes: { methods },
      permissions: { limits: { entryMs } },
    };
    await writeFile(path.join(folder, "rclaw.plugin.json5"), JSON.stringify(manifest));
  }
}

export const strangersConfig = {
  plugins: { entries: { honest: { enabled: true }, hostile: { enabled: true } } },
};

type Probe = (ask: Tasks["probe"]["ask"]) => Promise<Tasks["probe"]["answer"]>;

/** Four attacks at most: after the fifth within a minute the plugin is kept off. */
export async function attackRows(gateway: Running, probe: Probe, rounds: number): Promise<readonly Row[]> {
  const attacker = await openWire({ port: gateway.port, token });
  const methods = ["honest.echo", "health"];
  const calm = methods.map((): number[] => []);
  const attacked = methods.map((): number[] => []);
  const measure = async (into: readonly number[][]): Promise<void> => {
    const { waits } = await probe({ methods, params: { text: "hello" }, everyMs: 1, forMs: attackMs });
    for (const [i, own] of waits.entries()) into[i]?.push(...own);
  };
  try {
    await answer(attacker, "hostile.echo");
    // Once for the compiler.
    await measure([]);
    // In turns, since a machine is not the same from one second to the next.
    for (let i = 0; i < rounds; i++) {
      await measure(calm);
      const ended = answer(attacker, "hostile.spin");
      await measure(attacked);
      const words = await ended;
      if (!words.includes("computed for more than")) throw new Error(`the attack went otherwise: ${words}`);
      // The next attack begins in a sandbox that is there.
      await answer(attacker, "hostile.echo");
      await sleep(200);
    }
  } finally {
    attacker.end();
  }
  return methods.map((name, i) => row(name, calm[i] ?? [], attacked[i] ?? []));
}

function row(name: string, calm: readonly number[], attacked: readonly number[]): Row {
  const [without, during] = [quantile(calm, 0.99), quantile(attacked, 0.99)];
  const ms = (waits: readonly number[], share: number): string => quantile(waits, share).toFixed(2);
  return {
    name: `others' p99 while a plugin attacks: ${name === "health" ? name : "another component"}`,
    value: Number((during / without).toFixed(2)),
    unit: "x",
    goal: 1.1,
    better: "lower",
    note: `p99 ${ms(calm, 0.99)} ms without, ${ms(attacked, 0.99)} ms during; p50 ${ms(calm, 0.5)} and ${ms(attacked, 0.5)}; ${attacked.length} requests`,
  };
}

function answer(wire: Wire, method: string): Promise<string> {
  return new Promise((resolve) => {
    wire.onText = (text) => {
      if (text.includes('"type":"res"')) resolve(text.toString());
    };
    wire.send(requestFrame("a", method, { text: "hello" }));
  });
}
