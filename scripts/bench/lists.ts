import { compiler } from "@rclaw/plugin-sdk/schema/check";
import { parseFrame } from "../../kernel/gateway/frames.ts";
import { listParams } from "../../plugins/services/sessions/methods.schema.ts";
import { cpuSecondsOf, median, openFileLimit } from "./machine.ts";
import type { BenchOptions, Loaded, Row } from "./rows.ts";
import { token } from "./subject.ts";

const sessions = 1_000;
const pageOf = { limit: 50 };
const round = (value: number, digits = 0): number => Number(value.toFixed(digits));
const prepare = async (dir: string): Promise<void> =>
  (await import("./transcript.ts")).writeSessions(dir, sessions);

/** The first page of many sessions, as every client asks for it when it opens. */
export async function lists(options: BenchOptions, loaded: Loaded): Promise<readonly Row[]> {
  await using subject = await loaded(options, prepare);
  const { gateway, load } = subject;
  await load.ask("connect", { port: gateway.port, token, count: 100 });
  const flood = { method: "sessions.list", params: pageOf, inFlight: 1, forMs: options.quick ? 700 : 2_000 };
  await load.ask("flood", { ...flood, forMs: 700 });
  const rates: number[] = [];
  const cpus: number[] = [];
  for (let i = 0; i < (options.quick ? 3 : 5); i++) {
    const before = cpuSecondsOf(gateway.pid) ?? 0;
    const { perSecond, count } = await load.ask("flood", flood);
    rates.push(perSecond);
    cpus.push((((cpuSecondsOf(gateway.pid) ?? 0) - before) * 1_000_000) / count);
  }
  const cpu = median(cpus);
  const judging = judgingUs();
  return [
    {
      name: `sessions.list, ${pageOf.limit} of ${sessions.toLocaleString("en")}, 100 connections`,
      value: round(median(rates)),
      unit: "/s",
      goal: 10_000,
      better: "higher",
      note: `${round(cpu, 1)} us CPU each`,
    },
    {
      name: "of which validation of the request",
      value: round((judging / cpu) * 100, 1),
      unit: "%",
      goal: 10,
      better: "lower",
      note: `${round(judging, 2)} us: frame and params`,
    },
  ];
}

/** Microseconds that judging one request takes, beyond reading its JSON. */
function judgingUs(): number {
  const text = JSON.stringify({ type: "req", id: "r", method: "sessions.list", params: pageOf });
  const check = compiler();
  const times = 200_000;
  const time = (work: () => unknown): number => {
    const results: number[] = [];
    for (let i = 0; i < 5; i++) {
      const started = performance.now();
      for (let n = 0; n < times; n++) work();
      results.push(((performance.now() - started) * 1_000) / times);
    }
    return median(results);
  };
  const reading = time(() => JSON.parse(text));
  const judged = time(() => {
    parseFrame(text);
    return check(listParams).valid(pageOf);
  });
  return Math.max(0, judged - reading);
}

/** What the others wait for an event while one client asks for much and reads nothing. */
export async function slowConsumer(options: BenchOptions, loaded: Loaded): Promise<readonly Row[]> {
  const count = Math.min(options.quick ? 2_000 : 10_000, openFileLimit() - 500);
  const rounds = options.quick ? 3 : 7;
  await using subject = await loaded(options, prepare);
  const { gateway, load } = subject;
  await load.ask("connect", { port: gateway.port, token, count });
  await load.ask("broadcast", { rounds: 2 });
  const without = await load.ask("broadcast", { rounds });
  const stalled = { port: gateway.port, token, method: "sessions.list", params: {}, times: 200 };
  await load.ask("stall", stalled);
  const beside = await load.ask("broadcast", { rounds });
  return [
    {
      name: `one event to ${count.toLocaleString("en")} clients beside one that does not read, p99`,
      value: round((beside.p99Ms / without.p99Ms) * 100),
      unit: "%",
      goal: 110,
      better: "lower",
      note: `of ${round(without.p99Ms, 1)} ms without it; ${round(beside.p99Ms, 1)} ms with it`,
    },
  ];
}
