import { defineService } from "@rclaw/plugin-sdk/services/service";
import { methods } from "./methods.ts";

export default defineService("operations", { methods });
