import { existsSync } from "node:fs";
import { RclawError } from "@rclaw/plugin-sdk";
import { type Bwrap, launch, type Place } from "./bwrap.ts";
import { hasDevices, makeDevices, removeDevices } from "./devices.ts";
import { removeLeftPidsGroups } from "./pids.ts";
import { run, type RunResult } from "./run.ts";

/** How long "it does not work" is believed: installing bubblewrap should not need a restart. */
const retryMs = 30_000;
// Never looked up in PATH: a workspace could put its own program there.
const usualPlaces = [
  "/usr/bin/bwrap",
  "/usr/local/bin/bwrap",
  "/bin/bwrap",
  "/run/current-system/sw/bin/bwrap",
];

type Probe = { readonly bwrap: Bwrap } | { readonly reason: string; readonly remedy: string };

const install = 'Install bubblewrap (package "bubblewrap")';
/** What systems say that forbid user namespaces to ordinary users, or to everything in a container. */
const forbidden = /namespace|uid map|not permitted|Permission denied/i;
const allow =
  "Allow user namespaces on this system (sysctl kernel.unprivileged_userns_clone=1, an AppArmor profile for bwrap, or the options of the container)";

/** Finds out once whether commands can be kept in a sandbox here. */
export class Sandbox {
  readonly #places: readonly string[];
  #probe: Promise<Probe> | undefined;
  #failedAt = 0;
  #devices: string | undefined;

  constructor(places: readonly string[] = usualPlaces) {
    this.#places = places;
  }

  /** Throws SANDBOX_UNAVAILABLE with the reason and the line that would allow commands anyway. */
  async open(place: Place, signal: AbortSignal): Promise<Bwrap> {
    if (this.#probe !== undefined && this.#failedAt > 0 && performance.now() - this.#failedAt > retryMs)
      this.#probe = undefined;
    if (this.#devices !== undefined && !hasDevices(this.#devices)) {
      await removeDevices(this.#devices);
      this.#devices = undefined;
      this.#probe = undefined;
    }
    this.#probe ??= this.#try(place, signal);
    const probe = await this.#probe;
    if ("bwrap" in probe) return probe.bwrap;
    this.#failedAt = performance.now();
    if (signal.aborted) this.#probe = undefined;
    throw new RclawError(
      "SANDBOX_UNAVAILABLE",
      `exec: the command was not run, because ${probe.reason}. ${probe.remedy}, or let commands run ` +
        'unprotected on this machine with the config line: tools.exec.sandbox: "off"',
      { details: { tool: "exec", reason: probe.reason, config: 'tools.exec.sandbox: "off"' } },
    );
  }

  async #try(place: Place, signal: AbortSignal): Promise<Probe> {
    if (process.platform !== "linux")
      return {
        reason: `there is no sandbox for ${process.platform} yet`,
        remedy: "Run the gateway on Linux",
      };
    const file = this.#places.find((candidate) => existsSync(candidate));
    if (file === undefined) return { reason: "bubblewrap (bwrap) is not installed", remedy: install };
    await removeLeftPidsGroups();
    const devices = await makeDevices();
    if ("reason" in devices) return { ...devices, remedy: "Run the gateway as an ordinary user" };
    let said = "it did not answer";
    for (const disableUserns of [true, false]) {
      const bwrap = { file, disableUserns, devices: devices.folder };
      const result = await this.#hello(bwrap, place, signal).catch((error: Error) => ({
        output: error.message,
        exitCode: undefined,
        signal: undefined,
      }));
      if (result.exitCode === 0 && result.output.trim() === "ready") {
        this.#devices = devices.folder;
        return { bwrap };
      }
      const [line = ""] = result.output.trim().split("\n", 1);
      said = line.slice(0, 300).replace(/\.+$/, "") || `exit code ${result.exitCode ?? result.signal}`;
    }
    if (devices.folder !== undefined) await removeDevices(devices.folder);
    return {
      reason: `bubblewrap (${file}) does not work here: ${said}`,
      remedy: forbidden.test(said) ? allow : install,
    };
  }

  /** Removes what the probe left on the disk. */
  async close(): Promise<void> {
    await this.#probe?.catch(() => undefined);
    if (this.#devices !== undefined) await removeDevices(this.#devices);
  }

  #hello(bwrap: Bwrap, place: Place, signal: AbortSignal): Promise<RunResult> {
    const { words, inputs } = launch(bwrap, place, ["/bin/sh", "-c", "echo ready"]);
    return run({ words, inputs, cwd: "/", env: {}, timeoutMs: 10_000, signal, namespaced: true });
  }
}
