import path from "node:path";
import { definePlugin } from "@rclaw/plugin-sdk";
import { readPlain } from "./files.ts";
import { avatar, uiConfig } from "./control-ui.ts";

const folder = path.join(import.meta.dirname, "page");

const html = "text/html; charset=utf-8";
const css = "text/css; charset=utf-8";
const js = "text/javascript; charset=utf-8";

const types: Readonly<Record<string, string>> = { css, js, svg: "image/svg+xml" };

/** A file of the page has a plain name: nothing else reaches the disk. */
const typeOf = (name: string): string | undefined => types[/^[a-z]+\.(css|js|svg)$/.exec(name)?.[1] ?? ""];

/**
 * The gateway sends its own policy too; both hold. Trusted Types make the browser
 * itself refuse any string that would become markup, whatever the page's code does.
 */
const policy = [
  "default-src 'self'",
  "img-src 'self'",
  // Covers the WebSocket of the page's own gateway, and no other.
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const headers = (type: string): Record<string, string> => ({
  "content-type": type,
  "cache-control": "no-cache",
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
});

const json = (body: object) => ({
  status: 200,
  headers: headers("application/json; charset=utf-8"),
  body: JSON.stringify(body),
});
const plain = (body: string) => ({ status: 404, headers: headers("text/plain; charset=utf-8"), body });
const missing = plain("Not Found");
const off = plain("The chat page of this gateway is switched off (gateway.controlUi.enabled).\n");

/**
 * The page and its parts, as plain files: the page is a protocol client and needs nothing else
 * from here. The build makes one script of its modules; from the source they are served as they
 * are. Its configuration is one switch, `gateway.controlUi.enabled`.
 */
export default definePlugin<boolean>({
  activate(ctx) {
    const version = ctx.version.replaceAll(/[^\w.+-]/g, "");
    const send = async (name: string, type: string, signal: AbortSignal) => {
      if (!ctx.config) return off;
      const text = await readPlain(folder, name, signal);
      if (text === undefined) return missing;
      return { status: 200, headers: headers(type), body: text.replace("%VERSION%", version) };
    };
    // The second is where OpenClaw's page has its conversation, and what people have bookmarked.
    for (const route of ["GET /", "GET /chat"])
      ctx.routes.register({
        route,
        auth: "open",
        handle: (_request, signal) => send("index.html", html, signal),
      });
    ctx.routes.register({
      route: "GET /__openclaw/control-ui-config.json",
      auth: "open",
      handle: async () => (ctx.config ? json(await uiConfig(ctx)) : off),
    });
    ctx.routes.register({
      route: "GET /avatar/*",
      auth: "open",
      async handle({ path: asked, query }) {
        const meta = ctx.config ? avatar(asked, query) : undefined;
        return meta ? json(meta) : missing;
      },
    });
    ctx.routes.register({
      route: "GET /webchat/*",
      auth: "open",
      async handle({ path: asked }, signal) {
        const name = asked.replace(/^\/webchat\//, "");
        const type = typeOf(name);
        return type === undefined ? missing : send(name, type, signal);
      },
    });
  },
});
