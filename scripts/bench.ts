import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { describeMachine } from "./bench/machine.ts";
import { measures, type Row } from "./bench/rows.ts";

/** Measures the built gateway beside bare Node, in one run: wall times on a busy machine only mean something as ratios. */
const usage = `Usage: npm run bench -- [options] [row ...]

  --quick   Fewer rounds and connections
  --json    Machine-readable output

Rows: ${Object.keys(measures).join(", ")}; without any, all of them.
RCLAW_BENCH_NODE24=<path> adds a column measured with that Node.
`;

interface Column {
  readonly node: string;
  readonly version: string;
  readonly rows: Row[];
}

async function main(): Promise<number> {
  if (process.argv[2] === "--load") {
    const { serveLoad } = await import("./bench/load.ts");
    serveLoad();
    return 0;
  }
  if (process.argv[2] === "--lane") {
    const { measureLane } = await import("./bench/lanes.ts");
    const answer = await measureLane(JSON.parse(process.argv[3] ?? "{}") as never);
    process.stdout.write(JSON.stringify(answer ?? null));
    return 0;
  }
  const { values, positionals } = parseArgs({
    options: { quick: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !Object.hasOwn(measures, name));
  if (unknown !== undefined || values.help) {
    process.stderr.write(unknown === undefined ? usage : `There is no row "${unknown}".\n\n${usage}`);
    return unknown === undefined ? 0 : 2;
  }
  const other = process.env["RCLAW_BENCH_NODE24"];
  const columns = [process.execPath, ...(other ? [other] : [])].map((node): Column => ({
    node,
    version: versionOf(node),
    rows: [],
  }));
  const names = positionals.length > 0 ? positionals : Object.keys(measures);
  for (const name of names) {
    for (const { node, version, rows } of columns) {
      process.stderr.write(`${name} (Node ${version}) ...\n`);
      const measured = await measures[name]?.({
        node,
        quick: values.quick ?? false,
        self: import.meta.filename,
      });
      rows.push(...(measured ?? []));
    }
  }
  const machine = describeMachine();
  if (values.json)
    process.stdout.write(`${JSON.stringify({ machine, quick: values.quick ?? false, columns }, null, 2)}\n`);
  else process.stdout.write(`\n${machine}\n\n${columns.map(table).join("\n")}`);
  return 0;
}

function versionOf(node: string): string {
  return execFileSync(node, ["--version"], { encoding: "utf8" }).trim().slice(1);
}

function table({ version, rows }: Column): string {
  const cells = rows.map(({ name, value, unit, goal, limit, better, note = "" }) => [
    name,
    `${value.toLocaleString("en")} ${unit}`,
    goal === undefined ? "" : `${better === "higher" ? ">" : "<="} ${goal.toLocaleString("en")}`,
    verdict({ value, goal, limit, better }),
    note,
  ]);
  const head = ["", `Node ${version}`, "goal", "", ""];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...cells]
    .map((row) =>
      row
        .map((cell, column) =>
          column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
    .concat("\n");
}

function verdict({
  value,
  goal,
  limit,
  better,
}: Pick<Row, "value"> & { [Key in "goal" | "limit" | "better"]: Row[Key] | undefined }): string {
  if (goal === undefined) return "";
  if (better === "higher" ? value >= goal : value <= goal) return "yes";
  return limit !== undefined && value <= limit ? "below the ceiling" : "NO";
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`bench: ${(error as Error).stack}\n`);
    process.exitCode = 1;
  },
);
