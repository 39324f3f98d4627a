import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { buildGuests, type Lane, lanes } from "./guests.ts";
import type { Calls, Task } from "./lanes.ts";
import { median } from "./machine.ts";
import type { Row } from "./rows.ts";
import { frugal } from "./subject.ts";

interface Options {
  readonly node: string;
  readonly quick: boolean;
  readonly self: string;
}

const round = (value: number, digits = 0): number => Number(value.toFixed(digits));
const goals: Readonly<Partial<Record<Lane, number>>> = { component: 200, extism: 150 };

/** Plugins in cages: what a call costs, what a load costs, and what they keep of the memory. */
export async function plugins({ node, quick, self }: Options): Promise<readonly Row[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "rclaw-bench-plugins-"));
  try {
    const artefacts = await buildGuests(path.join(folder, "guests"));
    const rows: Row[] = [await threadFloor()];
    for (const lane of lanes) {
      const base = { lane, artefact: artefacts[lane], stateDir: path.join(folder, lane), alone: false };
      const run = <Answer>(task: Partial<Task>): Promise<Answer> =>
        child(node, self, { ...base, count: 1, rounds: quick ? 400 : 2_000, what: "calls", ...task });
      await run({ what: "warm" });
      rows.push(...callRows(lane, await run({})));
      rows.push(...loadRows(lane, await run({ what: "loads", count: quick ? 4 : 10 })));
      for (const count of quick ? [1, 20] : [1, 5, 20]) {
        for (const alone of lane === "worker" ? [true] : count === 1 ? [false] : [false, true]) {
          const sizes: Sizes = await run({ what: "memory", count, alone });
          rows.push(...memoryRows(lane, count, alone, sizes));
        }
      }
    }
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What no call into another thread can go below: a number there and back. */
async function threadFloor(): Promise<Row> {
  const code = `const { parentPort } = require("node:worker_threads"); parentPort.on("message", (n) => parentPort.postMessage(n));`;
  const worker = new Worker(code, { eval: true });
  const times: number[] = [];
  for (let i = 0; i < 3_000; i++) {
    const before = performance.now();
    worker.postMessage(i, []);
    await once(worker, "message");
    times.push((performance.now() - before) * 1_000);
  }
  await worker.terminate();
  return { name: "bare thread, there and back, p50", value: round(median(times)), unit: "us" };
}

async function child<Answer>(node: string, self: string, task: Task): Promise<Answer> {
  const running = spawn(node, ["--max-semi-space-size=1", self, "--lane", JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...frugal },
  });
  const out = await text(running.stdout);
  if (out === "") throw new Error(`the measurement ${task.what} of lane ${task.lane} gave no answer`);
  return JSON.parse(out) as Answer;
}

function callRows(lane: Lane, found: Readonly<Record<"tiny" | "kilo" | "large", Calls>>): Row[] {
  const goal = goals[lane];
  const words = { tiny: "5 B", kilo: "1 KB", large: "100 KB" } as const;
  return (["tiny", "kilo", "large"] as const).map((key) => ({
    name: `${lane}: tool call, ${words[key]}, p50`,
    value: round(found[key].p50),
    unit: "us",
    note: `p99 ${round(found[key].p99)} us, ${round(found[key].perSecond).toLocaleString("en")}/s`,
    ...(key === "tiny" && goal !== undefined && { goal }),
  }));
}

function loadRows(lane: Lane, { another, recover }: { another: number; recover: number }): Row[] {
  return [
    {
      name: `${lane}: one more plugin, to its first answer`,
      value: round(another, 1),
      unit: "ms",
      ...(lane === "extism" && { goal: 5 }),
    },
    { name: `${lane}: ended for a loop, to the next answer`, value: round(recover), unit: "ms" },
  ];
}

interface Sizes {
  readonly installed: number;
  readonly used: number;
  readonly after: number;
}

function memoryRows(lane: Lane, count: number, alone: boolean, { installed, used, after }: Sizes): Row[] {
  const many = `${count} ${count === 1 ? "plugin" : "plugins"}${alone ? " alone" : count > 1 ? " together" : ""}`;
  return [
    {
      name: `${lane}: memory of ${many} in use`,
      value: round(used, 1),
      unit: "MB",
      note: `${round(installed, 1)} MB installed, ${round(after, 1)} MB after leaving`,
      ...(count === 20 && !alone && lane !== "worker" && { goal: 60 }),
    },
  ];
}
