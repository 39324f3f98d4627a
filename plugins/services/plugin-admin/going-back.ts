import type { GaveWay } from "@rclaw/plugin-sdk/services/lanes";
import type { PluginAdminPorts } from "@rclaw/plugin-sdk/services/plugin-admin";

interface GoingBackPorts extends Pick<PluginAdminPorts, "lanes" | "log" | "plugins" | "stateDir" | "store"> {
  rescan(): Promise<unknown>;
}

export type GoingBack = ReturnType<typeof createGoingBack>;

/** Where a version did not live and the one before it runs on, the lock and the list are made to say so. */
export function createGoingBack({ stateDir, log, store, lanes, plugins, rescan }: GoingBackPorts) {
  /**
   * Answers why it was not possible, if so. Not to be ended by whoever asked for the update: it is about what runs,
   * not about what they wait for.
   */
  async function goBack(id: string, bad: string): Promise<string | undefined> {
    try {
      await (await store()).revert({ stateDir, log }, id, bad);
    } catch (error) {
      log.error(
        { plugin: id, err: error },
        `the version before runs, and the lock still names the one of plugin "${id}" that broke; take another: rclaw plugin update ${id}`,
      );
      return (error as Error).message;
    }
    await rescan().catch((error: unknown) => log.warn({ plugin: id, err: error }, "rescan failed"));
    return undefined;
  }

  function take({ from, to, reason }: GaveWay): void {
    const { manifest, installed } = from;
    // No lock speaks of what was put there by hand.
    if (!installed) return;
    const versions = { broken: manifest.version, runs: to.manifest.version };
    log.warn({ plugin: manifest.id, ...versions, reason }, "an update is undone: the new version broke");
    void goBack(manifest.id, installed.digest);
  }

  return {
    goBack,
    /** Before anything is swapped. Where nothing is installed, the cages need not be loaded for it. */
    async watch(): Promise<void> {
      if ([...plugins().values()].some(({ installed }) => installed))
        (await lanes()).onGaveWay(stateDir, take);
    },
  };
}
