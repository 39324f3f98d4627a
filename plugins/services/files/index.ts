import { defineService } from "@rclaw/plugin-sdk/services/service";
import { checkPath, createFiles } from "./files.ts";
import { makeWorkspace } from "./workspace.ts";

export default defineService("files", { createFiles, checkPath, makeWorkspace });
