import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile, rm } from "node:fs/promises";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../..");
const lock = path.join(root, "node_modules/.cache/rclaw-test-build.lock");
let building: Promise<string> | undefined;

/**
 * The folder with the built product, made up to date first. RCLAW_TEST_DIST names another
 * one, such as the `dist` of an installed package, which is then tested as it is.
 */
export function builtProduct(): Promise<string> {
  building ??= process.env["RCLAW_TEST_DIST"]
    ? Promise.resolve(path.resolve(process.env["RCLAW_TEST_DIST"]))
    : build();
  return building;
}

/** A build empties dist/ first, so of several test processes only one may look at a time. */
async function build(): Promise<string> {
  await mkdir(path.dirname(lock), { recursive: true });
  while (!(await takeLock())) await new Promise((resolve) => setTimeout(resolve, 50));
  try {
    const child = spawn(process.execPath, ["scripts/build.mjs", "--if-changed"], {
      cwd: root,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    const [code] = (await once(child, "close")) as [number | null];
    if (code !== 0) throw new Error(`the build failed:\n${errors}`);
  } finally {
    await rm(lock, { force: true });
  }
  return path.join(root, "dist");
}

async function takeLock(): Promise<boolean> {
  try {
    const handle = await open(lock, "wx");
    await handle.writeFile(String(process.pid));
    await handle.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const holder = Number(await readFile(lock, "utf8").catch(() => ""));
  if (holder > 0 && !isAlive(holder)) await rm(lock, { force: true });
  return false;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
