import type { ChannelsService } from "./channels.ts";
import type { ConfigService } from "./config.ts";
import type { DevicesService } from "./devices.ts";
import type { EgressService } from "./egress.ts";
import type { FilesService } from "./files.ts";
import type { HealthService } from "./health.ts";
import type { HttpService } from "./http.ts";
import type { LanesService } from "./lanes.ts";
import type { ListeningService } from "./listening.ts";
import type { OperationsService } from "./operations.ts";
import type { PluginAdminService } from "./plugin-admin.ts";
import type { PluginStoreService } from "./plugin-store.ts";
import type { SessionsService } from "./sessions.ts";
import type { StorageService } from "./storage.ts";
import type { TerminalService } from "./terminal.ts";

/**
 * Parts of the gateway that stand outside the kernel. A service is a set of functions
 * without state of its own; only what ships with rclaw may provide one, since the kernel
 * relies on it as on itself. Declared under `contributes.services`.
 */
export interface Services {
  readonly config: ConfigService;
  readonly files: FilesService;
  readonly devices: DevicesService;
  readonly egress: EgressService;
  readonly channels: ChannelsService;
  readonly health: HealthService;
  readonly http: HttpService;
  readonly lanes: LanesService;
  readonly listening: ListeningService;
  readonly operations: OperationsService;
  readonly sessions: SessionsService;
  readonly storage: StorageService;
  readonly terminal: TerminalService;
  readonly "plugin-admin": PluginAdminService;
  readonly "plugin-store": PluginStoreService;
}

export type ServiceName = keyof Services;

/** The default export of a service's entry file; it is no plugin: nothing is activated. */
export function defineService<Name extends ServiceName>(
  name: Name,
  service: Services[Name],
): { readonly name: Name; readonly service: Services[Name] } {
  return { name, service };
}
