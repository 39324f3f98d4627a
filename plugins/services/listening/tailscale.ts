import { execFile } from "node:child_process";

const programs = ["tailscale", "/Applications/Tailscale.app/Contents/MacOS/Tailscale"];
const answerMs = 5_000;
const keptMs = 60_000;
const keptFailureMs = 5_000;
const maxKept = 256;

const kept = new Map<string, { readonly login: Promise<string | undefined>; until: number }>();

/**
 * Asks the Tailscale on this machine who is at an address. Answers are kept for a minute, so that
 * a page that reconnects does not start a program every time.
 */
export function tailnetUser(ip: string, signal: AbortSignal): Promise<string | undefined> {
  const known = kept.get(ip);
  if (known && known.until > Date.now()) return known.login;
  if (kept.size >= maxKept) kept.clear();
  const entry = { login: ask(ip, signal), until: Date.now() + keptMs };
  kept.set(ip, entry);
  void entry.login.then((login) => {
    if (login === undefined) entry.until = Date.now() + keptFailureMs;
  });
  return entry.login;
}

async function ask(ip: string, signal: AbortSignal): Promise<string | undefined> {
  for (const program of programs) {
    const answer = await run(program, ["whois", "--json", ip], signal);
    if (answer !== undefined) return loginIn(answer);
  }
  return undefined;
}

function run(program: string, args: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    // No shell, and the address was checked to be one before it came here.
    execFile(program, args, { signal, timeout: answerMs, maxBuffer: 262_144 }, (error, stdout) =>
      resolve(error ? undefined : stdout),
    );
  });
}

function loginIn(answer: string): string | undefined {
  try {
    const { UserProfile } = JSON.parse(answer) as { UserProfile?: { LoginName?: unknown } };
    return typeof UserProfile?.LoginName === "string" && UserProfile.LoginName !== ""
      ? UserProfile.LoginName
      : undefined;
  } catch {
    return undefined;
  }
}
