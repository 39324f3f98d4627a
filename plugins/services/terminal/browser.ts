import { spawn } from "node:child_process";

/** Opens a page in this person's browser, and says so when that did not work. */
export function openPage(page: string): void {
  const { platform } = process;
  const opener = platform === "darwin" ? "open" : platform === "win32" ? "explorer" : "xdg-open";
  const failed = (): void =>
    void process.stderr.write(`rclaw: no browser could be opened; the page is at ${page}\n`);
  const child = spawn(opener, [page], { stdio: "ignore", detached: true });
  child.on("error", failed);
  // Windows' explorer says 1 whatever happened.
  child.on("exit", (code) => platform !== "win32" && code !== 0 && failed());
  child.unref();
}
