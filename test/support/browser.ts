import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type BrowserContext, type BrowserContextOptions, chromium } from "playwright-core";
import { ending } from "./ends.ts";

const program = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
export const hasBrowser = existsSync(program);
if (!hasBrowser)
  console.warn(`there is no browser at ${program} (CHROMIUM names another): pages are not tested`);

/** A browser with a profile of its own; everything it does ends with it. */
export async function startBrowser(
  options: BrowserContextOptions,
): Promise<AsyncDisposable & { context: BrowserContext }> {
  const profile = await mkdtemp(path.join(tmpdir(), "rclaw-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    ...options,
    executablePath: program,
    // Signals meant for the test runner are not the browser's business.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return ending({
    context,
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 3 });
    },
  });
}
