import { defineService } from "@rclaw/plugin-sdk/services/service";
import { openDevices } from "./devices.ts";

export default defineService("devices", { openDevices });
