import { monitorEventLoopDelay, type IntervalHistogram } from "node:perf_hooks";
import type { Route } from "@rclaw/plugin-sdk";
import type { HttpOptions } from "@rclaw/plugin-sdk/services/http";

type Value = readonly [labels: string, value: number];

/** Measuring wakes the process fifty times a second, so it ends when nobody asks any more. */
const resolutionMs = 20;
const interestMs = 300_000;

/** `GET /metrics` in Prometheus' text format. Nothing is measured before somebody asks. */
export function createMetrics(counts: HttpOptions["counts"]) {
  const requests = new Map<string, number>();
  const loop = createLoop();

  const route: Route = {
    route: "GET /metrics",
    auth: "gateway",
    async handle() {
      const { startedAt, connections, runs, sessions, calls } = await counts();
      const memory = process.memoryUsage();
      const cpu = process.cpuUsage();
      const delay = loop.read();
      const byGroup = new Map<string, number>();
      for (const [name, count] of calls) {
        const [group = name] = name.split(".", 1);
        byGroup.set(group, (byGroup.get(group) ?? 0) + count);
      }
      const lines = [
        family(
          "rclaw_uptime_seconds",
          "gauge",
          "Since the gateway started.",
          (Date.now() - startedAt) / 1_000,
        ),
        family("rclaw_connections", "gauge", "WebSocket clients that are connected.", connections),
        family("rclaw_runs_active", "gauge", "Runs that were accepted and are not over.", runs),
        family("rclaw_sessions", "gauge", "Sessions there are.", sessions),
        family("rclaw_requests_total", "counter", "Calls of gateway methods.", labelled("group", byGroup)),
        family("rclaw_http_requests_total", "counter", "HTTP requests.", labelled("method", requests)),
        family("process_resident_memory_bytes", "gauge", "Resident memory.", memory.rss),
        family("nodejs_heap_size_used_bytes", "gauge", "Heap in use.", memory.heapUsed),
        family("nodejs_heap_size_total_bytes", "gauge", "Heap that V8 holds.", memory.heapTotal),
        family("nodejs_external_memory_bytes", "gauge", "Memory outside the heap.", memory.external),
        family(
          "process_cpu_seconds_total",
          "counter",
          "Processor time.",
          (cpu.user + cpu.system) / 1_000_000,
        ),
        family("nodejs_eventloop_lag_seconds", "gauge", "Event loop delay since the last look.", delay),
      ];
      const headers = {
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
        "cache-control": "no-store",
      };
      return { status: 200, headers, body: `${lines.join("\n")}\n` };
    },
  };
  return {
    route,
    count: (method: string): void => void requests.set(method, (requests.get(method) ?? 0) + 1),
  };
}

function family(name: string, type: string, help: string, values: number | readonly Value[]): string {
  const rows = typeof values === "number" ? [["", values] as const] : values;
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...rows.map(([labels, value]) => `${name}${labels} ${value}`),
  ].join("\n");
}

function labelled(label: string, counts: ReadonlyMap<string, number>): Value[] {
  return [...counts]
    .filter(([, count]) => count > 0)
    .map(([value, count]) => [`{${label}="${value.replaceAll(/[^\w.-]/g, "_")}"}`, count]);
}

function createLoop() {
  let histogram: IntervalHistogram | undefined;
  let timer: NodeJS.Timeout | undefined;
  const seconds = (nanoseconds: number): number =>
    Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1_000_000_000 - resolutionMs / 1_000) : 0;
  return {
    /** Zero at the first look: from then on there is something to tell. */
    read(): Value[] {
      clearTimeout(timer);
      timer = setTimeout(() => {
        histogram?.disable();
        histogram = undefined;
      }, interestMs).unref();
      if (!histogram) {
        histogram = monitorEventLoopDelay({ resolution: resolutionMs });
        histogram.enable();
      }
      const { count } = histogram;
      const value = (nanoseconds: number): number => (count > 0 ? seconds(nanoseconds) : 0);
      const values: Value[] = [
        ['{quantile="0.5"}', value(histogram.percentile(50))],
        ['{quantile="0.99"}', value(histogram.percentile(99))],
        ['{quantile="1"}', value(histogram.max)],
      ];
      histogram.reset();
      return values;
    },
  };
}
