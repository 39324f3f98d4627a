const commands =
  "agent|approvals|channels|config|cron|devices|gateway|logs|methods|models|nodes|pairing|plugin|sessions|status";
const named = new RegExp(`(?<![\\w./@-]|npx )rclaw (?=(?:${commands})\\b)`, "g");

/** Was this very program started by `npx`, or `npm exec`? What else npm started, it did not start this way. */
export function isThroughNpx(): boolean {
  const { npm_command: command, npm_lifecycle_script: script = "" } = process.env;
  return command === "exec" && /^["']?(?:rclaw|rusty-claw)\b/.test(script);
}

/** Text that names commands, with the program as this person has called it: there may be no `rclaw` on their path. */
export const hint = (text: string): string => (isThroughNpx() ? text.replaceAll(named, "npx rclaw ") : text);
