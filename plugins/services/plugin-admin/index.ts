import { defineService } from "@rclaw/plugin-sdk/services/service";
import { pluginMethods } from "./methods.ts";

export default defineService("plugin-admin", { pluginMethods });
