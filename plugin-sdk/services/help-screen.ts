export interface HelpScreen {
  readonly version: string;
  /** Names with a line on each. */
  readonly commands: ReadonlyMap<string, string>;
  readonly json: boolean;
}

const gateway = "gateway";

/** What `rclaw --help` says. */
export function showHelp({ version, commands, json }: HelpScreen): void {
  if (json) {
    const list = [[gateway, "Run the gateway"], ...commands].map(([name, summary]) => ({ name, summary }));
    process.stdout.write(`${JSON.stringify({ version, commands: list })}\n`);
    return;
  }
  const rows: [string, string][] = [
    [gateway, "Run the gateway in this terminal"],
    ...[...commands].sort(([a], [b]) => (a < b ? -1 : 1)),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  const lines = [
    `rclaw ${version} - a personal AI assistant gateway`,
    "",
    "Usage: rclaw <command> [options]",
    "",
    "Commands:",
    ...rows.map(([name, summary]) => `  ${name.padEnd(width)}${summary}`),
    "",
    "Options:",
    "  -c, --config <file>  Use this configuration file",
    "      --port <number>  Port of the gateway (0 takes any free one)",
    "      --ui             Open the web page when the gateway is ready",
    "      --json           Machine-readable output",
    "  -v, --verbose        Say more",
    "  -V, --version        Print the version",
    "  -h, --help           Help; also: rclaw <command> --help",
    "",
    "Environment: RUSTY_CLAW_STATE_DIR, RUSTY_CLAW_CONFIG, RUSTY_CLAW_GATEWAY_TOKEN",
    "",
  ];
  process.stdout.write(lines.join("\n"));
}
