import { defineService } from "@rclaw/plugin-sdk/services/service";
import { createLanes } from "./lanes.ts";

export default defineService("lanes", { createLanes });
