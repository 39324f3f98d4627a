import { defineService } from "@rclaw/plugin-sdk/services/service";
import { createSecrets } from "./secrets.ts";
import { createStorage } from "./storage.ts";

export default defineService("storage", { createSecrets, createStorage });
