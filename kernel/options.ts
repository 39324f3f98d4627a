/** What stands before or after every command. */
export interface GlobalOptions {
  readonly version: string;
  /** Where the built files stand. */
  readonly root: string;
  readonly configFile?: string;
  readonly port?: number;
  readonly json: boolean;
  readonly verbose: boolean;
  readonly openUi: boolean;
  readonly help: boolean;
}
