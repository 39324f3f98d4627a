// Plain JavaScript on purpose: it runs before anything is installed.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const stamp = path.join(root, "node_modules", ".rclaw-setup");
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `rclaw needs Node 20.19 or newer; this is ${process.version}. Install a newer Node, then try again.`,
  );
  process.exit(1);
}

const lockText = readFileSync(path.join(root, "package-lock.json"), "utf8");
const lock = createHash("sha256").update(lockText).digest("hex");
if ((!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) && !isInstalled()) {
  console.error("Installing dependencies (once, and again when they change) ...");
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
}
writeFileSync(stamp, lock);
// `npm start` execs, so that signals reach the gateway and not a shell in front of it. cmd.exe has no such word.
if (process.platform === "win32")
  writeFileSync(path.join(root, "node_modules", ".bin", "exec.cmd"), "@%*\r\n");
run(process.execPath, [path.join(root, "scripts", "build.mjs"), "--if-changed"]);

/** npm keeps a lockfile of what it installed: somebody may have run `npm ci` a moment ago. */
function isInstalled() {
  const hidden = path.join(root, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const installed = JSON.parse(readFileSync(hidden, "utf8")).packages;
  return Object.entries(JSON.parse(lockText).packages).every(
    ([name, { version, optional, link }]) =>
      name === "" ||
      link ||
      optional ||
      !name.startsWith("node_modules/") ||
      installed[name]?.version === version,
  );
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  console.error(`\n${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}.`);
  process.exit(status ?? 1);
}
