import type { Files } from "../tool.ts";

export interface FilesOptions {
  /** Absolute folders that stay closed even inside the workspace: the gateway's own state. */
  readonly closed?: readonly string[];
}

/** Service "files": the one place where a path that somebody else wrote is opened. */
export interface FilesService {
  createFiles(root: string, options?: FilesOptions): Files;
  /** Where a path really is, for a check before a tool runs; throws like `Files`. */
  checkPath(root: string, file: string, options?: FilesOptions): Promise<string>;
  /** Makes the folder when it is missing, with a note that says what it is for; resolves with the folder. */
  makeWorkspace(folder: string): Promise<string>;
}
