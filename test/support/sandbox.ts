import { execFileSync } from "node:child_process";

/** bubblewrap may be missing, or the machine may forbid what it needs. */
export const hasSandbox = ((): boolean => {
  try {
    execFileSync("bwrap", ["--unshare-all", "--ro-bind", "/", "/", "true"], { stdio: "ignore" });
    return true;
  } catch {
    console.warn("bubblewrap does not work here: tests expect the refusal instead of a command's output");
    return false;
  }
})();
