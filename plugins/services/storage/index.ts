import { defineService } from "@rclaw/plugin-sdk/services/service";
import { createStorage } from "./storage.ts";

export default defineService("storage", { createStorage });
