import { defineService } from "@rclaw/plugin-sdk/services/service";
import { createHttp } from "./http.ts";

export default defineService("http", { createHttp });
