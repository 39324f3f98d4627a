import { defineService } from "@rclaw/plugin-sdk/services/service";
import { createHealth } from "./health.ts";
import { createPresence } from "./presence.ts";
import { beThrifty } from "./thrift.ts";

export default defineService("health", { createHealth, createPresence, beThrifty });
