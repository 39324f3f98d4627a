import { readFile } from "node:fs/promises";
import path from "node:path";
import { definePlugin } from "@rclaw/plugin-sdk";

const folder = path.join(import.meta.dirname, "page");

const html = "text/html; charset=utf-8";
const css = "text/css; charset=utf-8";
const js = "text/javascript; charset=utf-8";

/** Every file there is: a path that is not here never reaches the disk. */
const files: Readonly<Record<string, string>> = {
  "app.js": js,
  "composer.js": js,
  "conversation.js": js,
  "dom.js": js,
  "gateway.js": js,
  "icon.svg": "image/svg+xml",
  "inline.js": js,
  "markdown.js": js,
  "messages.js": js,
  "page.css": css,
  "talk.css": css,
  "theme.js": js,
  "tools.js": js,
  "transcript.js": js,
};

/**
 * Indentation, comment lines and line ends after punctuation are for readers of the source, not
 * for a phone on a slow line. The page keeps to what this relies on: no comment behind code, no
 * text over several lines.
 */
function squeeze(text: string, type: string): string {
  const lines = text.replaceAll(/^\s+/gm, "");
  if (type === js) {
    return lines.replaceAll(/^(?:\/\/|\/?\*(?:\*?$|\*? |\/)).*\n/gm, "").replaceAll(/([{([,;])\n/g, "$1");
  }
  if (type !== css) return lines;
  return lines
    .replaceAll(/\/\*.*?\*\//gs, "")
    .replaceAll(/\s*([{};,])\s*/g, "$1")
    .replaceAll(/:\s+/g, ":");
}

/**
 * The gateway sends its own policy too; both hold. Trusted Types make the browser
 * itself refuse any string that would become markup, whatever the page's code does.
 */
const policy = [
  "default-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self' ws: wss:",
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

const off = {
  status: 404,
  headers: headers("text/plain; charset=utf-8"),
  body: "The chat page of this gateway is switched off (gateway.controlUi.enabled).\n",
};

/**
 * The page and its parts, as plain files: the page is a protocol client and needs nothing else
 * from here. Its configuration is one switch, `gateway.controlUi.enabled`.
 */
export default definePlugin<boolean>({
  activate(ctx) {
    const version = ctx.version.replaceAll(/[^\w.+-]/g, "");
    const send = async (name: string, type: string, signal: AbortSignal) => {
      if (!ctx.config) return off;
      const text = await readFile(path.join(folder, name), { encoding: "utf8", signal });
      return { status: 200, headers: headers(type), body: squeeze(text, type).replace("%VERSION%", version) };
    };
    ctx.routes.register({
      route: "GET /",
      auth: "open",
      handle: (_request, signal) => send("index.html", html, signal),
    });
    ctx.routes.register({
      route: "GET /webchat/*",
      auth: "open",
      async handle({ path: asked }, signal) {
        const name = asked.replace(/^\/webchat\//, "");
        const type = Object.hasOwn(files, name) ? files[name] : undefined;
        if (type !== undefined) return send(name, type, signal);
        return { status: 404, headers: headers("text/plain; charset=utf-8"), body: "Not found.\n" };
      },
    });
  },
});
